"""Callers by the hundred out of one thread, cheap enough to share two processors with what they measure.

One loop, one SIP socket and a few RTP sockets for all calls. Packets are made once: the same numbers and
times serve every call, since each goes to another port of the switch.
"""

import gc
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

from bench.measure import LATE_PACKET_S, CallRecord, Gaps, Percentiles, Run, Script
from bench.wire import CONTROL, LARGEST, SLOTS, Loop, stamp, stamped_pair, stamped_socket
from tests.sip.audio import ULAW_SILENCE, encode_ulaw, frames, speech_like
from tests.sip.dialog import Dialog
from tests.sip.message import (
    Address,
    Malformed,
    Request,
    Response,
    Uri,
    acknowledge_refusal,
    new_branch,
    new_tag,
    parse,
    parse_uri,
    respond,
)
from tests.sip.rtp import FRAME_S, FRAME_SAMPLES, RtpPacket, digit_payloads
from tests.sip.sdp import PCMU, TELEPHONE_EVENT, Audio, NoAudio, parse_audio

Peer = tuple[str, int]
Packets = Sequence[bytes] | Mapping[int, bytes]

LONGEST_CALL_S = 60
QUIET_S = 0.120
"""The start prompt is over when nothing came for so long."""

GIVE_UP_S = 10.0
RESEND_S = (0.5, 1.0, 2.0, 4.0)
DIGIT_MS = 120
DIGIT_PACKETS = DIGIT_MS // 20
RTP_SOCKETS = 8
"""More than one, since the system may grant each only a small buffer: together they outlast a hold-up."""

SSRC = 0x44454E57


@cache
def silence_packets() -> list[bytes]:
    """Silence by packet number; the first one bears the marker."""
    payload = bytes([ULAW_SILENCE]) * FRAME_SAMPLES
    return [_packet(number, payload).pack() for number in range(LONGEST_CALL_S * 50)]


@cache
def speech_packets() -> list[bytes]:
    """Speech by packet number: two seconds, over and over."""
    said = [encode_ulaw(frame) for frame in frames(speech_like(2.0))]
    return [_packet(number, said[number % len(said)]).pack() for number in range(LONGEST_CALL_S * 50)]


@cache
def hash_packets(begin: int) -> dict[int, bytes]:
    """A `#` that begins at packet `begin`, by packet number."""
    return {
        begin + step: RtpPacket(
            TELEPHONE_EVENT, begin + step, FRAME_SAMPLES * begin, SSRC, payload, marker=step == 0
        ).pack()
        for step, payload in enumerate(digit_payloads("#", DIGIT_MS))
    }


def _packet(number: int, payload: bytes) -> RtpPacket:
    return RtpPacket(PCMU, number, FRAME_SAMPLES * number, SSRC, payload, marker=number == 0)


@dataclass(slots=True, eq=False)
class _Caller:
    """A call in progress."""

    record: CallRecord
    dialog: Dialog
    invite: Request
    rtp: socket.socket
    packets: Packets = field(default_factory=silence_packets)
    number: int = 0
    """Of the next packet to send."""

    turn: int = -1
    """The packet number at which something else begins; what, says `next_turn`."""

    next_turn: Callable[["_Caller"], None] | None = None
    media: Peer | None = None
    slot: int = -1
    heard_at: float = 0.0
    heard_number: int = 0
    """Of the last packet that came."""

    heard: bool = False
    """Whether anything was heard of the INVITE."""

    over: bool = False


