"""What is told of a message, in words: the same for every way it goes."""

from dataclasses import dataclass
from datetime import timedelta, timezone

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.e164 import E164, national
from store.models import CallerKind, PhoneNumber, Transcript, TranscriptState, VoiceMessage
from store.phonebook_names import read_names

JAPAN = timezone(timedelta(hours=9))
NO_CALLER = {
    CallerKind.NUMBER: "番号不明",
    CallerKind.WITHHELD: "非通知",
    CallerKind.PAYPHONE: "公衆電話",
    CallerKind.UNAVAILABLE: "表示圏外",
}
NO_TEXT_YET = "(文字起こし待ち)"
NO_SPEECH = "(音声なし)"
NO_TEXT = "(文字起こしできませんでした)"
UNSURE = "※聞き取りにくい部分があり、正確でない可能性があります。"
UNSURE_BELOW = 0.6
"""Mean confidence below which a text is marked as doubtful."""


@dataclass(frozen=True)
class Heard:
    """What is known of a message's words. `text` None: not transcribed yet; empty: nobody spoke."""

    text: str | None = None
    confidence: float | None = None
    """Mean of the words' confidence, 0 to 1, where the engine gives one."""

    failed: bool = False
    """It was tried in vain, and there will be no text."""


@dataclass(frozen=True)
class MessageReport:
    """A message in words, of unknown origin: whoever sends it on escapes it."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """Label and value."""

    body: str
    link: str | None


async def report_of(session: AsyncSession, message: VoiceMessage, portal_url: str | None) -> MessageReport:
    """Describe the message as it is known now. `portal_url` ends without a slash."""
    number = await session.scalar(select(PhoneNumber).where(PhoneNumber.id == message.number_id))
    heard = await heard_of(session, message.id)
    callers = [message.caller] if message.caller else []
    names = await read_names(session, message.account_id, callers)
    return describe(message, number, heard, names.get(message.caller or ""), portal_url)


async def heard_of(session: AsyncSession, message_id: str) -> Heard:
    """What the transcription has made of the message so far, and an administrator of that."""
    transcript = await session.get(Transcript, message_id, populate_existing=True)
    if transcript is None:
        return Heard()
    match transcript.shown_state:
        case TranscriptState.DONE:
            sure = transcript.corrected_text is not None
            return Heard(transcript.shown_text or "", None if sure else transcript.confidence)
        case TranscriptState.EMPTY:
            return Heard("")
        case TranscriptState.FAILED:
            return Heard(failed=True)
        case _:
            return Heard()


def describe(
    message: VoiceMessage,
    number: PhoneNumber | None,
    heard: Heard,
    caller_name: str | None,
    portal_url: str | None,
) -> MessageReport:
    """Put a message into words. Pure."""
    caller = _number(message.caller) if message.caller else NO_CALLER[message.caller_kind]
    who = f"{caller_name}({caller})" if caller_name else caller
    called = _number(number.e164) if number else "不明"
    if number and number.display_name:
        called = f"{number.display_name}({called})"
    facts = (
        ("発信者", who),
        ("着信番号", called),
        ("着信日時", f"{message.started_at.astimezone(JAPAN):%Y/%m/%d %H:%M:%S}"),
        ("録音時間", f"{max(1, round(message.duration_s))}秒"),
    )
    link = f"{portal_url}/messages/{message.id}" if portal_url else None
    return MessageReport(f"留守レポ: {who}", facts, _body(heard), link)


def _body(heard: Heard) -> str:
    if heard.text is None:
        return NO_TEXT if heard.failed else NO_TEXT_YET
    if not heard.text.strip():
        return NO_SPEECH
    unsure = heard.confidence is not None and heard.confidence < UNSURE_BELOW
    return f"{heard.text}\n{UNSURE}" if unsure else heard.text


def _number(e164: str) -> str:
    return national(E164(e164))


def short_text(report: MessageReport, most_bytes: int) -> str:
    """The report as one plain text of at most so many bytes in UTF-8; the words are cut first. Pure."""
    head = "\n".join([report.title, *(f"{label}: {value}" for label, value in report.facts[1:])]) + "\n"
    tail = f"\n{report.link}" if report.link else ""
    body = _cut(report.body, most_bytes - len((head + tail).encode()))
    return _cut(head + body, most_bytes - len(tail.encode())) + tail


def _cut(text: str, most_bytes: int) -> str:
    whole = text.encode()
    if len(whole) <= most_bytes:
        return text
    return whole[: max(0, most_bytes - len("…".encode()))].decode(errors="ignore") + "…"
