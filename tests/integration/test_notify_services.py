"""What every notification service owes the worker, against its double on loopback."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest

from notify.outbound import Limits, Outside, open_outside
from notify.service import (
    Attachment,
    BadCredential,
    BadDestination,
    BadPayload,
    Failure,
    Notice,
    QuotaGone,
    Service,
    Step,
    Throttled,
    Unanswered,
    Unavailable,
)
from notify.services import build
from store.notification_services import KINDS, WITH_AUDIO, Fields, Kind, parse_fields
from tests.doubles.certificate import self_signed
from tests.doubles.destinations import HTTP_KINDS, Destination, destination
from tests.doubles.far_side import HangUp, Refuse, StaySilent, TakeSilently, Trouble
from tests.furnishing import wav
from tests.running_switch import free_ports

pytestmark = pytest.mark.integration

QUICK = Limits(connect_s=1.0, silence_s=0.4, total_s=1.5)
HOSTILE = '<!channel> [toall] <users/all> <m userId="all"> [x](http://evil.example) & *b* _i_ `c`\n# 1'
NOTICE = Notice(
    title="留守番電話",
    facts=(("発信者", "090-1234-5678"), ("録音時間", "12秒")),
    body="折り返しお電話ください。",
    link="https://portal.example/messages/1?a=1&b=2",
    attachment=Attachment("message.wav", "audio/wav", wav(0.2)),
)


@dataclass(frozen=True)
class Room:
    """A destination, and the service that leads there."""

    destination: Destination
    service: Service
    outside: Outside

    def other(self, **changes: str) -> Service:
        """The same, with other fields."""
        given = self.destination.given | changes
        return build(parse_fields(self.destination.kind, given, self.destination.settings), self.outside)


@pytest.fixture
async def room(kind: Kind) -> AsyncIterator[Room]:
    async with destination(kind) as there, open_outside(there.settings, QUICK) as outside:
        yield Room(there, build(there.fields, outside), outside)


async def deliver(service: Service, notice: Notice = NOTICE) -> dict[str, str]:
    """Send every step in order; the ids."""
    ids: dict[str, str] = {}
    for step in service.steps(notice):
        ids[step] = await service.send(step, notice, str(uuid4()), ids)
    return ids


async def failure_of(service: Service, step: Step = "text", **earlier: str) -> Failure:
    with pytest.raises(Failure) as failed:
        await service.send(step, NOTICE, str(uuid4()), earlier)
    return failed.value


all_kinds = pytest.mark.parametrize("kind", KINDS)
http_kinds = pytest.mark.parametrize("kind", HTTP_KINDS)


@all_kinds
async def test_the_text_arrives(room: Room) -> None:
    await deliver(room.service, replace(NOTICE, attachment=None))
    (text,) = room.destination.texts()
    assert "折り返しお電話ください。" in text


@all_kinds
async def test_audio_goes_where_audio_is_taken(room: Room) -> None:
    await deliver(room.service)
    took = repr(room.destination.double.accepted).count("message.wav")
    assert (took > 0) == (room.destination.kind in WITH_AUDIO)


@all_kinds
async def test_a_notice_of_any_length_arrives_and_says_so(room: Room) -> None:
    endless = replace(NOTICE, body="長い😀<&[*" * 20_000, title="題" * 3000, attachment=None)
    await deliver(room.service, endless)
    (text,) = room.destination.texts()
    assert text.count("長い") > 100
    assert "省略しました" in text or room.destination.kind == "webhook"


@all_kinds
async def test_a_transcript_calls_nobody(room: Room) -> None:
    await deliver(room.service, replace(NOTICE, body=HOSTILE, title=HOSTILE, attachment=None))
    (text,) = room.destination.texts()
    calls = {
        "slack": ["<"],
        "chatwork": ["[toall]", "[x]"],
        "teams": [" [", " *b", " _i"],
        "line": [],
        "line_works": ["<"],
        "google_chat": ["<", "*", "_", "`"],
        "webhook": [],
        "mail": [],
    }
    assert not [call for call in calls[room.destination.kind] if call in text]


@all_kinds
async def test_lanes_tell_rooms_apart_and_no_secret(room: Room) -> None:
    lane = room.service.lane
    assert lane == room.other().lane
    assert len(lane) <= 100
    assert not [secret for secret in room.destination.secrets if secret in lane]
    assert not [secret for secret in room.destination.secrets if secret in repr(room.service)]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("slack", {"channel_id": "C0OTHER"}),
        ("chatwork", {"room_id": "1"}),
        ("line", {"to": "U" + "0" * 32}),
        ("line_works", {"channel_id": "other"}),
        ("mail", {"address": "sales@customer.example"}),
    ],
)
async def test_each_room_has_a_lane_of_its_own(room: Room, changes: dict[str, str]) -> None:
    assert room.service.lane != room.other(**changes).lane


@http_kinds
async def test_throttled_with_a_time(room: Room) -> None:
    there = room.destination
    there.double.next(Refuse(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "7"}), at=there.path)
    failure = await failure_of(room.service)
    assert isinstance(failure, Throttled)
    assert failure.after_s == 7
    assert there.texts() == []


@http_kinds
async def test_throttled_without_a_time(room: Room) -> None:
    room.destination.double.next(Refuse(429), at=room.destination.path)
    failure = await failure_of(room.service)
    assert isinstance(failure, Throttled)
    assert failure.after_s is None


@http_kinds
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_trouble_on_the_far_side(room: Room, status: int) -> None:
    room.destination.double.next(Refuse(status, "<html>oops</html>"), at=room.destination.path)
    assert isinstance(await failure_of(room.service), Unavailable)
    await deliver(room.service, replace(NOTICE, attachment=None))
    assert len(room.destination.texts()) == 1


@http_kinds
@pytest.mark.parametrize("trouble", [StaySilent(), HangUp(), Refuse(504)])
async def test_no_answer(room: Room, trouble: Trouble) -> None:
    room.destination.double.next(trouble, at=room.destination.path)
    assert isinstance(await failure_of(room.service), Unanswered)
    assert room.destination.texts() == []


@http_kinds
async def test_taken_without_an_answer_and_sent_again_with_the_same_key(room: Room) -> None:
    room.destination.double.next(TakeSilently(), at=room.destination.path)
    key = str(uuid4())
    with pytest.raises(Unanswered):
        await room.service.send("text", NOTICE, key, {})
    await room.service.send("text", NOTICE, key, {})
    assert len(room.destination.texts()) == (1 if room.service.knows_repeats else 2)


@http_kinds
async def test_redirects_are_not_followed(room: Room) -> None:
    there = room.destination
    elsewhere = {"Location": f"{there.double.url}/elsewhere"}
    there.double.next(*(Refuse(status, "", elsewhere) for status in (302, 307)), at=there.path)
    for _ in range(2):
        assert isinstance(await failure_of(room.service), BadDestination)
    assert not [path for path in there.double.requests if "elsewhere" in path]


@http_kinds
async def test_nonsense_for_an_answer(room: Room) -> None:
    """A body that is no JSON, and one without end: neither harms."""
    room.destination.double.next(
        Refuse(400, "\x00" * 1_000_000), Refuse(400, ["not", "an", "object"]), at=room.destination.path
    )
    for _ in range(2):
        assert isinstance(await failure_of(room.service), BadPayload | BadDestination)


@all_kinds
async def test_nobody_there(room: Room) -> None:
    there = room.destination
    await there.double.__aexit__()
    assert isinstance(await failure_of(room.service), Unavailable)


WRONG: list[tuple[Kind, dict[str, str], type[Failure]]] = [
    ("slack", {"token": "xoxb-other"}, BadCredential),
    ("slack", {"channel_id": "C0UNKNOWN"}, BadDestination),
    ("slack", {"channel_id": "C0FOREIGN"}, BadDestination),
    ("slack", {"channel_id": "C0ARCHIVE"}, BadDestination),
    ("chatwork", {"token": "other"}, BadCredential),
    ("chatwork", {"room_id": "987654321"}, BadDestination),
    ("chatwork", {"room_id": "1"}, BadDestination),
    ("line", {"token": "other"}, BadCredential),
    ("line", {"to": "U" + "0" * 32}, BadDestination),
    ("line_works", {"client_secret": "other"}, BadCredential),
    ("line_works", {"service_account": "other@works.example"}, BadCredential),
    ("line_works", {"bot_id": "1"}, BadDestination),
    ("line_works", {"channel_id": "other"}, BadDestination),
    ("webhook", {"secret": "another-secret-of-a-test"}, BadCredential),
]


@pytest.mark.parametrize(("kind", "changes", "expected"), WRONG)
async def test_what_was_entered_wrong(room: Room, changes: dict[str, str], expected: type[Failure]) -> None:
    failure = await failure_of(room.other(**changes))
    assert type(failure) is expected
    assert room.destination.double.accepted == []


@pytest.mark.parametrize(
    ("kind", "before", "after", "expected"),
    [
        ("teams", "sig=teams", "sig=other", BadCredential),
        ("teams", "workflows/01", "workflows/99", BadDestination),
        ("google_chat", "AAAA1234", "BBBB", BadDestination),
        ("google_chat", "key=google", "key=other", BadCredential),
        ("google_chat", "token=google", "token=other", BadCredential),
        ("webhook", "/denwaban", "/gone", BadDestination),
    ],
)
async def test_an_url_entered_wrong(room: Room, before: str, after: str, expected: type[Failure]) -> None:
    url = room.destination.given["url"].replace(before, after)
    assert type(await failure_of(room.other(url=url))) is expected


@pytest.mark.parametrize(
    ("kind", "refusal", "expected"),
    [
        ("slack", Refuse(200, {"ok": False, "error": "internal_error"}), Unavailable),
        ("slack", Refuse(200, {"ok": False, "error": "ratelimited"}), Throttled),
        ("slack", Refuse(200, {"ok": False, "error": "token_revoked"}), BadCredential),
        ("slack", Refuse(200, {"ok": False, "error": "missing_scope", "needed": "x"}), BadCredential),
        ("slack", Refuse(200, {"ok": False, "error": "restricted_action_read_only_channel"}), BadDestination),
        ("slack", Refuse(200, {"ok": False, "error": "msg_too_long"}), BadPayload),
        ("slack", Refuse(200, {"ok": False, "error": "what_is_this"}), BadPayload),
        ("slack", Refuse(200, {"ok": "true"}), BadPayload),
        ("slack", Refuse(200, "ok"), BadPayload),
        ("chatwork", Refuse(400, {"errors": ["x"]}), BadPayload),
        ("chatwork", Refuse(413), BadPayload),
        ("teams", Refuse(413), BadPayload),
        ("teams", Refuse(403), BadCredential),
        ("teams", Refuse(410), BadDestination),
        ("line", Refuse(429, {"message": "You have reached your monthly limit."}), QuotaGone),
        ("line", Refuse(429, {"message": "The API rate limit has been exceeded."}), Throttled),
        ("line", Refuse(400, {"message": "Failed to send messages"}), BadDestination),
        ("line", Refuse(400, {"message": "x", "details": [{"property": "messages[0].text"}]}), BadPayload),
        ("line", Refuse(403, {"message": "Access to this API is not available"}), BadCredential),
        ("line", Refuse(413), BadPayload),
        ("line_works", Refuse(400, {"code": "INVALID_PARAMETER"}), BadPayload),
        ("line_works", Refuse(403, {"code": "FORBIDDEN"}), BadDestination),
        ("google_chat", Refuse(400, {"error": {"message": "bad", "status": "INVALID_ARGUMENT"}}), BadPayload),
        ("google_chat", Refuse(403, {"error": {"status": "PERMISSION_DENIED"}}), BadDestination),
        ("webhook", Refuse(410), BadDestination),
        ("webhook", Refuse(422), BadPayload),
    ],
)
async def test_what_a_refusal_means(room: Room, refusal: Refuse, expected: type[Failure]) -> None:
    room.destination.double.next(refusal, at=room.destination.path)
    assert type(await failure_of(room.service)) is expected


@http_kinds
async def test_no_secret_in_a_reason_or_a_log(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    there = room.destination
    echo = " ".join([*there.given.values(), *there.secrets])
    refusals = [Refuse(status, {"error": echo, "message": echo}) for status in (200, 400, 401, 403, 429, 500)]
    reasons = []
    for trouble in (*refusals, StaySilent(), HangUp()):
        there.double.next(trouble, at=there.path)
        try:
            await room.service.send("text", NOTICE, str(uuid4()), {})
        except Failure as failure:
            reasons.append(f"{failure.reason} {failure!r}")
    assert len(reasons) >= 6
    told = "\n".join([*reasons, caplog.text])
    private = [*there.secrets, there.given.get("url", "-"), "折り返し", "090-1234-5678"]
    assert not [secret for secret in private if secret != "-" and secret in told]


@pytest.mark.parametrize("kind", ["teams", "google_chat", "webhook"])
async def test_an_address_that_is_not_public_is_not_connected_to(kind: Kind) -> None:
    """The URL was taken when the operator allowed it; the guard asks again when connecting."""
    async with destination(kind) as there:
        strict = replace(
            there.settings, teams_hosts=("x.example",), google_chat_hosts=(), webhook_networks=()
        )
        async with open_outside(strict, QUICK) as outside:
            failure = await failure_of(build(there.fields, outside))
        assert isinstance(failure, BadDestination)
        assert there.double.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost:{port}/x",
        "https://2130706433:{port}/x",
        "https://127.1:{port}/x",
        "https://0x7f000001:{port}/x",
        "https://017700000001:{port}/x",
        "https://0:{port}/x",
    ],
)
async def test_names_and_odd_spellings_of_our_own_machine(url: str) -> None:
    """They pass as names; what they resolve to does not."""
    async with (
        destination("webhook") as there,
        open_outside(replace(there.settings, webhook_networks=())) as out,
    ):
        port = there.double.url.rpartition(":")[2]
        fields: Fields = parse_fields("webhook", {"url": url.format(port=port)}, out.settings)
        failure = await failure_of(build(fields, out))
        assert isinstance(failure, BadDestination | Unavailable)
        assert there.double.requests == []


async def test_a_name_is_judged_by_what_it_resolves_to_when_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the name leads to this machine by the time we connect."""
    async with destination("webhook") as there:
        port = int(there.double.url.rpartition(":")[2])
        strict = replace(there.settings, webhook_networks=())

        async def rebound(*_: object, **__: object) -> list[object]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebound)
        async with open_outside(strict, QUICK) as outside:
            url = f"https://rebound.example:{port}/denwaban"
            failure = await failure_of(build(parse_fields("webhook", {"url": url}, strict), outside))
        assert isinstance(failure, BadDestination)
        assert there.double.requests == []


async def test_a_certificate_that_nobody_signed(tmp_path: Path) -> None:
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=self_signed(tmp_path)
    )
    port = server.sockets[0].getsockname()[1]
    async with destination("webhook") as there, open_outside(there.settings, QUICK) as outside:
        fields = parse_fields("webhook", {"url": f"https://127.0.0.1:{port}/x"}, there.settings)
        failure = await failure_of(build(fields, outside))
    assert isinstance(failure, Unavailable)
    assert "証明書" in failure.reason
    server.close()
    await server.wait_closed()


async def test_a_far_side_that_trickles_ends_in_time() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(1000):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    (port,) = free_ports(1)
    server = await asyncio.start_server(trickle, "127.0.0.1", port)
    async with destination("line") as there:
        settings = replace(there.settings, line_url=f"http://127.0.0.1:{port}")
        async with open_outside(settings, Limits(1.0, 1.0, 0.5)) as outside:
            began = time.monotonic()
            assert isinstance(await failure_of(build(there.fields, outside)), Unanswered)
            assert time.monotonic() - began < 2
    server.close()
    await server.wait_closed()
