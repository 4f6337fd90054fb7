"""A call as a test sees it: what a person at a phone can do, and nothing of SIP."""

import asyncio
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.sip.audio import Samples, encode_alaw, encode_ulaw, frames, read_wav
from tests.sip.dialog import Dialog
from tests.sip.errors import CallEnded, Ending, Refused, Side
from tests.sip.listening import HeardPacket, Sound, Until
from tests.sip.media import Media
from tests.sip.message import Address, Request, Response, acknowledge_refusal, new_tag, parse_address, respond
from tests.sip.phone import Phone
from tests.sip.rtp import digit_payloads
from tests.sip.sdp import PCMA, PCMU, Audio, Direction, NoAudio, agree, fax_offer, parse_audio
from tests.sip.transactions import T1_S, T2_S, ClientTransaction
from tests.sip.transport import Peer

ENCODERS = {PCMU: encode_ulaw, PCMA: encode_alaw}
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, NOTIFY, MESSAGE"
GOOD_BYE_S = 5.0
JOINED_S = 10.0
PROVISIONAL_S = 2.0
GLARE_S = 1.0
"""Who did not begin the call tries again within two seconds."""

PENDING_S = 0.2


class Call:
    """One call, from either side. Times are seconds, moments are on the event loop's clock."""

    def __init__(
        self, phone: Phone, dialog: Dialog, media: Media, codecs: tuple[int, ...], peer: Peer
    ) -> None:
        self.dialog = dialog
        self.media = media
        self.answered_at: float | None = None
        self._phone, self._peer = phone, peer
        self._offer = Audio(media.host, media.port, codecs)
        self._version = 1
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Ending] = self._loop.create_future()
        self.vanished = False
        self._joined: asyncio.Future[int] | None = None
        """The final status of our last transfer; None where it was a blind one, which nobody waits for."""
        self._collision: asyncio.Future[None] | None = None
        """Done once the far end has made the offer that is to collide with ours."""

    @property
    def heard(self) -> list[HeardPacket]:
        """Every RTP packet so far, in order of arrival."""
        return self.media.heard

    @property
    def sound(self) -> Sound:
        """Everything heard so far."""
        return Sound(self.heard)

    @property
    def ending(self) -> Ending | None:
        """How it ended; None while it goes on."""
        return self._ended.result() if self._ended.done() else None

    async def hear(self, until: Until, timeout_s: float) -> Sound:
        """Listen from where the last listening ended. Raises CallEnded, TimeoutError."""
        return await self.media.hear(until, timeout_s)

    async def speak(self, speech: Samples | Path) -> None:
        """Say it in real time: samples at 8 kHz, or an 8 kHz WAV. Raises CallEnded."""
        samples = read_wav(speech) if isinstance(speech, Path) else speech
        encode = ENCODERS[self.media.codec]
        await self.media.speak(encode(frame) for frame in frames(samples))

    async def press(self, digits: str, duration_ms: int = 120, pause_ms: int = 80) -> None:
        """Press keys, one after the other (RFC 4733). Raises CallEnded."""
        for place, digit in enumerate(digits):
            if place:
                await asyncio.sleep(pause_ms / 1000)
            await self.media.press(digit_payloads(digit, duration_ms))

    def pause_rtp(self, seconds: float) -> None:
        """Send nothing for so long, as if the way to the switch were cut."""
        self.media.pause(seconds)

    async def hold(self) -> None:
        """Put the far end on hold. Raises Refused."""
        await self._renegotiate("sendonly")

    async def resume(self) -> None:
        """Take the far end off hold. Raises Refused."""
        await self._renegotiate("sendrecv")

    async def collide(self, timeout_s: float) -> list[int]:
        """Offer anew at the very moment in which the far end does, and refuse its offer meanwhile (491).

        What the far end said to each of ours, until one was taken (RFC 3261, 14.1). Raises TimeoutError.
        """
        self._collision = self._loop.create_future()
        await asyncio.wait_for(self._collision, timeout_s)
        said: list[int] = []
        while 200 not in said:
            try:
                await self._renegotiate("sendrecv")
                said.append(200)
            except Refused as refused:
                said.append(refused.status)
                self._collision = None
                await asyncio.sleep(GLARE_S)
        return said

    async def offer_t38(self) -> int:
        """Ask to go on as a fax over T.38; what the far end says to it."""
        request = self.dialog.request("INVITE", self._phone.via())
        request.headers.add("Contact", self._phone.contact(self.dialog.local.uri.user))
        request.body = fax_offer(self.media.host, self.media.port, self._next_version())
        _describe(request)
        response = await self._phone.transact(request, self._peer, GOOD_BYE_S)
        if response.status >= 300:
            self._phone.send(acknowledge_refusal(request, response), self._peer)
        else:
            self._acknowledge(request.sequence)
        return response.status

    async def refer(self, target: str, instead_of: "Call | None" = None) -> None:
        """Send the far end to `target`; with `instead_of`, to whom that call of ours talks with (RFC 3891).

        Then it returns once the two are joined, as telephones wait for that: whoever hangs up before may end
        the call that was to be handed on. Raises Refused, TimeoutError.
        """
        joined = self._joined = self._loop.create_future() if instead_of else None
        if instead_of is not None:
            dialog = instead_of.dialog
            tags = f"to-tag={dialog.remote.tag};from-tag={dialog.local.tag}"
            target += f"?Replaces={quote(f'{dialog.call_id};{tags}', safe='')}"
        request = self.dialog.request("REFER", self._phone.via())
        request.headers.add("Contact", self._phone.contact(self.dialog.local.uri.user))
        request.headers.add("Refer-To", f"<{target}>")
        request.headers.add("Referred-By", f"<{self.dialog.local.uri}>")
        response = await self._phone.transact(request, self._peer, GOOD_BYE_S)
        if response.status >= 300:
            raise Refused(response.status, response.reason)
        if joined is not None:
            await self._until_joined(joined)

    async def _until_joined(self, joined: "asyncio.Future[int]") -> None:
        """Until a NOTIFY says how the transfer went (RFC 3515), or the far end has no more use for us."""
        either: set[asyncio.Future[Any]] = {joined, self._ended}
        async with asyncio.timeout(JOINED_S):
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if joined.done() and joined.result() >= 300:
            raise Refused(joined.result(), "the transfer failed")

    async def hang_up(self) -> None:
        """End the call from our side. Does nothing once it has ended."""
        if self._ended.done():
            return
        self._end("caller")
        await self._phone.transact(self.dialog.request("BYE", self._phone.via()), self._peer, GOOD_BYE_S)

    async def ended(self, timeout_s: float) -> Ending:
        """Wait for the end. Raises TimeoutError."""
        return await asyncio.wait_for(asyncio.shield(self._ended), timeout_s)

    def vanish(self) -> None:
        """From now on neither send nor answer anything, as a phone whose battery is gone."""
        self.vanished = True
        self._end("caller")

    def take_request(self, request: Request) -> Response | None:
        """Answer a request of the far end within this call; None leaves it without an answer."""
        if self.vanished:
            return None
        match request.method:
            case "BYE":
                self._end("switch", _cause(request))
                return respond(request, 200)
            case "INVITE" | "UPDATE":
                if self._collision is not None:
                    if not self._collision.done():
                        self._collision.set_result(None)
                    # Not at once: its offer is to be open when ours comes.
                    self._loop.call_later(PENDING_S, self._phone.respond, respond(request, 491), self._peer)
                    return None
                return self._answer_offer(request)
            case "ACK":
                self._acknowledged(request)
                return None
            case "NOTIFY":
                self._take_progress(request)
                return respond(request, 200)
            case "OPTIONS" | "INFO" | "MESSAGE":
                return respond(request, 200)
        return respond(request, 501)

    def _take_progress(self, request: Request) -> None:
        """A piece of a response (message/sipfrag) says how far a transfer is; from 200 on it is final."""
        fragment = re.match(rb"SIP/2\.0 ([2-6]\d\d)", request.body)
        if fragment and self._joined is not None and not self._joined.done():
            self._joined.set_result(int(fragment[1]))

    @property
    def _local_tag(self) -> str:
        return self.dialog.local.tag

    def _acknowledged(self, request: Request) -> None:
        """The far end has our answer."""

    def _answer_offer(self, request: Request) -> Response:
        """A change of the call by the far end: audio is agreed to, anything else (T.38) is not."""
        response = respond(request, 200, to_tag=self._local_tag)
        try:
            if request.body:
                response.body = self._agree(request.body).pack(self._next_version())
            elif request.method == "INVITE":
                response.body = self._offer.pack(self._next_version())
        except NoAudio:
            return respond(request, 488, to_tag=self._local_tag)
        _describe(response)
        response.headers.add("Contact", self._phone.contact(self.dialog.local.uri.user))
        return response

    def _agree(self, offer: bytes) -> Audio:
        theirs = parse_audio(offer)
        answer = agree(self._offer, theirs)
        self.media.connect(Audio(theirs.host, theirs.port, answer.formats, theirs.event_format))
        return answer

    async def _renegotiate(self, direction: Direction) -> None:
        offer = Audio(self._offer.host, self._offer.port, self._offer.formats, direction=direction)
        request = self.dialog.request("INVITE", self._phone.via())
        request.headers.add("Contact", self._phone.contact(self.dialog.local.uri.user))
        request.body = offer.pack(self._next_version())
        _describe(request)
        response = await self._phone.transact(request, self._peer, GOOD_BYE_S)
        if response.status >= 300:
            self._phone.send(acknowledge_refusal(request, response), self._peer)
            raise Refused(response.status, response.reason)
        self._acknowledge(request.sequence)

    def _acknowledge(self, sequence: int) -> None:
        if not self.vanished:
            self._phone.send(self.dialog.request("ACK", self._phone.via(), sequence), self._peer)

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _end(self, by: Side, cause: int | None = None) -> None:
        if not self._ended.done():
            ending = Ending(by, self._loop.time(), cause)
            self._ended.set_result(ending)
            self.media.close(ending)


