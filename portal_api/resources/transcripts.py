"""`/messages/{id}/transcript`: what was said as text, its correction, and another try."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, Timestamp, plain_text
from store import models, transcripts
from store.models import TranscriptState
from store.transcripts import LOW_WORD_CONFIDENCE

resource = Resource("メッセージ")


def _plain_lines(text: str) -> str:
    plain_text(text.replace("\n", ""))
    return text


TextGiven = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=5000),
    AfterValidator(_plain_lines),
]


class Word(BaseModel):
    word: str
    start_s: float = Field(description="音声の先頭からの秒数")
    end_s: float
    confidence: float = Field(description="0から1。目安にとどまる")
    low_confidence: bool = Field(description="聞き間違いかもしれない単語")


class Recognition(BaseModel):
    """音声認識の結果"""

    state: TranscriptState
    text: str | None
    confidence: float | None = Field(description="単語の確信度の平均。単語がないときはnull")
    low_confidence: bool = Field(description="誤りが多いかもしれない。音声で確かめることを勧める")
    engine: str | None
    model: str | None
    recognised_at: Timestamp | None
    failure: str | None = Field(description="文字起こしできなかった理由(stateがfailedのとき)")
    words: list[Word]


class Correction(BaseModel):
    """管理者による修正"""

    text: str
    corrected_by: str = Field(description="修正したユーザーまたはトークンのid")
    corrected_at: Timestamp


class TranscriptDetails(BaseModel):
    """文字起こしの詳細。修正があれば、それがtextになる"""

    message_id: str
    state: TranscriptState = Field(
        description="waiting: 文字起こし待ち、done: 済み(修正を含む)、empty: 言葉がない、failed: できない"
    )
    text: str | None
    recognition: Recognition
    correction: Correction | None

    @classmethod
    def of(cls, message_id: str, row: models.Transcript | None) -> Self:
        return cls(
            message_id=message_id,
            state=row.shown_state if row else TranscriptState.WAITING,
            text=row.shown_text if row else None,
            recognition=_recognition(row or _not_yet(message_id)),
            correction=_correction(row) if row else None,
        )


class TranscriptChange(Body):
    text: TextGiven | None = Field(description="正しい文。nullで修正を取り消し、認識結果に戻す")


class Rerun(Body):
    keep_correction: bool = Field(default=True, description="falseなら修正を捨てる")


@resource.get("/messages/{message_id}/transcript", "文字起こしの詳細(単語ごとの時刻と確信度)")
async def get_transcript(ask: Ask, account_id: str, message_id: str) -> TranscriptDetails:
    async with ask.session() as session:
        row = await transcripts.get_transcript(session, account_id, message_id)
    return TranscriptDetails.of(message_id, row)


@resource.patch("/messages/{message_id}/transcript", "文字起こしを修正する")
async def correct_transcript(
    ask: Ask, account_id: str, message_id: str, body: TranscriptChange
) -> TranscriptDetails:
    async with ask.session() as session:
        row = await transcripts.correct_transcript(
            session, account_id, message_id, body.text, by=ask.identity.by
        )
    return TranscriptDetails.of(message_id, row)


@resource.post("/messages/{message_id}/transcript:rerun", "文字起こしをやり直す", status=202)
async def rerun_transcription(ask: Ask, account_id: str, message_id: str, body: Rerun) -> TranscriptDetails:
    async with ask.session() as session:
        row = await transcripts.rerun_transcription(
            session, account_id, message_id, body.keep_correction, by=ask.identity.by
        )
    return TranscriptDetails.of(message_id, row)


def _not_yet(message_id: str) -> models.Transcript:
    return models.Transcript(message_id=message_id, state=TranscriptState.WAITING, words=[])


def _recognition(row: models.Transcript) -> Recognition:
    return Recognition(
        state=row.state,
        text=row.text,
        confidence=row.confidence,
        low_confidence=transcripts.is_unsure(row),
        engine=row.engine,
        model=row.model,
        recognised_at=row.recognised_at,
        failure=row.failure,
        words=[
            Word(
                word=word["word"],
                start_s=word["start"],
                end_s=word["end"],
                confidence=word["confidence"],
                low_confidence=word["confidence"] < LOW_WORD_CONFIDENCE,
            )
            for word in row.words
        ],
    )


def _correction(row: models.Transcript) -> Correction | None:
    if row.corrected_text is None or row.corrected_at is None:
        return None
    return Correction(
        text=row.corrected_text, corrected_by=str(row.corrected_by), corrected_at=row.corrected_at
    )
