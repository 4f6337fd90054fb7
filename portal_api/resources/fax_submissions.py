"""`/fax/submissions`: documents on their way out."""

import asyncio
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import IO, Annotated, Self

from pydantic import BaseModel, Field, StringConstraints

from faxpages.errors import DocumentRefused, WorkshopBroken
from faxpages.workshop import check_pdf
from portal_api.forms import Form, enough_room
from portal_api.problems import FieldError, Problem, field_error
from portal_api.resources.faxes import Fax
from portal_api.routing import Ask, Resource
from portal_api.schemas import IdGiven, Label, Lines, NumberGiven, PageOf, PageQuery, TimeGiven, Timestamp
from store import fax_submissions
from store.e164 import E164, NotAPhoneNumber, parse_e164
from store.fax_submissions import MOST_DESTINATIONS, NewSubmission, known_submission, submit
from store.faxes import get_fax
from store.models import Fax as FaxRow
from store.models import FaxState, FaxSubmission, SubmissionState, new_id, now
from store.numbers import number_id_of

resource = Resource("FAX")

LONGEST_KEY = 255
NOT_A_NUMBER = "電話番号として読み取れません(例: 03-1234-5678)。"


class NewFax(Form):
    """PDFと送信先。`Idempotency-Key`ヘッダーを付けると、同じ送信を繰り返しても1回だけ送る"""

    number_id: IdGiven | None = Field(default=None, description="送信元のFAX番号のID")
    number: NumberGiven | None = Field(default=None, description="送信元のFAX番号(number_idの代わり)")
    destinations: Annotated[str, StringConstraints(max_length=10_000)] = Field(
        description="送信先の電話番号。改行で区切って100件まで"
    )
    send_at: TimeGiven | None = Field(default=None, description="予約送信の日時。省略するとすぐに送る")
    device_id: IdGiven | None = Field(default=None, description="送信するID。アクセス設定を確かめる")
    cover_addressee: Label | None = Field(
        default=None, description="送付状の宛先。cover_で始まる項目のどれかで付く"
    )
    cover_company: Label | None = Field(default=None, description="送付状の送信元")
    cover_subject: Label | None = Field(default=None, description="送付状の件名")
    cover_message: Lines | None = Field(default=None, description="送付状の本文")

    @property
    def cover(self) -> dict[str, str] | None:
        given = {
            "addressee": self.cover_addressee,
            "company": self.cover_company,
            "subject": self.cover_subject,
            "message": self.cover_message,
        }
        texts = {name: text for name, text in given.items() if text}
        return texts or None


class Submission(BaseModel):
    """1つの文書と、その送信先ごとの状態"""

    id: str
    state: SubmissionState = Field(
        description="preparing: 変換中、ready: 変換済み、refused: 送信できない文書"
    )
    refusal: str | None = Field(description="送信できない理由のcode")
    number_id: str
    file_name: str
    pages: int | None = Field(description="送付状を含むページ数。変換が終わるまではnull")
    send_at: Timestamp | None
    created_at: Timestamp
    counts: dict[FaxState, int] = Field(description="送信先の数を状態ごとに")
    faxes: list[Fax] = Field(description="送信先ごとのFAX")

    @classmethod
    def of(cls, submission: FaxSubmission, faxes: list[FaxRow]) -> Self:
        counts: dict[FaxState, int] = {}
        for fax in faxes:
            counts[fax.state] = counts.get(fax.state, 0) + 1
        return cls(
            id=submission.id,
            state=submission.state,
            refusal=submission.refusal,
            number_id=submission.number_id,
            file_name=submission.file_name,
            pages=submission.pages,
            send_at=submission.send_at,
            created_at=submission.created_at,
            counts=counts,
            faxes=[Fax.of(fax) for fax in faxes],
        )


class SubmissionSummary(BaseModel):
    id: str
    state: SubmissionState
    refusal: str | None
    number_id: str
    file_name: str
    pages: int | None
    send_at: Timestamp | None
    created_at: Timestamp

    @classmethod
    def of(cls, submission: FaxSubmission) -> Self:
        return cls.model_validate(submission, from_attributes=True)


class Submissions(PageOf[SubmissionSummary]):
    """送信の1ページ。新しい順"""


class SubmissionQuery(PageQuery):
    number_id: IdGiven | None = None


class Cancelled(BaseModel):
    cancelled: int = Field(
        description="取り消した送信先の数。通話中のものは、通話が切れたときに取り消しになる"
    )


@resource.post("/fax/submissions", "PDFをFAXで送信する(送信先は100件まで、予約もできる)", status=202)
async def submit_fax(ask: Ask, account_id: str, body: NewFax) -> Submission:
    with body.file.content as content:
        destinations = parse_destinations(body.destinations)
        if body.send_at is not None and body.send_at <= now():
            raise Problem("invalid_body", errors=[field_error("send_at", "past")])
        number_id = body.number_id or await _number_id(ask, account_id, body.number)
        key = _key(ask)
        digest = await asyncio.to_thread(_digest, content, number_id, destinations, body)
        if key is not None:
            async with ask.session() as session:
                known = await known_submission(session, account_id, key, digest)
            if known is not None:
                return await _shown(ask, account_id, known.id)
        async with ask.session() as session:
            await fax_submissions.check_sender(session, account_id, number_id, body.device_id)
            fax_submissions.check_destinations(destinations)
        await _refuse_unfit(ask, content)
        name = f"faxes/{now():%Y/%m/%d}/{new_id()}.given.pdf"
        with enough_room():
            await asyncio.to_thread(_keep, ask, content, name)
    wanted = NewSubmission(
        number_id=number_id,
        destinations=destinations,
        document=name,
        by=ask.identity.by,
        file_name=body.file.name or "",
        device_id=body.device_id,
        cover=body.cover,
        send_at=body.send_at,
        idempotency_key=key,
        request_sha256=digest,
    )
    async with ask.session() as session:
        submission = await submit(session, account_id, wanted)
    if submission.document != name:
        # Somebody with the same key was quicker.
        await asyncio.to_thread(ask.parts.media.remove, name)
    return await _shown(ask, account_id, submission.id)


