"""Mail, against a mail server on loopback."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from notify.outbound import open_outside
from notify.service import Attachment, BadDestination, BadPayload, Failure, Notice, Unanswered, Unavailable
from notify.services import build
from tests.doubles.certificate import self_signed
from tests.doubles.destinations import destination
from tests.doubles.mail import MailDouble
from tests.furnishing import wav
from tests.integration.test_notify_services import QUICK, Room

pytestmark = pytest.mark.integration

NOTICE = Notice(
    title="留守レポ: 090-1234-5678 髙橋①㈱😀",
    facts=(("発信者", "090-1234-5678"),),
    body="一行目。\n.\n三行目。" + "長い" * 600,
    link="https://portal.example/messages/1",
    attachment=Attachment("rusurepo_1.wav", "audio/wav", wav(0.5)),
)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with destination("mail") as there, open_outside(there.settings, QUICK) as outside:
        yield Room(there, build(there.fields, outside), outside)


async def failure_of(room: Room) -> Failure:
    with pytest.raises(Failure) as failed:
        await room.service.send("text", NOTICE, str(uuid4()), {})
    return failed.value


async def test_text_and_recording_are_one_mail(room: Room) -> None:
    assert room.service.steps(NOTICE) == ("text",)
    key = str(uuid4())
    message_id = await room.service.send("text", NOTICE, key, {})
    (mail,) = room.destination.double.accepted
    message = mail.message
    assert (mail.sender, mail.recipients) == ("denwaban@switch.example", ["info@customer.example"])
    assert message["Subject"] == NOTICE.title
    assert message["Message-ID"] == message_id == f"<{key}@switch.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["To"] == "info@customer.example"
    (text,) = room.destination.texts()
    assert NOTICE.body in text.replace("\r\n", "\n")
    (audio,) = message.iter_attachments()
    assert audio.get_filename() == "rusurepo_1.wav"
    assert audio.get_content() == wav(0.5)


async def test_a_repeated_mail_can_be_recognised(room: Room) -> None:
    key = str(uuid4())
    ids = [await room.service.send("text", NOTICE, key, {}) for _ in range(2)]
    assert ids[0] == ids[1]
    assert [mail.message["Message-ID"] for mail in room.destination.double.accepted] == ids


async def test_nothing_is_smuggled_into_the_head(room: Room) -> None:
    hostile = "a\r\nBcc: victim@evil.example\r\n\r\nbody"
    notice = Notice(hostile, ((hostile, hostile),), hostile, None, Attachment(hostile, "audio/wav", b"x"))
    await room.service.send("text", notice, str(uuid4()), {})
    (mail,) = room.destination.double.accepted
    assert mail.recipients == ["info@customer.example"]
    assert mail.message["Bcc"] is None
    assert mail.message["Subject"] == "a Bcc: victim@evil.example body"


@pytest.mark.parametrize("address", ["a..b@docomo.example", "a.@ezweb.example"])
async def test_old_mobile_addresses_are_quoted(room: Room, address: str) -> None:
    await room.other(address=address).send("text", NOTICE, str(uuid4()), {})
    (mail,) = room.destination.double.accepted
    local, _, domain = address.partition("@")
    assert mail.recipients == [address]
    assert f'To: "{local}"@{domain}\r\n'.encode() in mail.raw
    assert mail.message["To"].addresses[0].username == local


@pytest.mark.parametrize(
    ("step", "answer", "expected"),
    [
        ("MAIL", "451 4.7.1 try later", Unavailable),
        ("MAIL", "553 5.7.1 not you", BadPayload),
        ("RCPT", "450 4.2.0 greylisted", Unavailable),
        ("RCPT", "550 5.1.1 no such user", BadDestination),
        ("DATA", "452 4.3.1 no room", Unavailable),
        ("DATA", "552 5.3.4 too big", BadPayload),
        ("DATA", "421 4.3.2 shutting down", Unavailable),
    ],
)
async def test_what_a_refusal_means(room: Room, step: str, answer: str, expected: type[Failure]) -> None:
    room.destination.double.answers[step].append(answer)
    failure = await failure_of(room)
    assert type(failure) is expected
    assert answer[:3] in failure.reason
    assert "customer.example" not in failure.reason
    assert room.destination.double.accepted == []
    await room.service.send("text", NOTICE, str(uuid4()), {})
    assert len(room.destination.double.accepted) == 1


async def test_taken_without_an_answer(room: Room) -> None:
    room.destination.double.silent_after_data = True
    assert type(await failure_of(room)) is Unanswered
    assert len(room.destination.double.accepted) == 1


@pytest.mark.parametrize("greeting", [None, b"", b"554 go away\r\n", b"not smtp at all\r\n"])
async def test_a_server_that_does_not_greet(room: Room, greeting: bytes | None) -> None:
    done = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if greeting is None:
            await done.wait()
        writer.write(greeting or b"")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = replace(room.destination.settings, smtp_url=f"smtp://127.0.0.1:{port}")
    async with open_outside(settings, QUICK) as outside:
        service = build(room.destination.fields, outside)
        with pytest.raises(Failure) as failed:
            await service.send("text", NOTICE, str(uuid4()), {})
    assert type(failed.value) in {Unavailable, BadPayload}
    done.set()
    server.close()
    await server.wait_closed()


async def test_no_mail_server_is_set(room: Room) -> None:
    async with open_outside(replace(room.destination.settings, smtp_url=None), QUICK) as outside:
        with pytest.raises(Unavailable) as failed:
            await build(room.destination.fields, outside).send("text", NOTICE, str(uuid4()), {})
    assert "設定されていません" in failed.value.reason


@pytest.mark.parametrize(("password", "delivered"), [("open%2Fsesame", 1), ("hush%2Fhush", 0)])
async def test_a_password_is_given_and_not_told(password: str, delivered: int) -> None:
    async with MailDouble() as double, destination("mail") as there:
        url = double.url.replace("smtp://", f"smtp://user:{password}@")
        async with open_outside(replace(there.settings, smtp_url=url), QUICK) as outside:
            service = build(there.fields, outside)
            told = repr(service)
            try:
                await service.send("text", NOTICE, str(uuid4()), {})
            except Unavailable as refused:
                told += refused.reason
        assert set(double.logins) == {("user", password.replace("%2F", "/"))}
        assert len(double.accepted) == delivered
        assert password not in told
        assert ("ログイン" in told) == (not delivered)


async def test_a_password_goes_nowhere_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is taken for one elsewhere: it offers no STARTTLS, so nothing is sent."""
    monkeypatch.setattr("notify.services.mail.LOOPBACK", set())
    async with MailDouble() as double, destination("mail") as there:
        url = double.url.replace("smtp://", "smtp://user:hush@")
        async with open_outside(replace(there.settings, smtp_url=url), QUICK) as outside:
            with pytest.raises(Unavailable):
                await build(there.fields, outside).send("text", NOTICE, str(uuid4()), {})
        assert double.accepted == []
        assert double.logins == []


async def test_tls_is_used_where_it_is_offered(tmp_path: Path) -> None:
    async with MailDouble(self_signed(tmp_path)) as double, destination("mail") as there:
        async with open_outside(replace(there.settings, smtp_url=double.url), QUICK) as outside:
            await build(there.fields, outside).send("text", NOTICE, str(uuid4()), {})
        assert [mail.over_tls for mail in double.accepted] == [True]


@pytest.mark.parametrize("from_start", [True, False])
async def test_a_password_is_not_given_to_whoever_has_no_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, from_start: bool
) -> None:
    monkeypatch.setattr("notify.services.mail.LOOPBACK", set())
    async with MailDouble(self_signed(tmp_path), from_start) as double, destination("mail") as there:
        scheme = "smtps" if from_start else "smtp"
        url = double.url.replace("smtp://", f"{scheme}://user:open%2Fsesame@")
        async with open_outside(replace(there.settings, smtp_url=url), QUICK) as outside:
            with pytest.raises(Unavailable):
                await build(there.fields, outside).send("text", NOTICE, str(uuid4()), {})
        assert double.logins == []
        assert double.accepted == []
