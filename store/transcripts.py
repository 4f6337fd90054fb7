"""Transcripts: what engines recognise, what administrators correct, and finding messages by either."""

import unicodedata
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import NotFound
from store.events import append_in
from store.jobs import enqueue, hasten
from store.models import Job, JobState, JournalEntry, Transcript, TranscriptState, VoiceMessage, now
from store.upserts import insert_for

TRANSCRIBE = "transcribe"
REPORT = "report_message"
"""The job that tells of a message; it waits a while for the text."""

LONGEST_FAILURE = 500
LOW_WORD_CONFIDENCE = 0.8
LOW_CONFIDENCE = 0.9
"""Right sentences have a mean of 0.99, wrong ones often less than this; it is no more than a hint."""

AT_A_TIME = 200
_IS_UNSEEN = (Job.kind == TRANSCRIBE, Job.state == JobState.WAITING, Job.last_error.is_(None))
_UNSEEN = select(Job.id, Job.subject_id).where(*_IS_UNSEEN)


@dataclass(frozen=True)
class Recognition:
    """What an engine made of a message. `words` as in the table."""

    text: str
    engine: str
    model: str
    words: list[dict[str, Any]] = field(default_factory=list)

    @property
    def confidence(self) -> float | None:
        """The words' mean; None where nothing was recognised."""
        if not self.words:
            return None
        return round(sum(float(word["confidence"]) for word in self.words) / len(self.words), 3)


def is_unsure(transcript: Transcript) -> bool:
    """Whether to warn that the shown text may well be wrong."""
    unsure = transcript.confidence is not None and transcript.confidence < LOW_CONFIDENCE
    return unsure and transcript.corrected_text is None


