"""AMI through panoramisk, one connection's life at a time.

Panoramisk sends again, after a reconnect, what was not answered before; an action could then be done
twice. Here a lost connection ends what was asked on it, and the next is a new one.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from panoramisk import Manager
from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol

from ami.errors import AsteriskAway, AsteriskRefused

log = logging.getLogger(__name__)

ACTION_LIMIT_S = 5.0
RETRY_S = 0.5
PING_S = 2.0
USERNAME = "denwaban"


class _OneLife(Manager):  # type: ignore[misc]
    """A panoramisk manager that does not reconnect."""

    def __init__(self, username: str, password: str, events: bool) -> None:
        super().__init__(
            username=username,
            secret=password,
            events="on" if events else "off",
            ping_delay=86400,
            ping_interval=86400,
        )
        self.loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self.loop.create_future()

    def connection_lost(self, exc: object) -> None:
        if self.pinger is not None:
            self.pinger.cancel()
        if not self.lost.done():
            self.lost.set_result(None)


class _Announced(Action):  # type: ignore[misc]
    """An action whose answer announces one event, and no end of a list: `FAXSession`."""

    @property
    def multi(self) -> bool:
        return bool(self.responses[0].success)

    @property
    def completed(self) -> bool:
        return not self.multi or len(self.responses) > 1


class Ami:
    """Asterisk's manager interface. `run` keeps the connection; `send` uses it."""

    def __init__(
        self,
        host: str,
        port: int,
        password: str,
        username: str = USERNAME,
        on_event: Callable[[dict[str, str]], None] | None = None,
    ) -> None:
        """`on_event` hears every event that Asterisk tells this user of; without it there are none."""
        self._host, self._port, self._password = host, port, password
        self._username, self._on_event = username, on_event
        self._manager: _OneLife | None = None
        self.last_problem = "not connected yet"

    @property
    def connected(self) -> bool:
        return self._manager is not None

    async def run(self, on_connected: Callable[[], None] = lambda: None) -> None:
        """Keep a connection, for ever; call `on_connected` at the beginning of each."""
        while True:
            try:
                await self._one_life(on_connected)
            except (OSError, AsteriskAway, AsteriskRefused, TimeoutError) as problem:
                said = f"{type(problem).__name__}: {problem}"
                if said != self.last_problem:
                    log.warning("AMI is away: %s", said, extra={"action": "ami_away"})
                self.last_problem = said
            await asyncio.sleep(RETRY_S)

    async def _one_life(self, on_connected: Callable[[], None]) -> None:
        manager = _OneLife(self._username, self._password, events=self._on_event is not None)
        if (on_event := self._on_event) is not None:
            manager.register_event("*", lambda _manager, event: on_event(dict(event)))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(ACTION_LIMIT_S):
            connection = await loop.create_connection(AMIProtocol, self._host, self._port)
            made = loop.create_future()
            made.set_result(connection)
            manager.connection_made(made)
            await manager.authenticated_future
        try:
            if not manager.authenticated:
                raise AsteriskRefused(403, "AMI login refused")
            self._manager = manager
            on_connected()
            while not manager.lost.done():
                await asyncio.wait({manager.lost}, timeout=PING_S)
                if not manager.lost.done():
                    await self.send("Ping")
        finally:
            self._manager = None
            manager.close()
        raise AsteriskAway("the connection was closed")

    async def send(self, action: str, **headers: str) -> Any:
        """One action and its answer. Raises AsteriskAway, AsteriskRefused."""
        answer = await self._send(action, headers, as_list=False)
        if not answer.success:
            raise AsteriskRefused(400, f"{action}: {answer.message}")
        return answer

    async def read_family(self, family: str) -> dict[str, str]:
        """All of a family of Asterisk's database: key without the family -> value. Raises AsteriskAway."""
        answers = await self._send("DBGetTree", {"Family": family}, as_list=True)
        entries = [entry for entry in answers if entry.event == "DBGetTreeResponse"]
        return {entry.key.removeprefix(f"/{family}/"): entry.val for entry in entries}

    async def announced(self, action: str, **headers: str) -> Any:
        """The one event that the answer to an action announces. Raises AsteriskAway, AsteriskRefused."""
        answers = await self._send(action, headers, as_list=None, kind=_Announced)
        if not isinstance(answers, list):
            raise AsteriskRefused(400, f"{action}: {answers.message}")
        return answers[1]

    async def put(self, family: str, key: str, value: str) -> None:
        await self.send("DBPut", Family=family, Key=key, Val=value)

    async def remove(self, family: str, key: str) -> None:
        await self.send("DBDel", Family=family, Key=key)

    async def entries(self, action: str, **headers: str) -> list[Any]:
        """The answers that an action gives as a list, one for each. Raises AsteriskAway, AsteriskRefused."""
        # Not "as a list" from the outset: a refusal has no list, and would be waited for in vain.
        answers = await self._send(action, headers, as_list=None)
        if not isinstance(answers, list):
            raise AsteriskRefused(400, f"{action}: {answers.message}")
        return [answer for answer in answers if answer.event and not answer.event.endswith("Complete")]

    async def _send(
        self, action: str, headers: dict[str, str], as_list: bool | None, kind: type[Action] = Action
    ) -> Any:
        manager = self._manager
        if manager is None:
            raise AsteriskAway(self.last_problem)
        for name, value in headers.items():
            if not value.isprintable():
                raise ValueError(f"AMI header {name} holds control characters")
        try:
            async with asyncio.timeout(ACTION_LIMIT_S):
                return await manager.send_action(kind({"Action": action, **headers}), as_list=as_list)
        except TimeoutError:
            raise AsteriskAway(f"no answer to {action} in {ACTION_LIMIT_S} s") from None