class OutgoingCall(Call):
    """A call that we make."""

    def __init__(
        self, phone: Phone, dialog: Dialog, media: Media, codecs: tuple[int, ...], peer: Peer
    ) -> None:
        super().__init__(phone, dialog, media, codecs, peer)
        self.ringing_at: float | None = None
        self._answer: asyncio.Future[None] = self._loop.create_future()
        self._provisional = asyncio.Event()
        self._invite: ClientTransaction | None = None
        self._cancelled = False

    @property
    def offer(self) -> bytes:
        """What the INVITE offers."""
        return self._offer.pack()

    async def answered(self, timeout_s: float) -> None:
        """Wait until the far end takes the call. Raises Refused, TimeoutError."""
        await asyncio.wait_for(asyncio.shield(self._answer), timeout_s)

    async def hang_up(self) -> None:
        """End the call from our side; while it rings that is `cancel`."""
        if self.answered_at is None:
            await self.cancel()
        else:
            await super().hang_up()

    async def cancel(self) -> None:
        """Give up while it rings; `answered` then raises Refused(487)."""
        if self._ended.done() or self._invite is None or self._cancelled:
            return
        self._cancelled = True
        # RFC 3261, 9.1: not before the far end has answered anything.
        await asyncio.wait_for(self._provisional.wait(), PROVISIONAL_S)
        request = self.dialog.request("CANCEL", self._invite.request.headers.get("Via"), self.dialog.sequence)
        request.uri = self._invite.request.uri
        request.headers.set("To", self._invite.request.headers.get("To"))
        await self._phone.transact(request, self._peer, GOOD_BYE_S)
        await self.ended(GOOD_BYE_S)

    def vanish(self) -> None:
        super().vanish()
        if self._invite:
            self._invite.stop()

    async def follow(self, invite: Request) -> None:
        """See the INVITE through to its end; what comes of it shows in `answered` and `ended`."""
        try:
            await self._follow(invite)
        except Exception as wrong:
            self._refused(wrong)

    async def _follow(self, invite: Request) -> None:
        while True:
            self.dialog.sequence = invite.sequence
            self._invite = self._phone.start(invite, self._peer)
            response = await self._final_response(self._invite)
            if self.vanished:
                return
            if response.status < 300:
                return await self._take_answer(invite, response)
            acknowledge = partial(self._phone.send, acknowledge_refusal(invite, response), self._peer)
            acknowledge()
            self._invite.on_repeated_final = acknowledge
            authorized = self._phone.authorize(invite, response)
            if authorized is None:
                self._refused(Refused(response.status, response.reason), _cause(response))
                return
            invite = authorized

    async def _final_response(self, transaction: ClientTransaction) -> Response:
        while not (response := await transaction.next_response()).final:
            self._provisional.set()
            if response.status >= 180 and self.ringing_at is None:
                self.ringing_at = self._loop.time()
            if response.body:
                self._connect(response)
        self._provisional.set()
        return response

    async def _take_answer(self, invite: Request, response: Response) -> None:
        assert self._invite
        self.dialog.learn(response)
        self._invite.on_repeated_final = lambda: self._acknowledge(invite.sequence)
        self.answered_at = self._loop.time()
        self._acknowledge(invite.sequence)
        self._connect(response)
        if not self._answer.done():
            self._answer.set_result(None)
        if self._cancelled:
            # They answered in the very moment we gave up.
            await super().hang_up()

    def _connect(self, response: Response) -> None:
        theirs = parse_audio(response.body)
        common = tuple(one for one in theirs.formats if one in self._offer.formats)
        self.media.connect(Audio(theirs.host, theirs.port, common, theirs.event_format))

    def _refused(self, reason: Exception, cause: int | None = None) -> None:
        if not self._answer.done():
            self._answer.set_exception(reason)
            # Nobody need ask: a caller that only cancels does not.
            self._answer.exception()
        self._end("caller" if self._cancelled else "switch", cause)

    def _end(self, by: Side, cause: int | None = None) -> None:
        super()._end(by, cause)
        if not self._answer.done():
            self._answer.set_exception(CallEnded(self._ended.result()))
            self._answer.exception()


