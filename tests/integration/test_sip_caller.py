"""Two of our test phones call each other over real sockets: what tests stand on must itself be right."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal, cast

import pytest

from tests.sip import AUDIO, CallEnded, Refused, SipCaller, keys, silence_of, tone, tone_of
from tests.sip.call import IncomingCall, OutgoingCall
from tests.sip.message import Request, parse, respond
from tests.sip.sdp import PCMA, PCMU, Audio

pytestmark = pytest.mark.integration

Phones = tuple[SipCaller, SipCaller]


@pytest.fixture(params=["udp", "tcp"])
async def phones(request: pytest.FixtureRequest) -> AsyncIterator[Phones]:
    transport: Literal["udp", "tcp"] = request.param
    async with SipCaller(transport=transport) as here, SipCaller(transport=transport) as there:
        yield here, there


def address(phone: SipCaller) -> str:
    return f"sip:100@127.0.0.1:{phone.port}"


async def connected(phones: Phones, codecs: tuple[int, ...] = (PCMU,)) -> tuple[OutgoingCall, IncomingCall]:
    here, there = phones
    call = await here.invite(address(there), "0901234567", codecs=codecs)
    other = await there.incoming()
    await other.answer()
    await call.answered(timeout_s=1)
    return call, other


async def test_a_whole_call(phones: Phones) -> None:
    here, there = phones
    headers = {"Privacy": "id", "P-Asserted-Identity": "<sip:+81901234567@127.0.0.1>"}
    call = await here.invite(address(there), display_name="客", headers=headers)
    other = await there.incoming()
    assert (other.caller.uri.user, other.caller.display_name) == ("anonymous", "客")
    assert other.asserted and other.asserted.uri.user == "+81901234567"
    other.ring()
    await other.answer()
    await call.answered(timeout_s=1)
    assert call.ringing_at is not None
    speaking = asyncio.create_task(other.speak(tone(1000, 0.3)))
    await call.hear(until=tone_of(1000), timeout_s=2)
    await call.hear(until=silence_of(0.1), timeout_s=2)
    await speaking
    assert call.sound.loud.seconds == pytest.approx(0.3, abs=0.05)
    assert call.sound.lost() == 0
    await other.hang_up()
    assert (await call.ended(timeout_s=1)).by == "switch"
    assert (await other.ended(timeout_s=1)).by == "caller"


async def test_keys_and_hold(phones: Phones) -> None:
    call, other = await connected(phones)
    await call.press("1#")
    await other.hear(until=keys("1#"), timeout_s=1)
    await call.hold()
    await call.resume()
    await call.hang_up()
    await other.ended(timeout_s=1)


async def test_alaw(phones: Phones) -> None:
    call, other = await connected(phones, codecs=(PCMA,))
    await call.speak(tone(800, 0.2))
    await other.hear(until=tone_of(800), timeout_s=1)
    assert {packet.payload_type for packet in other.heard} == {PCMA}


async def test_a_refused_call(phones: Phones) -> None:
    here, there = phones
    call = await here.invite(address(there), "0901234567")
    (await there.incoming()).reject(486)
    with pytest.raises(Refused, match="486 Busy Here"):
        await call.answered(timeout_s=1)
    assert (await call.ended(timeout_s=1)).by == "switch"


async def test_the_caller_gives_up_while_it_rings(phones: Phones) -> None:
    here, there = phones
    call = await here.invite(address(there), "0901234567")
    other = await there.incoming()
    other.ring()
    await call.cancel()
    with pytest.raises(Refused, match="487"):
        await call.answered(timeout_s=1)
    assert (await call.ended(timeout_s=1)).by == "caller"
    assert (await other.ended(timeout_s=1)).by == "switch"
    with pytest.raises(CallEnded):
        await other.answer()


async def test_hanging_up_wakes_who_listens_and_who_speaks(phones: Phones) -> None:
    call, other = await connected(phones)
    listening = asyncio.create_task(call.hear(until=AUDIO, timeout_s=5))
    speaking = asyncio.create_task(call.speak(tone(440, 5)))
    await other.hear(until=AUDIO, timeout_s=1)
    await other.hang_up()
    for waiting in (listening, speaking):
        with pytest.raises(CallEnded):
            await waiting


async def test_a_phone_without_rtp_sends_none(phones: Phones) -> None:
    here, there = phones
    call = await here.invite(address(there), "0901234567", send_rtp=False)
    other = await there.incoming()
    await other.answer()
    await call.answered(timeout_s=1)
    await call.speak(tone(440, 0.2))
    assert other.heard == []


async def test_a_pause_shows_as_a_step_in_time(phones: Phones) -> None:
    call, other = await connected(phones)
    call.pause_rtp(0.2)
    await call.speak(tone(440, 0.4))
    await other.hear(until=silence_of(0.1), timeout_s=1)
    pairs = zip(other.heard, other.heard[1:], strict=False)
    assert max(late.timestamp - early.timestamp for early, late in pairs) >= 8 * 160
    assert other.sound.lost() == 0


async def test_a_vanished_phone_answers_nothing(phones: Phones) -> None:
    call, other = await connected(phones)
    call.vanish()
    hanging_up = asyncio.create_task(other.hang_up())
    done, _ = await asyncio.wait([hanging_up], timeout=0.3)
    assert not done
    hanging_up.cancel()


async def test_requests_outside_calls(phones: Phones) -> None:
    here, there = phones
    sent = await here.request("MESSAGE", address(there), "0901234567", body="留守".encode())
    assert sent.status == 200
    assert (await there.received("MESSAGE", timeout_s=1)).body.decode() == "留守"


class DeafPeer(asyncio.DatagramProtocol):
    """Loses the first INVITE, then answers it twice, as if the ACK had been lost."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.acknowledged = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = parse(data)
        assert isinstance(request, Request)
        self.seen.append(request.method)
        if self.seen.count("ACK") == 2:
            self.acknowledged.set()
        if self.seen.count("INVITE") == 2 and request.method == "INVITE":
            answer = respond(request, 200, to_tag="peer")
            answer.headers.add("Contact", f"<sip:100@127.0.0.1:{self.port}>")
            answer.body = Audio("127.0.0.1", 9).pack()
            self._wire.sendto(answer.pack(), addr)
            self._wire.sendto(answer.pack(), addr)
        if request.method == "BYE":
            self._wire.sendto(respond(request, 200).pack(), addr)


async def test_lost_datagrams_are_made_good() -> None:
    peer = DeafPeer()
    loop = asyncio.get_running_loop()
    wire, _ = await loop.create_datagram_endpoint(lambda: peer, local_addr=("127.0.0.1", 0))
    async with SipCaller() as phone:
        call = await phone.invite(f"sip:100@127.0.0.1:{peer.port}", "0901234567")
        await call.answered(timeout_s=2)
        await asyncio.wait_for(peer.acknowledged.wait(), 1)
        await call.hang_up()
    wire.close()
    assert peer.seen == ["INVITE", "INVITE", "ACK", "ACK", "BYE"]
