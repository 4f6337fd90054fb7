"""Text of recordings: written by whoever recognises it, once for each recording."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import JournalEntry, Recording, RecordingTranscript, TranscriptState, now

LONGEST_FAILURE = 500


@dataclass(frozen=True)
class RecordingText:
    """What an engine made of a recording. `words` as in the table."""

    text: str
    engine: str
    model: str
    words: list[dict[str, Any]] = field(default_factory=list)


async def keep_recording_text(session: AsyncSession, recording_id: str, said: RecordingText) -> None:
    """Write what was recognised. A recording that is gone is fine."""
    row = await _row(session, recording_id)
    if row is None:
        return
    row.state = TranscriptState.DONE if said.text else TranscriptState.EMPTY
    row.text, row.words, row.engine, row.model = said.text, said.words, said.engine, said.model
    row.failure, row.recognised_at = None, now()
    await _note(session, recording_id, "recording_transcribed", {"words": len(said.words)})


async def keep_recording_failure(session: AsyncSession, recording_id: str, reason: str) -> None:
    """Write that there will be no text."""
    row = await _row(session, recording_id)
    if row is None:
        return
    row.state, row.failure = TranscriptState.FAILED, reason[:LONGEST_FAILURE]
    await _note(session, recording_id, "recording_transcription_failed", {"reason": row.failure})


async def _row(session: AsyncSession, recording_id: str) -> RecordingTranscript | None:
    """The row, made where there is none; None where the recording is gone."""
    # On PostgreSQL the recording cannot be deleted under our hands; SQLite has one writer.
    recording = select(Recording.id).where(Recording.id == recording_id)
    if await session.scalar(recording.with_for_update(read=True, key_share=True)) is None:
        return None
    row = await session.get(RecordingTranscript, recording_id)
    if row is None:
        row = RecordingTranscript(recording_id=recording_id, state=TranscriptState.WAITING, words=[])
        session.add(row)
    return row


async def _note(session: AsyncSession, recording_id: str, event: str, details: dict[str, Any]) -> None:
    call_id = await session.scalar(select(Recording.call_id).where(Recording.id == recording_id))
    told = {"recording_id": recording_id, **details}
    session.add(JournalEntry(call_id=call_id, at=now(), event=event, details=told))
    await session.flush()
