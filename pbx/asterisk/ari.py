"""The ARI session: events on one websocket, commands where none waits behind another call's.

Commands that Asterisk merely queues (play, record, stop, hang up, continue) go over the websocket, which
is cheap. The websocket answers in order, so whatever may wait for a channel's own thread (answer, and
every GET of a channel) goes over HTTP, where it holds up nobody else.

Words are ARI's: https://docs.asterisk.org/Asterisk_22_Documentation/API_Documentation/Asterisk_REST_Interface/
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from socket import IPPROTO_TCP, TCP_QUICKACK
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import orjson

from pbx.dialplan.names import APPLICATION
from pbx.errors import AsteriskAway, AsteriskRefused, HungUp

log = logging.getLogger(__name__)

COMMAND_LIMIT_S = 5.0
"""The one time-out of every command."""

HEARTBEAT_S = 2.0
"""A websocket that was cut without being closed is noticed after 1.5 times this."""

RETRY_S = 0.1
REPLACED_S = 30.0
"""Two control planes at one Asterisk must not take it from each other in turns."""

WANTED_EVENTS = (
    "StasisStart",
    "StasisEnd",
    "ChannelDestroyed",
    "ChannelDtmfReceived",
    "ChannelHangupRequest",
    "PlaybackFinished",
    "RecordingFinished",
    "RecordingFailed",
    "ApplicationReplaced",
    # The filter would drop the answers to our own commands too.
    "RESTResponse",
)

Json = dict[str, Any]


class Replaced(AsteriskAway):
    """Another session has taken our application; this one would hear nothing more."""


class Ari(Protocol):
    """What calls and their runner ask of Asterisk.

    404 and 409 of a channel's verb mean that the caller is gone: HungUp.
    """

    async def answer(self, channel: str) -> None: ...
    async def play(self, channel: str, playback: str, media: str) -> None: ...
    async def stop_playback(self, playback: str) -> None: ...
    async def playback_exists(self, playback: str) -> bool: ...
    async def record(self, channel: str, recording: str, limit_s: int, silence_s: int) -> None: ...
    async def stop_recording(self, recording: str) -> None: ...
    async def recording_exists(self, recording: str) -> bool: ...
    async def hang_up(self, channel: str, cause: int) -> None: ...
    async def continue_in_dialplan(self, channel: str, context: str, extension: str) -> None: ...
    async def until_connected(self, timeout_s: float) -> None: ...
    async def channels(self) -> list[Json]: ...
    async def our_channel_ids(self) -> set[str]: ...


class AriSession:
    """One controller's connection to one Asterisk. `run` keeps it; the verbs use it."""

    def __init__(self, host: str, port: int, password: str) -> None:
        self._base = f"http://{host}:{port}/ari"
        self._headers = {"Authorization": aiohttp.encode_basic_auth(APPLICATION, password)}
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._answers: dict[str, asyncio.Future[Json]] = {}
        self._numbers = count()
        self._connected = asyncio.Event()
        self.last_problem = "not connected yet"

    @property
    def connected(self) -> bool:
        return self._connected.is_set()

    async def until_connected(self, timeout_s: float) -> None:
        """Wait for the session to be up and synchronised. Raises AsteriskAway."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError:
            raise AsteriskAway(self.last_problem) from None

    async def run(
        self, on_connected: Callable[[], Awaitable[None]], on_event: Callable[[Json], None]
    ) -> None:
        """Connect, call `on_connected` (it re-synchronises), hand every event to `on_event`; for ever.

        Events that arrive while `on_connected` works are handed on at once: nothing is missed between.
        """
        while True:
            # New connections each time: those kept from before may be as dead as the websocket was.
            connector = aiohttp.TCPConnector(limit=400)
            pause_s = RETRY_S
            async with aiohttp.ClientSession(headers=self._headers, connector=connector) as http:
                self._http = http
                try:
                    await self._connection(http, on_connected, on_event)
                except Replaced:
                    log.error("another control plane has taken this Asterisk", extra={"action": "replaced"})
                    self._away("another control plane has taken this Asterisk")
                    pause_s = REPLACED_S
                except (aiohttp.ClientError, AsteriskAway, AsteriskRefused, OSError, TimeoutError) as problem:
                    self._away(f"{type(problem).__name__}: {problem}")
                except Exception as mistake:
                    # Without this session no call is taken: it outlives every mistake of ours.
                    log.exception("the ARI session failed", extra={"action": "ari_failed"})
                    self._away(f"{type(mistake).__name__}: {mistake}")
            await asyncio.sleep(pause_s)

    def _away(self, problem: str) -> None:
        if problem != self.last_problem:
            log.warning("ARI is away: %s", problem, extra={"action": "ari_away"})
        self.last_problem = problem

    async def _connection(
        self,
        http: aiohttp.ClientSession,
        on_connected: Callable[[], Awaitable[None]],
        on_event: Callable[[Json], None],
    ) -> None:
        url = f"{self._base}/events?app={APPLICATION}&subscribeAll=false"
        async with asyncio.timeout(COMMAND_LIMIT_S):
            socket = await http.ws_connect(
                url,
                heartbeat=HEARTBEAT_S,
                max_msg_size=0,
                # A peer that does not answer is not waited for when it is left.
                timeout=aiohttp.ClientWSTimeout(ws_close=0.1),
            )
        reader = asyncio.create_task(self._read(socket, on_event), name="ari reader")
        synchronising: asyncio.Future[None] | None = None
        try:
            self._socket = socket
            await self._ask_http("PUT", f"/applications/{APPLICATION}/eventFilter", json=_filter())
            synchronising = asyncio.ensure_future(on_connected())
            await asyncio.wait({reader, synchronising}, return_when=asyncio.FIRST_COMPLETED)
            if not synchronising.done():
                raise AsteriskAway("the websocket closed during synchronisation")
            synchronising.result()
            self._connected.set()
            log.info("ARI is up", extra={"action": "ari_up"})
            await reader
        finally:
            self._connected.clear()
            self._socket = None
            working = [task for task in (reader, synchronising) if task is not None]
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            self._fail_answers()
            await socket.close()
        raise AsteriskAway("the websocket was closed")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, on_event: Callable[[Json], None]) -> None:
        wire = socket.get_extra_info("socket")
        async for message in socket:
            # Asterisk sends no small piece before the last is acknowledged; the kernel would take 40 ms.
            with suppress(OSError, ValueError):
                wire.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 1)
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            event: Json = orjson.loads(message.data)
            if event["type"] == "RESTResponse":
                answer = self._answers.pop(event["request_id"], None)
                if answer is not None and not answer.done():
                    answer.set_result(event)
            elif event["type"] == "ApplicationReplaced":
                raise Replaced
            else:
                try:
                    on_event(event)
                except Exception:
                    # One event we cannot take must not cost the calls of all others.
                    log.exception("an event was not understood", extra={"action": "event_failed"})

    def _fail_answers(self) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(AsteriskAway("the websocket was closed"))
                # Whoever asked may have failed already, and will not look.
                answer.exception()
        self._answers.clear()

    # ---- the two ways of asking ------------------------------------------------------------------

    async def _ask(self, method: str, path: str, **query: str | int) -> None:
        """Ask over the websocket. Raises AsteriskAway, AsteriskRefused."""
        socket = self._socket
        if socket is None:
            raise AsteriskAway(self.last_problem)
        request_id = str(next(self._numbers))
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = answer
        request = {
            "type": "RESTRequest",
            "transaction_id": request_id,
            "request_id": request_id,
            "method": method,
            "uri": path[1:],
            "query_strings": [{"name": name, "value": str(value)} for name, value in query.items()],
        }
        try:
            async with asyncio.timeout(COMMAND_LIMIT_S):
                await socket.send_str(orjson.dumps(request).decode())
                reply = await answer
        except TimeoutError:
            raise AsteriskAway(f"no answer to {method} {path} in {COMMAND_LIMIT_S} s") from None
        except (aiohttp.ClientError, ConnectionError) as problem:
            raise AsteriskAway(str(problem)) from problem
        finally:
            self._answers.pop(request_id, None)
        if reply["status_code"] >= 300:
            raise AsteriskRefused(reply["status_code"], reply.get("message_body") or reply["reason_phrase"])

    async def _ask_http(self, method: str, path: str, json: Json | None = None, **query: str | int) -> Any:
        """Ask over HTTP; the decoded answer or None. Raises AsteriskAway, AsteriskRefused."""
        if self._http is None or self._http.closed:
            raise AsteriskAway(self.last_problem)
        limit = aiohttp.ClientTimeout(total=COMMAND_LIMIT_S)
        try:
            async with self._http.request(
                method, self._base + path, params=query, json=json, timeout=limit
            ) as reply:
                body = await reply.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            raise AsteriskAway(f"{method} {path}: {type(problem).__name__} {problem}") from problem
        if reply.status >= 300:
            raise AsteriskRefused(reply.status, body.decode(errors="replace").strip())
        return orjson.loads(body) if body.strip() else None

    async def _exists(self, path: str) -> bool:
        try:
            await self._ask_http("GET", path)
        except AsteriskRefused as refused:
            if refused.status != 404:
                raise
            return False
        return True

    # ---- verbs of a channel ----------------------------------------------------------------------

    async def answer(self, channel: str) -> None:
        with_http = self._ask_http("POST", f"/channels/{quote(channel)}/answer")
        await _of_channel(with_http)

    async def play(self, channel: str, playback: str, media: str) -> None:
        await _of_channel(self._ask("POST", f"/channels/{quote(channel)}/play/{playback}", media=media))

    async def stop_playback(self, playback: str) -> None:
        await _unless_gone(self._ask("DELETE", f"/playbacks/{playback}"))

    async def playback_exists(self, playback: str) -> bool:
        return await self._exists(f"/playbacks/{playback}")

    async def record(self, channel: str, recording: str, limit_s: int, silence_s: int) -> None:
        await _of_channel(
            self._ask(
                "POST",
                f"/channels/{quote(channel)}/record",
                name=recording,
                format="wav",
                maxDurationSeconds=limit_s,
                maxSilenceSeconds=silence_s,
                ifExists="fail",
                terminateOn="#",
            )
        )

    async def stop_recording(self, recording: str) -> None:
        await _unless_gone(self._ask("POST", f"/recordings/live/{quote(recording, safe='')}/stop"))

    async def recording_exists(self, recording: str) -> bool:
        return await self._exists(f"/recordings/live/{quote(recording, safe='')}")

    async def hang_up(self, channel: str, cause: int) -> None:
        await _unless_gone(self._ask("DELETE", f"/channels/{quote(channel)}", reason_code=cause))

    async def continue_in_dialplan(self, channel: str, context: str, extension: str) -> None:
        await _of_channel(
            self._ask(
                "POST",
                f"/channels/{quote(channel)}/continue",
                context=context,
                extension=extension,
                priority=1,
            )
        )

    # ---- what Asterisk holds ---------------------------------------------------------------------

    async def channels(self) -> list[Json]:
        """Every channel of this Asterisk, ours or not."""
        found: list[Json] = await self._ask_http("GET", "/channels")
        return found

    async def our_channel_ids(self) -> set[str]:
        """The channels in our application."""
        application = await self._ask_http("GET", f"/applications/{APPLICATION}")
        return set(application["channel_ids"])

    async def endpoint_names(self) -> set[str]:
        """The names of all SIP endpoints, trunks included."""
        return {endpoint["resource"] for endpoint in await self._ask_http("GET", "/endpoints/PJSIP")}

    async def put_object(self, kind: str, name: str, fields: dict[str, str]) -> None:
        """Make or change a dynamic SIP object (`auth`, `aor`, `endpoint`)."""
        listed = [{"attribute": attribute, "value": value} for attribute, value in fields.items()]
        path = f"/asterisk/config/dynamic/res_pjsip/{kind}/{quote(name)}"
        await self._ask_http("PUT", path, json={"fields": listed})

    async def delete_object(self, kind: str, name: str) -> None:
        path = f"/asterisk/config/dynamic/res_pjsip/{kind}/{quote(name)}"
        await _unless_gone(self._ask_http("DELETE", path))


def _filter() -> Json:
    return {"allowed": [{"type": name} for name in WANTED_EVENTS]}


async def _of_channel(asked: Awaitable[object]) -> None:
    """404: no such channel. 409: it left our application. 412: wrong state. The caller is gone."""
    try:
        await asked
    except AsteriskRefused as refused:
        if refused.status in {404, 409, 412}:
            raise HungUp(str(refused)) from refused
        raise


async def _unless_gone(asked: Awaitable[object]) -> None:
    """To end what has ended is no error."""
    try:
        await asked
    except AsteriskRefused as refused:
        if refused.status not in {404, 409}:
            raise
