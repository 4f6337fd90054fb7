"""Calls from a carrier to ringing telephones, by the hundred out of one thread: both ends of each are here.

One socket is the carrier, another all telephones; both sides speak numbered tones, so each packet that comes
says whose it is and which. `bench.load` does the same for callers who talk to the switch itself.
"""

import gc
import secrets
import socket
import time
from collections.abc import Sequence
from functools import cache, partial

from bench.measure import Percentiles
from bench.numbered import INSIDE_HZ, LEVELS, OUTSIDE_HZ, numbers_of, payloads
from bench.talks import Leg, Peer, Script, Talk, Talked
from bench.wire import CONTROL, LARGEST, SLOTS, Loop, stamp, stamped_pair, stamped_socket
from tests.sip.dialog import Dialog
from tests.sip.digest import Credentials, authorization, parse_challenge
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
from tests.sip.rtp import FRAME_SAMPLES, RtpPacket
from tests.sip.sdp import PCMU, Audio, NoAudio, parse_audio

HOST = "127.0.0.1"
RTP_SOCKETS = 8
LONGEST_CALL_S = 60
GIVE_UP_S = 10.0
REGISTER_S = 5.0
SSRC = 0x44454E58
RTP_HEADER = 12
REGISTER_EXPIRES_S = 600


@cache
def _packets(hertz: int) -> list[bytes]:
    """By packet number."""
    said = payloads(hertz)
    return [
        RtpPacket(PCMU, number, FRAME_SAMPLES * number, SSRC, said[number % LEVELS], number == 0).pack()
        for number in range(LONGEST_CALL_S * 50)
    ]


