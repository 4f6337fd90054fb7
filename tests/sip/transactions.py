"""Requests of ours until their final response, sent again while UDP may have lost them (RFC 3261, 17.1)."""

import asyncio
from collections.abc import Callable

from tests.sip.message import Request, Response, respond

T1_S = 0.5
T2_S = 4.0
LIFETIME_S = 64 * T1_S

TransactionKey = tuple[str, str]


def key_of(message: Request | Response) -> TransactionKey:
    """Branch and method: what a response shares with its request."""
    return message.branch, message.cseq_method


class ClientTransaction:
    """One request. Its responses, each once, come out of `next_response`."""

    def __init__(self, request: Request, send: Callable[[], None], reliable: bool) -> None:
        self.request = request
        self._send, self._reliable = send, reliable
        self._responses: asyncio.Queue[Response] = asyncio.Queue()
        self._final: Response | None = None
        self._wait_s = T1_S
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []
        self.on_repeated_final: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Send it, and again until something is heard of it."""
        self._send()
        self._timers = [self._loop.call_later(LIFETIME_S, self._give_up)]
        if not self._reliable:
            self._timers.append(self._loop.call_later(self._wait_s, self._again))

    def take(self, response: Response) -> None:
        """A response came in."""
        if self._final:
            if response.status == self._final.status:
                self.on_repeated_final()
            return
        if response.final:
            self._final = response
        if response.final or self.request.method == "INVITE":
            self.stop()
        self._responses.put_nowait(response)

    async def next_response(self) -> Response:
        """The next response, provisional or final; 408 of our own when nobody answers for 32 s."""
        return await self._responses.get()

    async def final(self) -> Response:
        """The final response."""
        while not (response := await self.next_response()).final:
            pass
        return response

    def stop(self) -> None:
        """Send no more."""
        for timer in self._timers:
            timer.cancel()

    def _again(self) -> None:
        self._send()
        limit = LIFETIME_S if self.request.method == "INVITE" else T2_S
        self._wait_s = min(2 * self._wait_s, limit)
        self._timers.append(self._loop.call_later(self._wait_s, self._again))

    def _give_up(self) -> None:
        self.take(respond(self.request, 408))
