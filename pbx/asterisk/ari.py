"""The ARI session: events on one websocket, commands where none waits behind another call's.

Commands that Asterisk merely queues (play, record, stop, hang up, continue) go over a websocket, which is
cheap, and so does answering, since a new channel's thread is free. Asterisk takes the commands of a
websocket one after the other, and of an answered call waits until the answer is sent: a few
milliseconds, which on a busy machine would be everybody's. So there are several, and a call keeps to one,
where its commands stay in order. Whatever may wait for a channel's thread that is not free (every GET of
a channel) goes over HTTP, where it holds up nobody else.

Words are ARI's: https://docs.asterisk.org/Asterisk_22_Documentation/API_Documentation/Asterisk_REST_Interface/
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from socket import IPPROTO_TCP, TCP_CORK, TCP_QUICKACK, socket
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import orjson
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from pbx.dialplan.names import APPLICATION, CALL_ID
from pbx.errors import AsteriskAway, AsteriskRefused, HungUp

log = logging.getLogger(__name__)

COMMAND_LIMIT_S = 5.0
"""The one time-out of every command."""

HEARTBEAT_S = 2.0
"""A websocket that was cut without being closed is noticed after 1.5 times this."""

COMMAND_APPLICATIONS = tuple(f"{APPLICATION}-{number}" for number in range(16))
"""Nothing ever happens in them: each stands for a websocket that takes commands."""

RETRY_S = 0.1
REPLACED_S = 30.0
"""Two control planes at one Asterisk must not take it from each other in turns."""

WANTED_EVENTS = (
    "StasisStart",
    "StasisEnd",
    "ChannelDtmfReceived",
    "ChannelHangupRequest",
    "ChannelToneDetected",
    "PlaybackFinished",
    "RecordingFinished",
    "RecordingFailed",
    "ApplicationReplaced",
    # The filter would drop the answers to our own commands too.
    "RESTResponse",
)

Json = dict[str, Any]


Verdict = Callable[[int, str], Exception | None]
"""What a refusal (status, reason) means; None: it is no error."""


def of_channel(status: int, reason: str) -> Exception:
    """404: no such channel. 409: it left our application. 412: wrong state. The caller is gone."""
    if status in {404, 409, 412}:
        return HungUp(f"{status} {reason}")
    return AsteriskRefused(status, reason)


def unless_gone(status: int, reason: str) -> Exception | None:
    """To end what has ended is no error."""
    return None if status in {404, 409} else AsteriskRefused(status, reason)


def calls_of(channels: Iterable[Json]) -> set[str]:
    """The ids of channels, and of the calls that they belong to."""
    named = {channel.get("channelvars", {}).get(CALL_ID, "") for channel in channels}
    return ({channel["id"] for channel in channels} | named) - {""}


@dataclass(frozen=True)
class _Question:
    """A command on its way."""

    what: str
    answer: "asyncio.Future[None]"
    verdict: Verdict
    asked_at: float


class Replaced(AsteriskAway):
    """Another session has taken our application; this one would hear nothing more."""


class Ari(Protocol):
    """What calls and their runner ask of Asterisk.

    404 and 409 of a channel's verb mean that the caller is gone: HungUp.
    """

    def in_one_go(self, channel: str) -> AbstractContextManager[None]: ...
    def answer(self, channel: str) -> Awaitable[None]: ...
    def play(self, channel: str, playback: str, media: str) -> Awaitable[None]: ...
    def stop_playback(self, playback: str) -> Awaitable[None]: ...
    async def playback_exists(self, playback: str) -> bool: ...
    def record(self, channel: str, recording: str, limit_s: int, silence_s: int) -> Awaitable[None]: ...
    def stop_recording(self, recording: str) -> Awaitable[None]: ...
    async def recording_exists(self, recording: str) -> bool: ...
    async def variable(self, channel: str, name: str) -> str: ...
    def hang_up(self, channel: str, cause: int) -> Awaitable[None]: ...
    def continue_in_dialplan(self, channel: str, context: str, extension: str) -> Awaitable[None]: ...
    async def until_connected(self, timeout_s: float) -> None: ...
    async def channels(self) -> list[Json]: ...
    async def our_channel_ids(self) -> set[str]: ...


class _Wire(WSListener):
    """A websocket; it takes every message in as it arrives, without a task in between."""

    def __init__(
        self, take: Callable[[Json], None], closed: "asyncio.Future[WSTransport]", at_once: bool
    ) -> None:
        """`closed` is told of the end; `at_once`: what comes is waited for by somebody."""
        self._take, self._closed, self._at_once = take, closed, at_once

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        # The loop gives but a wrapper, and to go through it costs more than the call.
        self.socket = socket(fileno=os.dup(transport.underlying_transport.get_extra_info("socket").fileno()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self._closed.done():
            self._closed.set_result(transport)
        self.socket.close()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._at_once and frame.last_in_buffer:
            # Asterisk sends no small piece before the last is acknowledged; the kernel would take 40 ms.
            _set(self.socket, TCP_QUICKACK, True)
        if frame.msg_type is WSMsgType.TEXT:
            self._take(orjson.loads(frame.get_payload_as_memoryview()))
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()


class AriSession:
    """One controller's connection to one Asterisk. `run` keeps it; the verbs use it."""

    def __init__(self, host: str, port: int, password: str) -> None:
        self._base = f"http://{host}:{port}/ari"
        self._headers = {"Authorization": aiohttp.encode_basic_auth(APPLICATION, password)}
        self._http: aiohttp.ClientSession | None = None
        self._wires: list[_Wire] = []
        """As many as COMMAND_APPLICATIONS, and the one of the events."""

        self._questions: dict[str, _Question] = {}
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
                except (
                    aiohttp.ClientError,
                    AsteriskAway,
                    AsteriskRefused,
                    OSError,
                    TimeoutError,
                    WSError,
                ) as problem:
                    self._away(f"{type(problem).__name__}: {problem}")
                except Exception as mistake:
                    # Without this session no call is taken: it outlives every mistake of ours.
                    log.exception("the ARI session failed", extra={"action": "ari_failed"})
                    self._away(f"{type(mistake).__name__}: {mistake}")
            await asyncio.sleep(pause_s)

    @asynccontextmanager
    async def only_asking(self) -> AsyncIterator[None]:
        """For a process that takes no calls: what goes over HTTP, and no websocket."""
        async with aiohttp.ClientSession(headers=self._headers) as http:
            self._http = http
            yield

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
        closed: asyncio.Future[WSTransport] = asyncio.get_running_loop().create_future()
        giving_up = asyncio.create_task(self._give_up_waiting(), name="ari time-outs")
        synchronising: asyncio.Future[None] | None = None
        try:
            # That of the events comes last: whatever it tells of can be dealt with.
            for application in (*COMMAND_APPLICATIONS, APPLICATION):
                self._wires.append(await self._open(application, on_event, closed))
            await self._ask_http("PUT", f"/applications/{APPLICATION}/eventFilter", json=_filter())
            synchronising = asyncio.ensure_future(on_connected())
            either: set[asyncio.Future[Any]] = {closed, synchronising}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not synchronising.done():
                raise AsteriskAway("a websocket closed during synchronisation")
            synchronising.result()
            self._connected.set()
            log.info("ARI is up", extra={"action": "ari_up"})
            await (await closed).wait_disconnected()
        finally:
            self._connected.clear()
            working = [task for task in (giving_up, synchronising) if task is not None]
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            self._fail_answers()
            # A peer that does not answer is not waited for when it is left.
            for wire in self._wires:
                wire.transport.disconnect(graceful=False)
            self._wires.clear()
        raise AsteriskAway("a websocket was closed")

    async def _open(
        self, application: str, on_event: Callable[[Json], None], closed: "asyncio.Future[WSTransport]"
    ) -> _Wire:
        of_events = application == APPLICATION
        _, wire = await ws_connect(
            lambda: _Wire(lambda event: self._take(event, on_event), closed, at_once=of_events),
            f"ws{self._base.removeprefix('http')}/events?app={application}&subscribeAll=false",
            extra_headers=self._headers,
            websocket_handshake_timeout=COMMAND_LIMIT_S,
            # They are all cut together, and commands have their time-out.
            enable_auto_ping=of_events,
            auto_ping_idle_timeout=HEARTBEAT_S,
            auto_ping_reply_timeout=HEARTBEAT_S / 2,
            logger_name=log,
        )
        assert isinstance(wire, _Wire)
        return wire

    def _take(self, event: Json, on_event: Callable[[Json], None]) -> None:
        if event["type"] == "RESTResponse":
            self._answered(event)
        elif event["type"] == "ApplicationReplaced":
            raise Replaced
        else:
            try:
                on_event(event)
            except Exception:
                # One event we cannot take must not cost the calls of all others.
                log.exception("an event was not understood", extra={"action": "event_failed"})

    def _fail_answers(self) -> None:
        for question in self._questions.values():
            _fail(question.answer, AsteriskAway("the websocket was closed"))
        self._questions.clear()

    # ---- the two ways of asking ------------------------------------------------------------------

    def _ask(
        self, verdict: "Verdict", whose: str, method: str, path: str, **query: str | int
    ) -> "asyncio.Future[None]":
        """Ask over a websocket, at once; the future is the answer. AsteriskAway, and as `verdict` says.

        What is asked for the same `whose`, a channel or what goes on there, is done in that order.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        wire = self._wire_of(whose)
        if wire is None:
            _fail(answer, AsteriskAway(self.last_problem))
            return answer
        request_id = str(next(self._numbers))
        self._questions[request_id] = _Question(f"{method} {path}", answer, verdict, loop.time())
        request = {
            "type": "RESTRequest",
            "transaction_id": request_id,
            "request_id": request_id,
            "method": method,
            "uri": path[1:],
            "query_strings": [{"name": name, "value": str(value)} for name, value in query.items()],
        }
        wire.transport.send(WSMsgType.TEXT, orjson.dumps(request))
        return answer

    def _wire_of(self, whose: str) -> _Wire | None:
        if len(self._wires) <= len(COMMAND_APPLICATIONS):
            return None
        wire = self._wires[hash(whose) % len(COMMAND_APPLICATIONS)]
        return None if wire.transport.is_disconnected else wire

    def _answered(self, reply: Json) -> None:
        question = self._questions.pop(reply["request_id"], None)
        if question is None or question.answer.done():
            return
        status = reply["status_code"]
        problem = None
        if status >= 300:
            problem = question.verdict(status, reply.get("message_body") or reply["reason_phrase"])
        if problem is None:
            question.answer.set_result(None)
        else:
            _fail(question.answer, problem)

    async def _give_up_waiting(self) -> None:
        """Fail what was not answered in time; the oldest questions come first."""
        while True:
            await asyncio.sleep(COMMAND_LIMIT_S / 10)
            longest_ago = asyncio.get_running_loop().time() - COMMAND_LIMIT_S
            while self._questions:
                request_id, question = next(iter(self._questions.items()))
                if question.asked_at > longest_ago:
                    break
                del self._questions[request_id]
                _fail(question.answer, AsteriskAway(f"no answer to {question.what} in {COMMAND_LIMIT_S} s"))

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

    @contextmanager
    def in_one_go(self, channel: str) -> Iterator[None]:
        """What is asked within leaves in one packet: each one would wake Asterisk, and cost both of us."""
        wire = self._wire_of(channel)
        if wire is None:
            yield
            return
        _set(wire.socket, TCP_CORK, True)
        try:
            yield
        finally:
            _set(wire.socket, TCP_CORK, False)

    def answer(self, channel: str) -> Awaitable[None]:
        # It waits for the channel's thread, which has nothing else to do while a call is new.
        return self._ask(of_channel, channel, "POST", f"/channels/{quote(channel)}/answer")

    def play(self, channel: str, playback: str, media: str) -> Awaitable[None]:
        return self._ask(
            of_channel, channel, "POST", f"/channels/{quote(channel)}/play/{playback}", media=media
        )

    def stop_playback(self, playback: str) -> Awaitable[None]:
        return self._ask(unless_gone, playback, "DELETE", f"/playbacks/{playback}")

    async def playback_exists(self, playback: str) -> bool:
        return await self._exists(f"/playbacks/{playback}")

    def record(self, channel: str, recording: str, limit_s: int, silence_s: int) -> Awaitable[None]:
        return self._ask(
            of_channel,
            channel,
            "POST",
            f"/channels/{quote(channel)}/record",
            name=recording,
            format="wav",
            maxDurationSeconds=limit_s,
            maxSilenceSeconds=silence_s,
            ifExists="fail",
            terminateOn="#",
        )

    def stop_recording(self, recording: str) -> Awaitable[None]:
        return self._ask(unless_gone, recording, "POST", f"/recordings/live/{quote(recording, safe='')}/stop")

    async def recording_exists(self, recording: str) -> bool:
        return await self._exists(f"/recordings/live/{quote(recording, safe='')}")

    def hang_up(self, channel: str, cause: int) -> Awaitable[None]:
        return self._ask(unless_gone, channel, "DELETE", f"/channels/{quote(channel)}", reason_code=cause)

    def continue_in_dialplan(self, channel: str, context: str, extension: str) -> Awaitable[None]:
        path = f"/channels/{quote(channel)}/continue"
        return self._ask(of_channel, channel, "POST", path, context=context, extension=extension, priority=1)

    async def whisper_to(self, channel: str, snoop: str) -> None:
        """Make the channel `snoop` in our application: what is played on it only `channel` hears."""
        query: dict[str, Any] = {"app": APPLICATION, "whisper": "out", "spy": "none", "appArgs": "meter"}
        try:
            await self._ask_http("POST", f"/channels/{quote(channel)}/snoop/{quote(snoop)}", **query)
        except AsteriskRefused as refused:
            raise of_channel(refused.status, str(refused)) from None

    # ---- what Asterisk holds ---------------------------------------------------------------------

    async def channels(self) -> list[Json]:
        """Every channel of this Asterisk, ours or not."""
        found: list[Json] = await self._ask_http("GET", "/channels")
        return found

    async def variable(self, channel: str, name: str) -> str:
        """A channel's variable, or a function's value of it; empty where it has none. Raises HungUp."""
        try:
            answer = await self._ask_http("GET", f"/channels/{quote(channel)}/variable", variable=name)
        except AsteriskRefused as refused:
            raise of_channel(refused.status, str(refused)) from None
        return str(answer["value"])

    async def living_calls(self) -> set[str]:
        """The ids of all channels, and of the calls that they belong to."""
        return calls_of(await self.channels())

    async def bridges(self) -> list[set[str]]:
        """Who is connected with whom: the ids of the channels of every bridge."""
        return [set(bridge["channels"]) for bridge in await self._ask_http("GET", "/bridges")]

    async def our_channel_ids(self) -> set[str]:
        """The channels in our application."""
        application = await self._ask_http("GET", f"/applications/{APPLICATION}")
        return set(application["channel_ids"])

    async def endpoint_names(self) -> set[str]:
        """The names of all SIP endpoints, trunks included."""
        return {endpoint["resource"] for endpoint in await self._ask_http("GET", "/endpoints/PJSIP")}

    async def put_object(self, kind: str, name: str, fields: dict[str, str]) -> None:
        """Make or change a dynamic SIP object (`auth`, `aor`, `endpoint`, `identify`, `registration`)."""
        listed = [{"attribute": attribute, "value": value} for attribute, value in fields.items()]
        await self._ask_http("PUT", _object_path(kind, name), json={"fields": listed})

    async def delete_object(self, kind: str, name: str) -> None:
        try:
            await self._ask_http("DELETE", _object_path(kind, name))
        except AsteriskRefused as refused:
            if problem := unless_gone(refused.status, str(refused)):
                raise problem from None

    async def refuse_address(self, address: str) -> None:
        """Answer 403 to every SIP request from an address, until it is admitted or Asterisk restarts."""
        path = _block(address)
        fields = [{"attribute": "deny", "value": f"{address}/{128 if ':' in address else 32}"}]
        # Asterisk makes such an object, and then answers 500: it cannot write it down for the answer.
        with suppress(AsteriskRefused):
            await self._ask_http("PUT", path, json={"fields": fields})
        try:
            await self._ask_http("GET", path)
        except AsteriskRefused as refused:
            if refused.status != 500:
                raise

    async def admit_address(self, address: str) -> None:
        with suppress(AsteriskRefused):
            await self._ask_http("DELETE", _block(address))

    async def end_channel(self, channel: str) -> None:
        """Hang up a channel, ours or not; one that is gone already is no error."""
        try:
            await self._ask_http("DELETE", f"/channels/{quote(channel)}", reason="normal")
        except AsteriskRefused as refused:
            if problem := unless_gone(refused.status, str(refused)):
                raise problem from None

    async def send_message(self, username: str, contact: str, sender: str, body: str) -> None:
        """Send a SIP MESSAGE to one contact of a device; that it was taken there is not known."""
        to = f"pjsip:{username}/{contact}"
        # In the body, since Asterisk takes no longer line than 4,096 bytes.
        await self._ask_http("PUT", "/endpoints/sendMessage", json={"to": to, "from": sender, "body": body})


def _object_path(kind: str, name: str) -> str:
    return f"/asterisk/config/dynamic/res_pjsip/{kind}/{quote(name)}"


def _block(address: str) -> str:
    return f"/asterisk/config/dynamic/res_pjsip/acl/block-{quote(address.replace(':', '_'))}"


def _set(of: socket, option: int, on: bool) -> None:
    """Set an option of TCP. That the connection has just ended is noticed elsewhere."""
    with suppress(OSError):
        of.setsockopt(IPPROTO_TCP, option, on)


def _filter() -> Json:
    return {"allowed": [{"type": name} for name in WANTED_EVENTS]}


def _fail(answer: "asyncio.Future[None]", problem: Exception) -> None:
    if not answer.done():
        answer.set_exception(problem)
        # Whoever asked may have failed already, and will not look.
        answer.exception()