class Exchange:
    """A carrier and the telephones of an account."""

    def __init__(self, switch: Peer) -> None:
        self._switch = switch
        self._loop = Loop()
        self._carrier, self._phones = stamped_socket(HOST), stamped_socket(HOST)
        pairs = [stamped_pair(HOST) for _ in range(RTP_SOCKETS)]
        self._rtp, self._rtcp = [rtp for rtp, _ in pairs], [rtcp for _, rtcp in pairs]
        self._placed = 0
        self._talks: dict[str, Talk] = {}
        """By Call-ID of the carrier, and by the caller's number."""

        self._rings: dict[str, tuple[Talk, Request, str]] = {}
        """By Call-ID at a telephone: the call, its INVITE, our tag."""

        self._by_port: dict[int, Leg] = {}
        self._slots: list[list[Leg]] = [[] for _ in range(SLOTS)]
        self._done: list[Talk] = []
        self._lateness: list[float] = []
        self._buffer = bytearray(LARGEST)

    def close(self) -> None:
        for one in (self._carrier, self._phones, *self._rtp, *self._rtcp):
            one.close()

    # ---- telephones register

    def register(self, username: str, password: str, expires_s: int = REGISTER_EXPIRES_S) -> None:
        """Register a telephone, or do so again; 0 seconds ends it. Raises RuntimeError if it is refused."""
        server = Uri("", *self._switch)
        local = Address(Uri(username, *self._switch), "", f"tag={new_tag()}")
        dialog = Dialog(secrets.token_hex(12), local, Address(local.uri), server, sequence=0)
        request = self._registering(dialog, username, expires_s)
        response = self._asked(request)
        if response.status == 401:
            challenge = parse_challenge(response.headers.get("WWW-Authenticate"))
            again = self._registering(dialog, username, expires_s)
            known = Credentials(username, password)
            value = authorization(challenge, known, "REGISTER", again.uri, secrets.token_hex(8))
            again.headers.add("Authorization", value)
            response = self._asked(again)
        if response.status != 200:
            raise RuntimeError(f"a REGISTER was answered {response.status}")

    def _registering(self, dialog: Dialog, username: str, expires_s: int) -> Request:
        request = dialog.request("REGISTER", _via(self._phones))
        request.headers.add("Contact", f"<{Uri(username, *self._phones.getsockname())}>")
        request.headers.add("Expires", str(expires_s))
        return request

    def _asked(self, request: Request) -> Response:
        deadline = time.monotonic() + REGISTER_S
        self._phones.sendto(request.pack(), self._switch)
        while time.monotonic() < deadline:
            for message, _ in _messages(self._phones):
                if isinstance(message, Response) and message.call_id == request.call_id:
                    return message
                if isinstance(message, Request):
                    self._at_phone(message, time.time())
            time.sleep(0.0005)
        raise RuntimeError("a REGISTER was not answered")

    # ---- calls

    def run(self, plan: Sequence[tuple[float, Script]]) -> Talked:
        """Place a call of each script at so many seconds from now; return when all have ended."""
        self._done, self._lateness = [], []
        self._loop.clear()
        for hertz in (INSIDE_HZ, OUTSIDE_HZ):
            # Made before, not while calls wait.
            _packets(hertz), numbers_of(hertz)
        gc.collect()
        gc.disable()
        began, cpu_began = time.time(), time.process_time()
        for at, script in plan:
            self._loop.at(began + at, partial(self._place, script))
        try:
            self._loop.turn(
                lambda: len(self._done) < len(plan),
                self._send_slot,
                self._receive,
                [self._carrier, self._phones],
            )
        finally:
            gc.enable()
        share = (time.process_time() - cpu_began) / (time.time() - began)
        return Talked(self._done, Percentiles.of(self._lateness), share)

    def _send_slot(self, due: float) -> None:
        legs = self._slots[self._loop.slot]
        if legs:
            self._lateness.append(time.time() - due)
        for leg in legs:
            assert leg.media is not None
            leg.rtp.sendto(leg.packets[leg.number], leg.media)
            leg.number += 1

    def _speak(self, leg: Leg, body: bytes) -> None:
        """Begin to send to where a description says, and to listen to what comes from there."""
        theirs = parse_audio(body)
        leg.media = (theirs.host, theirs.port)
        self._by_port[theirs.port] = leg
        leg.slot = self._loop.slot
        self._slots[leg.slot].append(leg)

    def _place(self, script: Script) -> None:
        self._placed += 1
        caller = f"090{20_000_000 + self._placed}"
        # The two sides of a call use different sockets, and so do neighbours.
        lines = [self._rtp[(self._placed + side) % RTP_SOCKETS] for side in (0, RTP_SOCKETS // 2)]
        talk = Talk(
            caller,
            script,
            Leg(_packets(OUTSIDE_HZ), numbers_of(INSIDE_HZ), lines[0]),
            Leg(_packets(INSIDE_HZ), numbers_of(OUTSIDE_HZ), lines[1]),
        )
        local = Address(Uri(caller, *self._carrier.getsockname()), "", f"tag={new_tag()}")
        target = parse_uri(f"sip:{script.extension}@{self._switch[0]}:{self._switch[1]}")
        dialog = Dialog(f"{self._placed}-{secrets.token_hex(4)}", local, Address(target), target, sequence=0)
        talk.outside.dialog = dialog
        talk.invite = invite = dialog.request("INVITE", _via(self._carrier))
        invite.headers.add("Contact", f"<{local.uri}>")
        invite.headers.add("Content-Type", "application/sdp")
        invite.body = _offer(talk.outside)
        self._talks[dialog.call_id] = self._talks[caller] = talk
        talk.invited_at = time.time()
        self._carrier.sendto(invite.pack(), self._switch)
        limit = script.ring_s + script.told_s + script.talk_s + GIVE_UP_S
        self._loop.at(talk.invited_at + limit, lambda: self._give_up(talk))

    def _give_up(self, talk: Talk) -> None:
        if talk.outside.dialog and talk.outside.dialog.call_id in self._talks:
            if talk.status == 200 and talk.hung_up_at is None:
                self._carrier.sendto(self._bye(talk.outside, self._carrier), self._switch)
            self._finish(talk)

    # ---- the carrier's side

    def _at_carrier(self, message: Request | Response, at: float) -> None:
        talk = self._talks.get(message.call_id)
        if isinstance(message, Request):
            if message.method != "ACK":
                self._carrier.sendto(respond(message, 200).pack(), self._switch)
            if talk and message.method == "BYE":
                talk.ended_at = at
                self._finish(talk)
        elif talk and message.cseq_method == "INVITE" and message.final:
            self._answered(talk, message, at)
        elif talk and message.cseq_method == "BYE" and talk.ended_at:
            self._finish(talk)

    def _answered(self, talk: Talk, response: Response, at: float) -> None:
        dialog = talk.outside.dialog
        assert dialog is not None and talk.invite is not None
        if response.status >= 300:
            talk.status = response.status
            self._carrier.sendto(acknowledge_refusal(talk.invite, response).pack(), self._switch)
            self._finish(talk)
            return
        if talk.status != 200:
            dialog.learn(response)
            talk.status, talk.answered_at = 200, at
            try:
                self._speak(talk.outside, response.body)
            except NoAudio:
                self._give_up(talk)
                return
            end = time.time() + talk.script.told_s + talk.script.talk_s
            self._loop.at(end, lambda: self._hang_up(talk))
        ack = dialog.request("ACK", _via(self._carrier), talk.invite.sequence)
        self._carrier.sendto(ack.pack(), self._switch)

    def _hang_up(self, talk: Talk) -> None:
        """One side does, by turns."""
        if talk.outside.dialog is None or talk.outside.dialog.call_id not in self._talks:
            return
        inside_first = int(talk.caller) % 2 == 0 and talk.inside.dialog is not None
        leg, wire = (talk.inside, self._phones) if inside_first else (talk.outside, self._carrier)
        talk.hung_up_at = time.time()
        wire.sendto(self._bye(leg, wire), self._switch)

    def _bye(self, leg: Leg, wire: socket.socket) -> bytes:
        assert leg.dialog is not None
        return leg.dialog.request("BYE", _via(wire)).pack()

    # ---- the telephones' side

    def _at_phone(self, message: Request | Response, at: float) -> None:
        if isinstance(message, Response):
            return
        match message.method:
            case "INVITE":
                self._ring(message, at)
            case "CANCEL":
                self._stop_ringing(message, at)
            case "BYE":
                self._phones.sendto(respond(message, 200).pack(), self._switch)
                talk, _, _ = self._rings.get(message.call_id, (None, None, ""))
                if talk:
                    talk.ended_at = at
                    self._finish(talk)
            case "ACK":
                pass
            case _:
                self._phones.sendto(respond(message, 200, to_tag=new_tag()).pack(), self._switch)

    def _ring(self, invite: Request, at: float) -> None:
        talk = self._talks.get(invite.sender.uri.user)
        if talk is None or invite.call_id in self._rings:
            return
        tag = new_tag()
        self._rings[invite.call_id] = (talk, invite, tag)
        self._phones.sendto(respond(invite, 180, to_tag=tag).pack(), self._switch)
        if talk.rang_at is None:
            talk.rang_at = at
            self._loop.at(at + talk.script.ring_s, lambda: self._pick_up(talk))
        talk.rung += 1

    def _pick_up(self, talk: Talk) -> None:
        """Each call is taken by another telephone."""
        ringing = [one for one in self._rings.values() if one[0] is talk]
        if not ringing or talk.picked_up_at is not None:
            return
        _, invite, tag = ringing[int(talk.caller) % len(ringing)]
        leg = talk.inside
        leg.dialog = Dialog.answering(invite, tag)
        response = respond(invite, 200, to_tag=tag)
        response.headers.add("Contact", f"<{Uri('phone', *self._phones.getsockname())}>")
        response.headers.add("Content-Type", "application/sdp")
        response.body = _offer(leg)
        talk.picked_up_at = time.time()
        self._phones.sendto(response.pack(), self._switch)
        self._speak(leg, invite.body)

    def _stop_ringing(self, cancel: Request, at: float) -> None:
        self._phones.sendto(respond(cancel, 200, to_tag=new_tag()).pack(), self._switch)
        talk, invite, tag = self._rings.pop(cancel.call_id, (None, None, ""))
        if talk and invite:
            talk.cancelled_at.append(at)
            self._phones.sendto(respond(invite, 487, to_tag=tag).pack(), self._switch)

    # ---- both

    def _receive(self) -> None:
        for message, at in _messages(self._phones):
            self._at_phone(message, at)
        for message, at in _messages(self._carrier):
            self._at_carrier(message, at)
        for rtp in self._rtp:
            self._receive_rtp(rtp)

    def _receive_rtp(self, rtp: socket.socket) -> None:
        receive, buffer, by_port = rtp.recvmsg_into, [self._buffer], self._by_port
        while True:
            try:
                size, control, _, peer = receive(buffer, CONTROL)
            except BlockingIOError:
                return
            leg = by_port.get(peer[1])
            if leg:
                leg.take(bytes(self._buffer[RTP_HEADER:size]), stamp(control))

    def _finish(self, talk: Talk) -> None:
        for rtp in self._rtp:
            self._receive_rtp(rtp)
        assert talk.outside.dialog is not None
        if self._talks.pop(talk.outside.dialog.call_id, None) is None:
            return
        self._talks.pop(talk.caller, None)
        for call_id in [key for key, (one, _, _) in self._rings.items() if one is talk]:
            del self._rings[call_id]
        for leg in (talk.outside, talk.inside):
            if leg.slot >= 0:
                self._slots[leg.slot].remove(leg)
            # The switch may have given the port to another call already.
            if leg.media and self._by_port.get(leg.media[1]) is leg:
                del self._by_port[leg.media[1]]
        self._done.append(talk)


def _messages(wire: socket.socket) -> list[tuple[Request | Response, float]]:
    """All that has come, with its time."""
    found: list[tuple[Request | Response, float]] = []
    while True:
        try:
            data, control, _, _ = wire.recvmsg(LARGEST, CONTROL)
        except BlockingIOError:
            return found
        try:
            found.append((parse(data), stamp(control)))
        except Malformed:
            continue


def _via(wire: socket.socket) -> str:
    host, port = wire.getsockname()
    return f"SIP/2.0/UDP {host}:{port};branch={new_branch()};rport"


def _offer(leg: Leg) -> bytes:
    return Audio(HOST, leg.rtp.getsockname()[1]).pack()