def folded(text: str) -> str:
    """`text` as searches see it: no widths, no cases, no spaces."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def says(text: str) -> ColumnElement[bool]:
    """The condition that `text` stands in a transcript as it is shown."""
    return Transcript.search_text.contains(folded(text), autoescape=True)


async def keep_recognition(session: AsyncSession, message_id: str, recognition: Recognition) -> None:
    """Write what was recognised, tell the call's journal, and let the message be reported.

    A correction stays. A message that is gone is fine.
    """
    state = TranscriptState.DONE if recognition.text else TranscriptState.EMPTY
    found = await _transcript_to_change(session, message_id)
    if found is None:
        return
    transcript, call_id = found
    transcript.state = state
    transcript.text = recognition.text
    transcript.words = recognition.words
    transcript.confidence = recognition.confidence
    transcript.engine = recognition.engine
    transcript.model = recognition.model
    transcript.failure = None
    transcript.recognised_at = now()
    _make_findable(transcript)
    told = {"state": state, "words": len(recognition.words), "model": recognition.model}
    _note(session, call_id, "transcribed", told)
    await hasten(session, REPORT, message_id)
    await _tell(session, message_id, state)


async def keep_failure(session: AsyncSession, message_id: str, reason: str) -> None:
    """Write that there will be no text, and let the message be reported without."""
    found = await _transcript_to_change(session, message_id)
    if found is None:
        return
    transcript, call_id = found
    transcript.state = TranscriptState.FAILED
    transcript.failure = reason[:LONGEST_FAILURE]
    _note(session, call_id, "transcription_failed", {"reason": reason[:LONGEST_FAILURE]})
    await hasten(session, REPORT, message_id)
    await _tell(session, message_id, TranscriptState.FAILED)


def wait_in_vain(connection: Connection) -> bool:
    """Whether there are messages for `report_without_text`."""
    return connection.execute(_UNSEEN.limit(1)).first() is not None


async def report_without_text(session: AsyncSession, reason: str) -> None:
    """Let messages be reported that would wait for their text in vain; their jobs go on waiting.

    Each is seen to once: `reason` then stands in its job.
    """
    jobs = (await session.execute(_UNSEEN.order_by(Job.created_at).limit(AT_A_TIME))).all()
    if not jobs:
        return
    seen = update(Job).where(Job.id.in_([job.id for job in jobs]), *_IS_UNSEEN).values(last_error=reason)
    await session.execute(seen)
    for job in jobs:
        await hasten(session, REPORT, job.subject_id)


async def get_transcript(session: AsyncSession, account_id: str, message_id: str) -> Transcript | None:
    """Give the transcript; None while there is none. Raises NotFound where there is no such message."""
    await _require_message(session, account_id, message_id)
    return await session.get(Transcript, message_id)


async def correct_transcript(
    session: AsyncSession, account_id: str, message_id: str, text: str | None, by: str
) -> Transcript:
    """Put `text` in the place of what was recognised; None takes the correction back. Raises NotFound."""
    transcript, call_id = await _required_transcript(session, account_id, message_id)
    transcript.corrected_text = text
    transcript.corrected_by = by if text is not None else None
    transcript.corrected_at = now() if text is not None else None
    _make_findable(transcript)
    event = "transcript_corrected" if text is not None else "transcript_correction_removed"
    _note(session, call_id, event, {"by": by})
    await session.flush()
    return transcript


async def rerun_transcription(
    session: AsyncSession, account_id: str, message_id: str, keep_correction: bool, by: str
) -> Transcript:
    """Have the message recognised anew; the earlier text stays until then. Raises NotFound."""
    transcript, call_id = await _required_transcript(session, account_id, message_id)
    transcript.state = TranscriptState.WAITING
    transcript.failure = None
    if not keep_correction:
        transcript.corrected_text = transcript.corrected_by = transcript.corrected_at = None
        _make_findable(transcript)
    undone = Job.state.in_((JobState.WAITING, JobState.RUNNING))
    under_way = select(Job.id).where(Job.kind == TRANSCRIBE, Job.subject_id == message_id, undone)
    if await session.scalar(under_way.limit(1)) is None:
        enqueue(session, TRANSCRIBE, message_id, account_id)
    else:
        await hasten(session, TRANSCRIBE, message_id)
    _note(session, call_id, "transcription_asked_again", {"by": by})
    await session.flush()
    return transcript


def _make_findable(transcript: Transcript) -> None:
    transcript.search_text = folded(transcript.shown_text or "")


async def _transcript_to_change(session: AsyncSession, message_id: str) -> tuple[Transcript, str] | None:
    """The row, made where there is none, and nobody else's until the commit; and the id of the call.

    None without its message.
    """
    new = insert_for(session, Transcript).values(
        message_id=message_id, state=TranscriptState.WAITING, words=[], search_text=""
    )
    call = select(VoiceMessage.call_id).where(VoiceMessage.id == message_id)
    # On PostgreSQL the message cannot be deleted under our hands; SQLite has one writer.
    call_id = await session.scalar(call.with_for_update(read=True, key_share=True))
    if call_id is None:
        return None
    try:
        await session.execute(new.on_conflict_do_nothing(index_elements=["message_id"]))
    except IntegrityError:
        # Deleted since we looked. The transaction is lost; whoever tries again will see it.
        raise NotFound(message_id) from None
    row = await session.get_one(Transcript, message_id, with_for_update=True, populate_existing=True)
    return row, call_id


async def _required_transcript(
    session: AsyncSession, account_id: str, message_id: str
) -> tuple[Transcript, str]:
    await _require_message(session, account_id, message_id)
    found = await _transcript_to_change(session, message_id)
    if found is None:
        raise NotFound(message_id)
    return found


async def _require_message(session: AsyncSession, account_id: str, message_id: str) -> None:
    message = select(VoiceMessage.id).where(
        VoiceMessage.account_id == account_id, VoiceMessage.id == message_id
    )
    if await session.scalar(message) is None:
        raise NotFound(message_id)


async def _tell(session: AsyncSession, message_id: str, state: TranscriptState) -> None:
    account = select(VoiceMessage.account_id).where(VoiceMessage.id == message_id)
    if (account_id := await session.scalar(account)) is not None:
        await append_in(session, account_id, "message.transcribed", [message_id], {"state": state})


def _note(session: AsyncSession, call_id: str, event: str, details: dict[str, Any]) -> None:
    session.add(JournalEntry(call_id=call_id, at=now(), event=event, details=details))