@resource.get("/fax/submissions", "送信の一覧")
async def list_fax_submissions(ask: Ask, account_id: str, query: SubmissionQuery) -> Submissions:
    async with ask.session() as session:
        page = await fax_submissions.list_submissions(session, account_id, query.number_id, query.page())
    return Submissions(items=[SubmissionSummary.of(row) for row in page.items], next=page.next_text)


@resource.get("/fax/submissions/{submission_id}", "送信と、送信先ごとの状態")
async def get_fax_submission(ask: Ask, account_id: str, submission_id: str) -> Submission:
    return await _shown(ask, account_id, submission_id)


@resource.post("/fax/submissions/{submission_id}:cancel", "まだ終わっていない送信先への送信を取り消す")
async def cancel_fax_submission(ask: Ask, account_id: str, submission_id: str) -> Cancelled:
    async with ask.session() as session:
        cancelled = await fax_submissions.cancel_submission(session, account_id, submission_id)
    return Cancelled(cancelled=cancelled)


@resource.post("/faxes/{fax_id}:cancel", "送信を取り消す")
async def cancel_fax(ask: Ask, account_id: str, fax_id: str) -> Fax:
    async with ask.session() as session:
        await fax_submissions.cancel_fax(session, account_id, fax_id)
    return await _fax(ask, account_id, fax_id)


@resource.post("/faxes/{fax_id}:resend", "同じ相手にもう一度送信する。新しい送信になる", status=202)
async def resend_fax(ask: Ask, account_id: str, fax_id: str) -> Submission:
    async with ask.session() as session:
        again = await fax_submissions.resend_fax(session, account_id, fax_id, by=ask.identity.by)
    return await _shown(ask, account_id, again.id)


def parse_destinations(text: str) -> list[E164]:
    """One number a line, empty lines do not count. Raises Problem that names every bad line."""
    lines = [(row, line.strip()) for row, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise Problem("invalid_body", errors=[field_error("destinations", "too_few_destinations")])
    if len(lines) > MOST_DESTINATIONS:
        raise Problem("invalid_body", errors=[field_error("destinations", "too_many_destinations")])
    found: list[E164] = []
    wrong: list[FieldError] = []
    for row, line in lines:
        try:
            found.append(parse_e164(line))
        except NotAPhoneNumber:
            detail = f"{row}行目: {NOT_A_NUMBER}"
            wrong.append(FieldError(field=f"destinations.{row}", code="phone_number", detail=detail))
    if wrong:
        raise Problem("invalid_body", errors=wrong)
    return found


def _key(ask: Ask) -> str | None:
    key = ask.request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        raise Problem("malformed_request", f"Idempotency-Keyは{LONGEST_KEY}文字以内にしてください。")
    return key


async def _number_id(ask: Ask, account_id: str, number: str | None) -> str:
    """The id of the number that was named. Raises Problem."""
    if number is None:
        raise Problem("invalid_body", errors=[field_error("number_id", "missing")])
    async with ask.session() as session:
        number_id = await number_id_of(session, account_id, E164(number))
    if number_id is None:
        raise Problem("invalid_body", errors=[field_error("number", "not_found")])
    return number_id


def _digest(content: IO[bytes], number_id: str, destinations: list[E164], body: NewFax) -> str:
    """What makes two requests the same."""
    content.seek(0)
    digest = hashlib.sha256(content.read())
    asked = (number_id, destinations, body.send_at, body.device_id, body.cover)
    digest.update(repr(asked).encode())
    return digest.hexdigest()


async def _refuse_unfit(ask: Ask, content: IO[bytes]) -> None:
    """Raises Problem where it is no PDF that can be faxed."""
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file, enough_room():
        await asyncio.to_thread(_copy, content, Path(file.name))
        try:
            async with ask.parts.conversions:
                await check_pdf(Path(file.name))
        except DocumentRefused as refused:
            raise Problem(refused.code) from None
        except WorkshopBroken:
            raise Problem("documents_unavailable", headers={"Retry-After": "5"}) from None


def _copy(content: IO[bytes], path: Path) -> None:
    content.seek(0)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)


def _keep(ask: Ask, content: IO[bytes], name: str) -> None:
    content.seek(0)
    ask.parts.media.put(content.read(), name)


async def _shown(ask: Ask, account_id: str, submission_id: str) -> Submission:
    async with ask.session() as session:
        return Submission.of(*await fax_submissions.get_submission(session, account_id, submission_id))


async def _fax(ask: Ask, account_id: str, fax_id: str) -> Fax:
    async with ask.session() as session:
        return Fax.of(await get_fax(session, account_id, fax_id))
