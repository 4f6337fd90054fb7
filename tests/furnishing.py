"""Accounts with everything in them, for tests of the store and of the API."""

import io
import wave
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from PIL import Image
from sqlalchemy.ext.asyncio import AsyncSession

from store.accounts import create_account
from store.devices import create_device
from store.e164 import E164
from store.media import Media
from store.models import (
    Call,
    CallerKind,
    EndedBy,
    Fax,
    FaxDirection,
    FaxSetting,
    FaxState,
    FaxSubmission,
    JournalEntry,
    MessageSource,
    NumberUse,
    Recording,
    Role,
    SubmissionState,
    VoiceMessage,
    new_id,
)
from store.numbers import add_number
from store.phonebook import set_contract
from store.prompts import add_prompt
from store.rules import create_rule
from store.tokens import issue_token

SECRET_KEY = "a key for tests only, of some length"
FIRST_CALL = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)


def wav(seconds: float = 1.0, sign: bytes = b"\x01\x02", channels: int = 1) -> bytes:
    """An 8 kHz 16-bit WAV whose every frame is `sign`: two bytes for each channel."""
    out = io.BytesIO()
    with wave.open(out, "wb") as audio:
        audio.setnchannels(channels)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(sign * round(seconds * 8000))
    return out.getvalue()


@dataclass(frozen=True)
class Furnished:
    """The ids of one account's things, and a token of its administrator."""

    account_id: str
    token: str
    token_id: str
    number_id: str
    e164: E164
    prompt_ids: tuple[str, str]
    rule_id: str
    device_id: str
    call_id: str
    message_id: str
    recording_id: str


async def furnish(session: AsyncSession, media: Media, name: str, e164: str) -> Furnished:
    """Make an account with a number, two prompts, a rule, a device, a call and a message of it."""
    account = await create_account(session, name)
    token, secret = await issue_token(session, Role.ADMINISTRATOR, account.id)
    number = await add_number(session, account.id, E164(e164), NumberUse.VOICE)
    start = await add_prompt(session, media, account.id, number.id, "開始", wav(1.5))
    end = await add_prompt(session, media, account.id, number.id, "終了", wav(1.0, b"\x03\x04"))
    rule = await create_rule(session, account.id, number.id, "昼休み", start.id, end.id)
    device, _ = await create_device(session, SECRET_KEY, account.id)
    await set_contract(session, account.id, True)
    message = await leave_message(session, media, account.id, number.id, FIRST_CALL)
    recording = await leave_recording(session, media, account.id, number.id, FIRST_CALL)
    return Furnished(
        account_id=account.id,
        token=secret,
        token_id=token.id,
        number_id=number.id,
        e164=E164(e164),
        prompt_ids=(start.id, end.id),
        rule_id=rule.id,
        device_id=device.id,
        call_id=message.call_id,
        message_id=message.id,
        recording_id=recording.id,
    )


async def leave_message(
    session: AsyncSession,
    media: Media,
    account_id: str,
    number_id: str,
    at: datetime,
    caller: str | None = "+819012345678",
) -> VoiceMessage:
    """Make a call of 12 seconds at `at`, its journal, and the message it left."""
    call_id = f"test-{new_id()}"
    kind = CallerKind.NUMBER if caller else CallerKind.WITHHELD
    call = Call(
        id=call_id,
        node="test",
        account_id=account_id,
        number_id=number_id,
        dialled="0312345678",
        caller=caller,
        caller_kind=kind,
        started_at=at,
        answered_at=at + timedelta(seconds=1),
        ended_at=at + timedelta(seconds=12.5),
        result="message",
    )
    session.add(call)
    for event in ("arrived", "answered", "ended"):
        session.add(JournalEntry(call_id=call_id, at=at, event=event, details={}))
        await session.flush()
    content = wav(2.0, b"\x05\x06")
    name = f"messages/2026/11/23/{call_id}.wav"
    media.put(content, name)
    message = VoiceMessage(
        account_id=account_id,
        number_id=number_id,
        call_id=call_id,
        caller=caller,
        caller_kind=kind,
        started_at=at,
        duration_s=2.0,
        ended_by=EndedBy.HASH,
        source=MessageSource.CONTROL_PLANE,
        media=name,
        sha256=sha256(content).hexdigest(),
    )
    session.add(message)
    await session.flush()
    return message


async def leave_recording(
    session: AsyncSession,
    media: Media,
    account_id: str,
    number_id: str,
    at: datetime,
    other_party: str | None = "+819012345678",
    direction: str = "inbound",
) -> Recording:
    """Make a recording of two seconds of a call at `at`, announced before."""
    call_id = f"test-{new_id()}"
    content = wav(2.0, b"\x05\x06\x07\x08", channels=2)
    name = f"recordings/2026/11/23/{call_id}.wav"
    media.put(content, name)
    recording = Recording(
        account_id=account_id,
        number_id=number_id,
        call_id=call_id,
        direction=direction,
        other_party=other_party,
        other_party_kind=CallerKind.NUMBER if other_party else CallerKind.WITHHELD,
        started_at=at,
        ended_at=at + timedelta(seconds=2),
        duration_s=2.0,
        sections=[{"from": at.isoformat(), "to": (at + timedelta(seconds=2)).isoformat()}],
        media=name,
        sha256=sha256(content).hexdigest(),
        announcement_prompt_id="0" * 32,
        announcement_sha256="a" * 64,
        announcement_text="この通話は録音されます",
        announcement_started_at=at - timedelta(seconds=3),
        announcement_ended_at=at,
        announcement_played_to_end=True,
    )
    session.add(recording)
    await session.flush()
    return recording


async def leave_fax(session: AsyncSession, media: Media, account_id: str, number_id: str) -> Fax:
    """Give the number the FAX option and a fax of one page that it sent."""
    session.add(FaxSetting(number_id=number_id, enabled=True))
    page, pdf = io.BytesIO(), io.BytesIO()
    Image.new("1", (1728, 200), 1).save(page, "TIFF", compression="group4")
    Image.new("1", (1728, 200), 1).save(pdf, "PDF")
    names = {kind: f"faxes/2026/11/23/{new_id()}.{kind}" for kind in ("given.pdf", "pdf", "tiff")}
    for kind, content in (("given.pdf", pdf), ("pdf", pdf), ("tiff", page)):
        media.put(content.getvalue(), names[kind])
    files = {
        "pdf": names["pdf"],
        "pdf_sha256": sha256(pdf.getvalue()).hexdigest(),
        "tiff": names["tiff"],
        "pages": 1,
    }
    submission = FaxSubmission(
        account_id=account_id,
        number_id=number_id,
        submitted_by="test",
        state=SubmissionState.READY,
        document=names["given.pdf"],
        **files,
    )
    session.add(submission)
    await session.flush()
    fax = Fax(
        account_id=account_id,
        number_id=number_id,
        submission_id=submission.id,
        direction=FaxDirection.OUT,
        state=FaxState.SENT,
        other_party="+81666666666",
        started_at=FIRST_CALL,
        ended_at=FIRST_CALL + timedelta(seconds=40),
        pages_done=1,
        **files,
    )
    session.add(fax)
    await session.flush()
    return fax
