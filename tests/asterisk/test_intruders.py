"""Who is not let in: garbage, guessing, scanning; and calls go on meanwhile."""

import asyncio
import random
import socket
from collections.abc import Iterator

import pytest

from tests.asterisk.conftest import TONE_HZ, Line
from tests.asterisk.test_trunks import HOST, trunk
from tests.running_switch import Json, RunningSwitch, eventually, until
from tests.sip import Refused, SipCaller, silence_of, tone, tone_of

pytestmark = pytest.mark.asterisk

STRANGER = "127.0.0.99"
SCANNER = "friendly-scanner"


def registrar(switch: RunningSwitch) -> str:
    return f"sip:127.0.0.1:{switch.sip_port}"


@pytest.fixture
def operator(switch: RunningSwitch) -> str:
    token: str = switch.ready["operator_token"]
    return token


@pytest.fixture(autouse=True)
def unblocked(switch: RunningSwitch) -> Iterator[None]:
    """Nobody is blocked when the next test begins."""
    yield

    async def release() -> None:
        token = switch.ready["operator_token"]
        for one in (await switch.ask("GET", "/api/v1/blocked-addresses", token))["items"]:
            path = "/api/v1/blocked-addresses:release"
            await switch.ask("POST", path, token, json={"address": one["address"]})

    asyncio.run(release())
    until(lambda: not blocked(switch, STRANGER), 15, "the stranger is heard again")


