"""A FastAGI server that a peer cannot freeze.

Each connection has its own task and a time limit; one that sends nothing, half a header, too much, or
closes at once costs nobody else anything.
https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Gateway-Interface-AGI/
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger(__name__)

REQUEST_LIMIT_S = 5.0
LONGEST_LINE = 4096
MOST_LINES = 200

Variables = Mapping[str, str]
Script = Callable[[Variables], Awaitable[None]]
"""An AGI script: gets the request's `agi_*` variables, says no more than it must."""


class BadRequest(Exception):
    """What came is no AGI request."""


async def read_request(reader: asyncio.StreamReader) -> dict[str, str]:
    """The header block: `agi_name: value` lines up to an empty one. Raises BadRequest."""
    variables: dict[str, str] = {}
    for _ in range(MOST_LINES):
        try:
            line = await reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as problem:
            raise BadRequest(type(problem).__name__) from None
        text = line.decode(errors="replace").strip()
        if not text:
            return variables
        name, colon, value = text.partition(": ")
        if not name.startswith("agi_") or (not colon and not text.endswith(":")):
            raise BadRequest("no AGI variable")
        variables[name.rstrip(":")] = value
    raise BadRequest("too many lines")


class AgiServer:
    """Serves scripts by route, `agi://host/route`."""

    def __init__(self, scripts: Mapping[str, Script], request_limit_s: float = REQUEST_LIMIT_S) -> None:
        self._scripts = scripts
        self._limit_s = request_limit_s
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, host, port, limit=LONGEST_LINE)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                variables = await read_request(reader)
                script = self._scripts.get(variables.get("agi_network_script", ""))
                if script is None:
                    raise BadRequest("no such script")
                await script(variables)
        except (BadRequest, TimeoutError, ConnectionError) as problem:
            log.warning("AGI request dropped: %s", str(problem) or "time-out", extra={"action": "agi_dropped"})
        except Exception:
            log.exception("AGI script failed", extra={"action": "agi_failed"})
        finally:
            writer.close()