class Load:
    """Places calls and follows them, all in the thread that calls `run`."""

    def __init__(self, target: Peer, host: str = "127.0.0.1") -> None:
        self._target = target
        self._host = host
        self._sip = stamped_socket(host)
        pairs = [stamped_pair(host) for _ in range(RTP_SOCKETS)]
        self._rtp, self._rtcp = [rtp for rtp, _ in pairs], [rtcp for _, rtcp in pairs]
        self._sip_port: int = self._sip.getsockname()[1]
        self._offers = [Audio(host, rtp.getsockname()[1]).pack() for rtp in self._rtp]
        self._placed = 0
        self._callers: dict[str, _Caller] = {}
        self._by_port: dict[int, _Caller] = {}
        self._slots: list[list[_Caller]] = [[] for _ in range(SLOTS)]
        self._loop = Loop()
        self._records: list[CallRecord] = []
        self._gaps = Gaps()
        self._lateness: list[float] = []
        self._buffer = bytearray(LARGEST)

    def close(self) -> None:
        for one in (self._sip, *self._rtp, *self._rtcp):
            one.close()

    def run(self, plan: Sequence[tuple[float, Script]]) -> Run:
        """Place a call of each script at so many seconds from now; return when all have ended."""
        self._gaps, self._lateness, self._records = Gaps(), [], []
        self._loop.clear()
        # Made before, not while calls wait.
        silence_packets(), speech_packets()
        gc.collect()
        gc.disable()
        began, cpu_began = time.time(), time.process_time()
        for at, script in plan:
            self._loop.at(began + at, partial(self._place, script))
        try:
            self._loop.turn(
                lambda: bool(self._callers) or len(self._records) < len(plan),
                self._send_slot,
                self._receive,
                [self._sip],
            )
        finally:
            gc.enable()
        return Run(
            self._records,
            self._gaps,
            Percentiles.of(self._lateness),
            time.process_time() - cpu_began,
            time.time() - began,
        )

    # ---- the loop

    def _receive(self) -> None:
        self._receive_sip()
        self._receive_rtp()

    def _send_slot(self, due: float) -> None:
        callers = self._slots[self._loop.slot]
        if not callers:
            return
        self._lateness.append(time.time() - due)
        for caller in callers:
            number = caller.number
            if number == caller.turn and caller.next_turn:
                caller.next_turn(caller)
            if caller.media:
                caller.rtp.sendto(caller.packets[number], caller.media)
            caller.number = number + 1

    # ---- what a caller does

    def _place(self, script: Script) -> None:
        self._placed += 1
        record = CallRecord(f"090{10_000_000 + self._placed}", script)
        self._records.append(record)
        local = Address(Uri(record.caller, self._host, self._sip_port), "", f"tag={new_tag()}")
        target = f"sip:{script.extension}@{self._target[0]}:{self._target[1]}"
        dialog = Dialog(
            f"{self._placed}-{self._sip_port}",
            local,
            Address(parse_uri(target)),
            parse_uri(target),
            sequence=0,
        )
        invite = dialog.request("INVITE", self._via())
        invite.headers.add("Contact", f"<{local.uri}>")
        invite.headers.add("Content-Type", "application/sdp")
        line = self._placed % RTP_SOCKETS
        invite.body = self._offers[line]
        caller = _Caller(record, dialog, invite, self._rtp[line])
        self._callers[dialog.call_id] = caller
        record.invited_at = time.time()
        self._send(invite)
        for wait_s in RESEND_S:
            self._loop.at(record.invited_at + wait_s, lambda: self._send_again(caller))
        self._loop.at(record.invited_at + script.length_s + GIVE_UP_S, lambda: self._give_up(caller))

    def _send_again(self, caller: _Caller) -> None:
        if not caller.heard and not caller.over:
            self._send(caller.invite)

    def _give_up(self, caller: _Caller) -> None:
        if caller.over:
            return
        if caller.record.status == 200:
            self._send(caller.dialog.request("BYE", self._via()))
        self._forget(caller)

    def _take_answer(self, caller: _Caller, response: Response, at: float) -> None:
        record = caller.record
        if record.status == 200:
            self._acknowledge(caller)
            return
        caller.dialog.learn(response)
        record.status, record.answered_at = 200, at
        try:
            theirs = parse_audio(response.body)
        except NoAudio:
            self._give_up(caller)
            return
        caller.media = (theirs.host, theirs.port)
        self._by_port[theirs.port] = caller
        self._acknowledge(caller)
        # The switch begins to play when it hears us: our audio begins together with the ACK.
        record.acked_at = time.time()
        caller.rtp.sendto(caller.packets[0], caller.media)
        caller.number = 1
        caller.slot = self._loop.slot
        self._slots[caller.slot].append(caller)

    def _acknowledge(self, caller: _Caller) -> None:
        self._send(caller.dialog.request("ACK", self._via(), caller.invite.sequence))

    def _await_quiet(self, caller: _Caller) -> None:
        """Speak once the start prompt is over."""
        if caller.over:
            return
        now = time.time()
        self._receive_rtp()
        if now - caller.heard_at < QUIET_S:
            self._loop.at(caller.heard_at + QUIET_S, lambda: self._await_quiet(caller))
            return
        assert caller.record.script.speech_s is not None
        caller.record.speech_at = now
        caller.packets = speech_packets()
        caller.turn = caller.number + round(caller.record.script.speech_s / FRAME_S)
        caller.next_turn = self._press_hash

    def _press_hash(self, caller: _Caller) -> None:
        caller.record.hash_at = time.time()
        caller.packets = hash_packets(caller.number)
        caller.turn, caller.next_turn = caller.number + DIGIT_PACKETS, self._release_hash

    def _release_hash(self, caller: _Caller) -> None:
        caller.record.hash_end_at = time.time()
        caller.turn, caller.next_turn = caller.turn + len(caller.packets) - DIGIT_PACKETS, self._be_silent

    def _be_silent(self, caller: _Caller) -> None:
        caller.packets = silence_packets()

    def _forget(self, caller: _Caller) -> None:
        caller.over = True
        self._callers.pop(caller.dialog.call_id, None)
        if caller.slot >= 0:
            self._slots[caller.slot].remove(caller)
        # The switch may have given the port to another call already.
        if caller.media and self._by_port.get(caller.media[1]) is caller:
            del self._by_port[caller.media[1]]

    # ---- what comes in

    def _receive_sip(self) -> None:
        while True:
            try:
                data, control, _, _ = self._sip.recvmsg(LARGEST, CONTROL)
            except BlockingIOError:
                return
            try:
                message = parse(data)
            except Malformed:
                continue
            caller = self._callers.get(message.call_id)
            if isinstance(message, Request):
                self._take_request(caller, message, stamp(control))
            elif caller and message.cseq_method == "INVITE":
                self._take_response(caller, message, stamp(control))

    def _take_request(self, caller: _Caller | None, request: Request, at: float) -> None:
        if request.method == "ACK":
            return
        self._send(respond(request, 200))
        if caller and request.method == "BYE":
            caller.record.bye_at = at
            self._receive_rtp()
            self._forget(caller)

    def _take_response(self, caller: _Caller, response: Response, at: float) -> None:
        caller.heard = True
        if response.status < 200:
            return
        if response.status < 300:
            self._take_answer(caller, response, at)
            return
        caller.record.status = response.status
        self._send(acknowledge_refusal(caller.invite, response))
        self._forget(caller)

    def _receive_rtp(self) -> None:
        for rtp in self._rtp:
            self._receive_rtp_of(rtp)

    def _receive_rtp_of(self, rtp: socket.socket) -> None:
        receive, buffer, by_port = rtp.recvmsg_into, [self._buffer], self._by_port
        while True:
            try:
                _, control, _, peer = receive(buffer, CONTROL)
            except BlockingIOError:
                return
            caller = by_port.get(peer[1])
            if caller:
                header = self._buffer
                self._take_packet(caller, stamp(control), header[2] << 8 | header[3], header[1] >= 0x80)

    def _take_packet(self, caller: _Caller, at: float, number: int, marker: bool) -> None:
        record, since = caller.record, at - caller.heard_at
        if caller.heard_at:
            record.lost_packets += (number - caller.heard_number - 1) & 0xFFFF
        caller.heard_at, caller.heard_number = at, number
        if record.speech_at is None:
            record.start_packets += 1
            record.last_prompt_at = at
            if record.first_prompt_at is None:
                self._begin_to_listen(caller, at)
                return
        elif record.hash_at is None:
            record.stray_packets += 1
            return
        else:
            record.end_packets += 1
            if record.first_end_prompt_at is None:
                record.first_end_prompt_at = at
                return
        if not marker:
            self._gaps.add(since)
            if since > LATE_PACKET_S:
                record.late_packets += 1

    def _begin_to_listen(self, caller: _Caller, at: float) -> None:
        caller.record.first_prompt_at = at
        if caller.record.script.speech_s is not None:
            expected = at + caller.record.script.start_prompt_s
            self._loop.at(expected, lambda: self._await_quiet(caller))

    # ---- the rest

    def _via(self) -> str:
        return f"SIP/2.0/UDP {self._host}:{self._sip_port};branch={new_branch()};rport"

    def _send(self, message: Request | Response) -> None:
        self._sip.sendto(message.pack(), self._target)