def blocked(switch: RunningSwitch, address: str) -> bool:
    """Whether a request from there is refused before anything else is looked at."""
    request = (
        "OPTIONS sip:127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {address};branch=z9hG4bK{random.random()};rport\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:x@x>;tag=1\r\nTo: <sip:x@x>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.bind((address, 0))
        wire.settimeout(2)
        wire.sendto(request.encode(), ("127.0.0.1", switch.sip_port))
        try:
            return b" 403 " in wire.recv(4000).split(b"\r\n")[0]
        except TimeoutError:
            return False


async def guess(switch: RunningSwitch, address: str, username: str, password: str) -> int:
    async with SipCaller(address, user_agent=SCANNER) as scanner:
        try:
            await scanner.register(username, password, registrar(switch))
        except Refused as refused:
            return refused.status
    return 200


async def failures(switch: RunningSwitch, token: str | None = None) -> list[Json]:
    found: list[Json] = (await switch.ask("GET", "/api/v1/failed-logins?limit=100", token))["items"]
    return found


async def test_guessing_is_reported_and_blocked(switch: RunningSwitch, operator: str) -> None:
    device = switch.ready["devices"][0]
    assert not blocked(switch, STRANGER)
    for attempt in range(8):
        assert await guess(switch, STRANGER, device["username"], f"guess{attempt}") == 401
    assert not blocked(switch, STRANGER), "a few wrong passwords are a person's"
    for attempt in range(40):
        if await guess(switch, STRANGER, f"10{attempt:03}", "1234") == 403:
            break
    until(lambda: blocked(switch, STRANGER), 15, "the stranger is blocked")
    (listed,) = (await switch.ask("GET", "/api/v1/blocked-addresses", operator))["items"]
    assert listed["address"] == STRANGER
    assert listed["failures"] >= 20

    async def reported() -> list[Json]:
        return [one for one in await failures(switch) if one["address"] == STRANGER]

    (own,) = await eventually(reported, 15, "the failures are listed")
    assert (own["username"], own["reason"], own["count"]) == (device["username"], "wrong_password", 8)
    assert own["device_id"] == device["id"]
    every = await failures(switch, operator)
    assert {one["reason"] for one in every if one["address"] == STRANGER} == {
        "wrong_password",
        "unknown_device",
    }
    # The right password does not help from there; from elsewhere it does.
    assert await guess(switch, STRANGER, device["username"], device["password"]) == 403
    assert await guess(switch, "127.0.0.98", device["username"], device["password"]) == 200
    # It holds in a new Asterisk.
    before = switch.kill("asterisk")
    until(lambda: switch.ready["pids"]["asterisk"] not in {None, before}, 20, "Asterisk is started again")
    switch.wait_ready()
    until(lambda: blocked(switch, STRANGER), 15, "the new Asterisk was told")
    path = "/api/v1/blocked-addresses:release"
    await switch.ask("POST", path, operator, json={"address": STRANGER})
    until(lambda: not blocked(switch, STRANGER), 15, "it is let in again")


async def test_where_a_device_is_registered_nobody_is_blocked(switch: RunningSwitch, operator: str) -> None:
    """Or a forged packet could lock a whole office out."""
    device = switch.ready["devices"][1]
    async with SipCaller(STRANGER) as phone:
        await phone.register(device["username"], device["password"], registrar(switch))
        for attempt in range(30):
            await guess(switch, STRANGER, f"20{attempt:03}", "1234")

        async def noted() -> list[Json]:
            rows = await failures(switch, operator)
            return [one for one in rows if one["username"] == "20029"]

        await eventually(noted, 15, "the guard has seen all")
        assert not blocked(switch, STRANGER)
        assert (await switch.ask("GET", "/api/v1/blocked-addresses", operator))["items"] == []
        await phone.register(device["username"], device["password"], registrar(switch), expires_s=0)


async def test_trunks_are_never_blocked(switch: RunningSwitch, operator: str) -> None:
    device = switch.ready["devices"][0]
    async with trunk(switch):
        for address in ("127.0.0.1", HOST):
            for attempt in range(25):
                assert await guess(switch, address, device["username"], f"wrong{attempt}") == 401

            async def noted(address: str = address) -> list[Json]:
                rows = await failures(switch, operator)
                return [row for row in rows if row["address"] == address and row["count"] >= 25]

            await eventually(noted, 15, "the guard has seen all")
            assert not blocked(switch, address)
    assert (await switch.ask("GET", "/api/v1/blocked-addresses", operator))["items"] == []


async def test_nothing_a_stranger_sends_makes_a_call(
    switch: RunningSwitch, operator: str, line: Line, caller_number: str
) -> None:
    """While a caller leaves a message, who hears and says what it should."""
    async with trunk(switch), SipCaller() as caller:
        (carrier,) = (await switch.ask("GET", "/api/v1/trunks", operator))["items"]
        call = await caller.invite(switch.uri(line.dialled), caller_number)
        await call.answered(5)
        known = {row.split("!")[0] for row in channel_rows(switch)}
        flood = asyncio.create_task(harass(switch, line, f"trunk-{carrier['id']}"))
        await call.hear(tone_of(TONE_HZ), 10)
        await call.hear(silence_of(0.1), 5)
        await call.speak(tone(440, 2.0))
        statuses = await flood
        assert {row.split("!")[0] for row in channel_rows(switch)} == known, "no other channel was made"
        await call.press("#")
        await call.ended(10)
    assert statuses <= {401, 403}
    message = await switch.message_of(caller_number)
    assert 1.5 < message["duration_s"] < 4


def channel_rows(switch: RunningSwitch) -> list[str]:
    rows = switch.asterisk_says("core show channels concise").splitlines()
    return [row for row in rows if row.startswith("PJSIP/")]


async def harass(switch: RunningSwitch, line: Line, of_operator: str) -> set[int]:
    """Calls without a password, in a device's name, to the outside, and bytes that are no SIP."""
    device = switch.ready["devices"][0]
    statuses: set[int] = set()
    dialled = (line.dialled, "0312345678", "00441234567890", "s", "h", "60-", device["username"])
    for name in ("100", device["username"], "trunk-main", of_operator, "+81312345678"):
        async with SipCaller(STRANGER, user_agent=SCANNER) as scanner:
            for extension in dialled:
                attempt = await scanner.invite(switch.uri(extension), name)
                with pytest.raises(Refused) as refused:
                    await attempt.answered(5)
                statuses.add(refused.value.status)
    for packet in garbage(switch.sip_port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.bind((STRANGER, 0))
            wire.sendto(packet, ("127.0.0.1", switch.sip_port))
        await asyncio.sleep(0)
    for packet in garbage(switch.sip_port)[:20]:
        reader, writer = await asyncio.open_connection("127.0.0.1", switch.sip_port, local_addr=(STRANGER, 0))
        writer.write(packet)
        writer.close()
        del reader
    return statuses


def garbage(port: int) -> list[bytes]:
    """Invitations, each with something wrong; the same ones every time."""
    chance = random.Random(5060)
    whole = (
        f"INVITE sip:0312345678@127.0.0.1:{port} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {STRANGER};branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n"
        "From: <sip:100@x>;tag=1\r\nTo: <sip:0312345678@x>\r\nCall-ID: g\r\nCSeq: 1 INVITE\r\n"
        "Contact: <sip:100@x>\r\nContent-Type: application/sdp\r\nContent-Length: 9\r\n\r\nv=0\r\no=x\r\n"
    ).encode()
    packets = [b"", b"\0" * 2000, b"\r\n\r\n", b"INVITE", whole.replace(b"9\r\n", b"99999999999\r\n")]
    for _ in range(150):
        spoiled = bytearray(whole)
        for _ in range(chance.randint(1, 12)):
            spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
        packets.append(bytes(spoiled[: chance.randint(1, len(spoiled))]))
    return packets
