"""`/phonebook/imports`: a CSV file on trial, line by line, and then into the phonebook."""

import asyncio
from typing import Literal, Self

from pydantic import BaseModel, Field

from portal_api.forms import Form
from portal_api.phonebook_csv import DETAILS, NotReadable, Remark, Table, read_table
from portal_api.problems import FieldError, Problem
from portal_api.resources.phonebook import PhonebookNumber
from portal_api.routing import Ask, Resource, short_session
from portal_api.schemas import Body, Timestamp
from store import phonebook_imports
from store.models import ImportState, PhonebookImport
from store.phonebook import NewEntry
from store.phonebook_imports import KEPT, Duplicates, Known

resource = Resource("Web電話帳の取り込み")

IMPORT_TIMEOUT_S = 60.0
MOST_TOLD = 1000
SAMPLE = 20


class ImportFile(Form):
    """取り込むCSVファイル。1行目は列の名前(名前、ふりがな、会社名、メモ、電話番号1、種別1、…)"""

    encoding: Literal["utf-8", "shift_jis"] | None = Field(
        default=None, description="文字コード。省略すると自動で判別する", examples=["shift_jis"]
    )


class CellRemark(BaseModel):
    """ファイルの1か所についての指摘"""

    line: int = Field(description="1から数えたファイルの行", examples=[3])
    column: str = Field(description="列。行全体のときは空", examples=["電話番号1"])
    code: str = Field(description="変わらない識別子", examples=["phone_number"])
    detail: str = Field(description="説明", examples=["電話番号として読み取れません(例: 03-1234-5678)。"])

    @classmethod
    def of(cls, remark: Remark) -> Self:
        return cls(line=remark.line, column=remark.column, code=remark.code, detail=remark.detail)


class ImportDuplicate(BaseModel):
    """名前と電話番号が同じもの"""

    line: int = Field(description="1から数えたファイルの行", examples=[5])
    same_as_line: int | None = Field(description="ファイルの中の同じ行。電話帳と同じときはnull")
    entry_id: str | None = Field(description="電話帳にある同じ登録先。ファイルの中だけのときはnull")


class SampleEntry(BaseModel):
    """読み取った内容"""

    line: int = Field(description="1から数えたファイルの行", examples=[2])
    name: str = Field(description="名前", examples=["田中 太郎"])
    reading: str = Field(description="ふりがな", examples=["たなか たろう"])
    company: str = Field(description="会社名", examples=["株式会社あさひ"])
    memo: str = Field(description="メモ", examples=["午前中のみ"])
    numbers: list[PhonebookNumber] = Field(description="電話番号")

    @classmethod
    def of(cls, line: int, new: NewEntry) -> Self:
        numbers = [PhonebookNumber(label=one.label, number=one.number) for one in new.numbers]
        return cls(
            line=line,
            name=new.name,
            reading=new.reading,
            company=new.company,
            memo=new.memo,
            numbers=numbers,
        )


class PhonebookImportReport(BaseModel):
    """取り込むファイルの確認結果。まだ何も登録していない(stateがpreviewの間)"""

    id: str
    state: ImportState = Field(description="preview: 確認中、applied: 登録済み")
    file_name: str | None = Field(description="ファイルの名前", examples=["電話帳.csv"])
    encoding: str = Field(description="読み取った文字コード", examples=["shift_jis"])
    columns: dict[str, str] = Field(description="ファイルの列と、その意味", examples=[{"氏名": "名前"}])
    ignored_columns: list[str] = Field(description="使わない列", examples=[["部署コード"]])
    lines: int = Field(description="見出しを除く行の数", examples=[120])
    valid: int = Field(description="登録できる行の数", examples=[118])
    invalid: int = Field(description="誤りのある行の数", examples=[2])
    duplicate_lines: int = Field(description="名前と電話番号が同じものがある行の数", examples=[1])
    errors: list[CellRemark] = Field(description="誤り。先頭の1,000件まで")
    notes: list[CellRemark] = Field(description="直して読み取ったところ。先頭の1,000件まで")
    duplicates: list[ImportDuplicate] = Field(description="重なっている行。先頭の1,000件まで")
    sample: list[SampleEntry] = Field(description="登録できる行の先頭20件")
    created_at: Timestamp
    expires_at: Timestamp = Field(description="この日時を過ぎるとファイルは消える")
    applied_at: Timestamp | None = Field(description="登録した日時")
    added: int = Field(description="新しく登録した件数", examples=[0])
    updated: int = Field(description="内容を更新した件数", examples=[0])
    skipped: int = Field(description="重なっていて登録しなかった件数", examples=[0])

    @classmethod
    def of(cls, kept: PhonebookImport, table: Table, known: Known) -> Self:
        good = [(line.line, line.entry) for line in table.lines if line.entry is not None]
        duplicates = _duplicates(good, known) if kept.state is ImportState.PREVIEW else []
        return cls(
            id=kept.id,
            state=kept.state,
            file_name=kept.file_name,
            encoding=table.encoding,
            columns=table.columns,
            ignored_columns=table.ignored,
            lines=len(table.lines),
            valid=len(good),
            invalid=len(table.lines) - len(good),
            duplicate_lines=len(duplicates),
            errors=_told([one for line in table.lines for one in line.errors]),
            notes=_told([one for line in table.lines for one in line.notes]),
            duplicates=duplicates[:MOST_TOLD],
            sample=[SampleEntry.of(*one) for one in good[:SAMPLE]],
            created_at=kept.created_at,
            expires_at=kept.created_at + KEPT,
            applied_at=kept.applied_at,
            added=kept.added,
            updated=kept.updated,
            skipped=kept.skipped,
        )