class IncomingCall(Call):
    """A call that comes to us."""

    def __init__(
        self, phone: Phone, invite: Request, media: Media, codecs: tuple[int, ...], peer: Peer
    ) -> None:
        super().__init__(phone, Dialog.answering(invite, new_tag()), media, codecs, peer)
        self.invite = invite
        self._acked = asyncio.Event()

    @property
    def caller(self) -> Address:
        """Who calls, by From."""
        return self.invite.sender

    @property
    def asserted(self) -> Address | None:
        """Who calls, by P-Asserted-Identity."""
        value = self.invite.headers.get("P-Asserted-Identity")
        return parse_address(value) if value else None

    def ring(self) -> None:
        """Say that it rings here."""
        self._respond(180)

    async def answer(self, timeout_s: float = 5.0) -> None:
        """Take the call; returns once the far end knows it. Raises NoAudio, CallEnded, TimeoutError."""
        if self._ended.done():
            raise CallEnded(self._ended.result())
        response = self._answer_offer(self.invite)
        if response.status != 200:
            self._phone.respond(response, self._peer)
            raise NoAudio("no common codec")
        self.answered_at = self._loop.time()
        async with asyncio.timeout(timeout_s):
            await self._repeat_until_acked(response)
        if self._ended.done():
            raise CallEnded(self._ended.result())

    def reject(self, status: int = 486) -> None:
        """Refuse the call."""
        self._respond(status)
        self._end("caller")

    async def hang_up(self) -> None:
        """End the call from our side; while it rings that is `reject`."""
        if self.answered_at is None and not self._ended.done():
            self.reject(480)
        else:
            await super().hang_up()

    def take_request(self, request: Request) -> Response | None:
        if request.method != "CANCEL" or self.vanished:
            return super().take_request(request)
        if self.answered_at is None and not self._ended.done():
            self._respond(487)
            self._end("switch", _cause(request))
        return respond(request, 200, to_tag=self._local_tag)

    def _respond(self, status: int) -> None:
        response = respond(self.invite, status, to_tag=self._local_tag)
        response.headers.add("Contact", self._phone.contact(self.dialog.local.uri.user))
        if not self.vanished:
            self._phone.respond(response, self._peer)

    def _acknowledged(self, request: Request) -> None:
        if request.body and not self.invite.body:
            self._agree(request.body)
        self._acked.set()

    async def _repeat_until_acked(self, response: Response) -> None:
        wait_s = T1_S
        while not (self._acked.is_set() or self._ended.done()):
            self._phone.respond(response, self._peer)
            try:
                await asyncio.wait_for(self._acked.wait(), wait_s)
            except TimeoutError:
                wait_s = min(2 * wait_s, T2_S)


def describe_headers(pairs: Iterable[tuple[str, str]], message: Request | Response) -> None:
    """Add headers that a test asks for."""
    for name, value in pairs:
        message.headers.add(name, value)


def _describe(message: Request | Response) -> None:
    if message.body:
        message.headers.add("Content-Type", "application/sdp")
    message.headers.add("Allow", ALLOW)


def _cause(message: Request | Response) -> int | None:
    found = re.search(r"Q\.850\s*;\s*cause\s*=\s*(\d+)", message.headers.get("Reason"), re.IGNORECASE)
    return int(found[1]) if found else None