class ImportApplication(Body):
    """確認したファイルをどう登録するか"""

    lines: Literal["all", "valid"] = Field(
        default="all", description="all: 誤りが1行でもあれば何も登録しない、valid: 誤りのない行だけを登録する"
    )
    duplicates: Duplicates = Field(
        default=Duplicates.SKIP,
        strict=False,
        description="名前と電話番号が同じもの。skip: 登録しない、update: 内容を更新する、add: 別に登録する",
    )


@resource.post("/phonebook/imports", "CSVファイルを確認する。まだ登録はしない", status=201)
async def create_phonebook_import(ask: Ask, account_id: str, body: ImportFile) -> PhonebookImportReport:
    with body.file.content as file:
        file.seek(0)
        content = await asyncio.to_thread(file.read)
    table = await _table(content, body.encoding)
    async with ask.session() as session:
        kept = await phonebook_imports.keep_import(
            session, account_id, body.file.name, body.encoding, content
        )
        known = await phonebook_imports.read_known(session, account_id)
    return await asyncio.to_thread(PhonebookImportReport.of, kept, table, known)


@resource.get("/phonebook/imports/{import_id}", "CSVファイルの確認結果")
async def get_phonebook_import(ask: Ask, account_id: str, import_id: str) -> PhonebookImportReport:
    async with ask.session() as session:
        kept = await phonebook_imports.get_import(session, account_id, import_id)
        known = await phonebook_imports.read_known(session, account_id)
    table = await _table(phonebook_imports.content_of(kept), kept.encoding)
    return await asyncio.to_thread(PhonebookImportReport.of, kept, table, known)


@resource.post("/phonebook/imports/{import_id}:apply", "確認したCSVファイルを電話帳に登録する")
async def apply_phonebook_import(
    ask: Ask, account_id: str, import_id: str, body: ImportApplication
) -> PhonebookImportReport:
    async with ask.session() as session:
        kept = await phonebook_imports.get_import(session, account_id, import_id)
    table = await _table(phonebook_imports.content_of(kept), kept.encoding)
    if body.lines == "all":
        _refuse_errors(table)
    entries = [line.entry for line in table.lines if line.entry is not None]
    # Up to 50,000 entries: longer than other requests may take.
    async with short_session(ask.parts.database, IMPORT_TIMEOUT_S) as session:
        kept = await phonebook_imports.apply_import(session, account_id, import_id, entries, body.duplicates)
    return await asyncio.to_thread(PhonebookImportReport.of, kept, table, Known())


@resource.delete("/phonebook/imports/{import_id}", "確認したCSVファイルを捨てる")
async def delete_phonebook_import(ask: Ask, account_id: str, import_id: str) -> None:
    async with ask.session() as session:
        await phonebook_imports.delete_import(session, account_id, import_id)


async def _table(content: bytes, encoding: str | None) -> Table:
    try:
        return await asyncio.to_thread(read_table, content, encoding)
    except NotReadable as reason:
        wrong = FieldError(field="file", code=reason.code, detail=DETAILS[reason.code])
        raise Problem("invalid_body", errors=[wrong]) from None


def _refuse_errors(table: Table) -> None:
    wrong = [one for line in table.lines for one in line.errors]
    if wrong:
        raise Problem(
            "import_has_errors",
            f"{len({one.line for one in wrong})}行に誤りがあるため、何も登録していません。",
            errors=[
                FieldError(field=f"lines.{one.line}.{one.column}", code=one.code, detail=one.detail)
                for one in wrong[:50]
            ],
        )


def _duplicates(good: list[tuple[int, NewEntry]], known: Known) -> list[ImportDuplicate]:
    again = phonebook_imports.repeated(good)
    found = [
        ImportDuplicate(line=line, same_as_line=again.get(line), entry_id=known.find(new))
        for line, new in good
    ]
    return [one for one in found if one.same_as_line is not None or one.entry_id is not None]


def _told(remarks: list[Remark]) -> list[CellRemark]:
    return [CellRemark.of(one) for one in remarks[:MOST_TOLD]]
