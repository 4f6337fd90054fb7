"""`/phonebook/entries`: Web電話帳; its contract; and what a device shows of it."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal, Self

from aiohttp import web
from pydantic import BaseModel, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from portal_api.audio import disposition
from portal_api.phonebook_csv import csv_header, csv_lines, entry_cells
from portal_api.phonebook_fields import DialledGiven, Memo, NumberLabel
from portal_api.routing import Ask, Resource
from portal_api.schemas import JAPAN, Body, IdGiven, Label, Name, PageOf, PageQuery, Query, Timestamp
from portal_api.streaming import send_chunks
from store import phonebook, phonebook_devices
from store.models import StandbyType, now
from store.pages import TEXT_CURSOR, TextCursor, parse_text_cursor
from store.phonebook import MOST_NUMBERS, Entry, EntryPageRequest, NewEntry, NewNumber

resource = Resource("Web電話帳")

STANDBY = "待ち受けタイプ。one_button: ボタン1つ、two_buttons: ボタン2つ、list: 一覧"
READING = "ふりがな。一覧はこの順(ないものは名前の順)に並ぶ"
READ_TOGETHER = 500


class PhonebookNumber(BaseModel):
    """登録先の電話番号"""

    label: str = Field(description="種別(会社、携帯など)", examples=["携帯"])
    number: str = Field(description="E.164。短い番号(117、内線など)は入力のまま", examples=["+819012345678"])


class PhonebookNumberGiven(Body):
    """登録先の電話番号"""

    number: DialledGiven = Field(
        description="03-1234-5678、全角、+81… のどれでも。117、内線番号なども", examples=["090-1234-5678"]
    )
    label: NumberLabel = Field(default="", description="種別(会社、携帯など)", examples=["携帯"])


class PhonebookEntry(BaseModel):
    """電話帳の登録先"""

    id: str
    name: str = Field(description="名前", examples=["田中 太郎"])
    reading: str = Field(description=READING, examples=["たなか たろう"])
    company: str = Field(description="会社名", examples=["株式会社あさひ"])
    memo: str = Field(description="メモ", examples=["午前中のみ"])
    numbers: list[PhonebookNumber] = Field(description="登録順")
    created_at: Timestamp
    updated_at: Timestamp = Field(description="最後に変えた日時")

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(
            id=entry.id,
            name=entry.name,
            reading=entry.reading,
            company=entry.company,
            memo=entry.memo,
            numbers=[PhonebookNumber(label=one.label, number=one.number) for one in entry.numbers],
            created_at=entry.created_at,
            updated_at=entry.updated_at,
        )


class PhonebookEntries(PageOf[PhonebookEntry]):
    """電話帳の1ページ。ふりがな順"""


NumbersGiven = Annotated[
    list[PhonebookNumberGiven],
    Field(min_length=1, max_length=MOST_NUMBERS, description="1件から10件。同じ番号は1回だけ"),
]


class EntryFields(Body):
    """電話帳の登録先に入力するもの"""

    name: Name = Field(description="名前", examples=["田中 太郎"])
    reading: Label = Field(default="", description=READING, examples=["たなか たろう"])
    company: Label = Field(default="", description="会社名", examples=["株式会社あさひ"])
    memo: Memo = Field(default="", description="メモ。1,000文字まで", examples=["午前中のみ"])
    numbers: NumbersGiven

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        numbers = [one.number for one in self.numbers]
        if len(set(numbers)) < len(numbers):
            raise PydanticCustomError("duplicate", "同じ電話番号が2回指定されています。")
        return self


class NewPhonebookEntry(EntryFields):
    """新しい登録先"""


class PhonebookEntryChange(EntryFields):
    """指定した項目だけを変える。numbers は全体を置き換える"""

    # The made-up defaults are never used: only the fields that were sent are read.
    name: Name = Field(default_factory=str, description="名前", examples=["田中 太郎"])
    numbers: NumbersGiven = Field(default_factory=list)


class EntryQuery(PageQuery):
    cursor: Annotated[str, WithJsonSchema({"type": "string", "pattern": f"^{TEXT_CURSOR}$"})] | None = Field(
        default=None, max_length=2000, description="前のページのnext"
    )
    search: Label | None = Field(
        default=None, description="名前、ふりがな、会社名、電話番号の一部。空白で区切ると、すべてを含むもの"
    )
    number: DialledGiven | None = Field(default=None, description="この電話番号を持つもの。どの書き方でも")

    def after(self) -> TextCursor | None:
        """Raises store.errors.BadCursor."""
        return parse_text_cursor(self.cursor) if self.cursor is not None else None


class PhonebookSelection(Body):
    ids: Annotated[list[IdGiven], Field(min_length=1, max_length=1000, description="登録先のid。1,000件まで")]


class PhonebookDeletion(BaseModel):
    """1件の結果"""

    id: str
    result: Literal["deleted", "not_found"] = Field(description="deleted: 削除した、not_found: なかった")


class PhonebookDeletions(BaseModel):
    """まとめて削除した結果"""

    results: list[PhonebookDeletion] = Field(description="指定した順")


class ExportQuery(Query):
    encoding: Literal["utf-8", "shift_jis"] = Field(
        default="utf-8",
        description="文字コード。utf-8はBOM付き。shift_jisにない文字は〓になる",
    )


class PhonebookContract(BaseModel):
    """Web電話帳オプションの契約。アカウントのすべてのID(後から作るIDも含む)が対象"""

    contracted: bool = Field(description="契約しているか。していなければ電話帳は使えない")
    since: Timestamp | None = Field(description="契約した日時。契約していないときはnull")


class PhonebookContractGiven(Body):
    """Web電話帳オプションの契約。すべてのIDがまとめて対象になる"""

    contracted: bool = Field(description="trueで契約、falseで解約。解約しても登録内容は残る")


class PhonebookStandby(BaseModel):
    """端末での電話帳の見せ方"""

    standby_type: StandbyType = Field(description=STANDBY)


class PhonebookStandbyGiven(Body):
    """端末での電話帳の見せ方"""

    standby_type: StandbyType = Field(description=STANDBY, strict=False)


class PhonebookLinkGiven(Body):
    """電話帳の取得リンクの形式"""

    format: Literal["vcf", "xml", "csv"] = Field(
        default="vcf", description="vcf: vCard 4、xml: Linphoneの設定、csv: 表"
    )


class PhonebookLink(BaseModel):
    """1回だけ使える取得リンク"""

    url: str = Field(
        description="この応答でしか見られない",
        examples=["https://example.jp/softphone/phonebook.vcf?link=…"],
    )
    expires_at: Timestamp = Field(description="この日時まで使える")


# ---- entries -----------------------------------------------------------------------------------------


@resource.get("/phonebook/entries", "電話帳の一覧と検索")
async def list_phonebook_entries(ask: Ask, account_id: str, query: EntryQuery) -> PhonebookEntries:
    request = EntryPageRequest(query.limit, query.after())
    async with ask.session() as session:
        await phonebook.require_contract(session, account_id)
        page = await phonebook.list_entries(session, account_id, request, query.search, query.number)
    return PhonebookEntries(items=[PhonebookEntry.of(row) for row in page.items], next=page.next_text)


@resource.post("/phonebook/entries", "電話帳に登録する", status=201)
async def create_phonebook_entry(ask: Ask, account_id: str, body: NewPhonebookEntry) -> PhonebookEntry:
    async with ask.session() as session:
        made = await phonebook.create_entry(session, account_id, NewEntry(**_described(body)))
        return PhonebookEntry.of(made)


@resource.get("/phonebook/entries/{entry_id}", "登録先")
async def get_phonebook_entry(ask: Ask, account_id: str, entry_id: str) -> PhonebookEntry:
    async with ask.session() as session:
        await phonebook.require_contract(session, account_id)
        return PhonebookEntry.of(await phonebook.get_entry(session, account_id, entry_id))


@resource.patch("/phonebook/entries/{entry_id}", "登録先を変える")
async def change_phonebook_entry(
    ask: Ask, account_id: str, entry_id: str, body: PhonebookEntryChange
) -> PhonebookEntry:
    async with ask.session() as session:
        return PhonebookEntry.of(
            await phonebook.change_entry(session, account_id, entry_id, _described(body))
        )


@resource.delete("/phonebook/entries/{entry_id}", "登録先を削除する")
async def delete_phonebook_entry(ask: Ask, account_id: str, entry_id: str) -> None:
    async with ask.session() as session:
        await phonebook.delete_entry(session, account_id, entry_id)


@resource.post("/phonebook/entries:delete", "登録先をまとめて削除する")
async def delete_phonebook_entries(ask: Ask, account_id: str, body: PhonebookSelection) -> PhonebookDeletions:
    ids = list(dict.fromkeys(body.ids))
    async with ask.session() as session:
        gone = await phonebook.delete_entries(session, account_id, ids)
    return PhonebookDeletions(
        results=[PhonebookDeletion(id=one, result="deleted" if one in gone else "not_found") for one in ids]
    )


@resource.get("/phonebook/entries:export", "電話帳をCSVで取得する", produces="text/csv")
async def export_phonebook(ask: Ask, account_id: str, query: ExportQuery) -> web.StreamResponse:
    pages = pages_of(ask, account_id)
    first = await anext(pages)
    name = f"電話帳_{now().astimezone(JAPAN):%Y%m%d}.csv"
    headers = {"Content-Disposition": disposition(name, "phonebook.csv")}
    content_type = f"text/csv; charset={query.encoding}"
    return await send_chunks(ask.request, csv_chunks(first, pages, query.encoding), content_type, headers)


# ---- contract and devices ----------------------------------------------------------------------------


@resource.get("/phonebook/contract", "Web電話帳オプションの契約")
async def get_phonebook_contract(ask: Ask, account_id: str) -> PhonebookContract:
    async with ask.session() as session:
        since = await phonebook.contract_since(session, account_id)
    return PhonebookContract(contracted=since is not None, since=since)


@resource.put("/phonebook/contract", "Web電話帳オプションを契約・解約する", operator_only=True)
async def set_phonebook_contract(
    ask: Ask, account_id: str, body: PhonebookContractGiven
) -> PhonebookContract:
    async with ask.session() as session:
        since = await phonebook.set_contract(session, account_id, body.contracted)
    return PhonebookContract(contracted=since is not None, since=since)


@resource.get("/devices/{device_id}/phonebook", "端末の待ち受けタイプ")
async def get_device_phonebook(ask: Ask, account_id: str, device_id: str) -> PhonebookStandby:
    async with ask.session() as session:
        return PhonebookStandby(
            standby_type=await phonebook_devices.standby_of(session, account_id, device_id)
        )


@resource.put("/devices/{device_id}/phonebook", "端末の待ち受けタイプを選ぶ")
async def set_device_phonebook(
    ask: Ask, account_id: str, device_id: str, body: PhonebookStandbyGiven
) -> PhonebookStandby:
    async with ask.session() as session:
        chosen = await phonebook_devices.set_standby(session, account_id, device_id, body.standby_type)
        return PhonebookStandby(standby_type=chosen)


@resource.post(
    "/devices/{device_id}/phonebook/links", "端末が電話帳を1回だけ取得できるリンクを作る", status=201
)
async def create_phonebook_link(
    ask: Ask, account_id: str, device_id: str, body: PhonebookLinkGiven
) -> PhonebookLink:
    async with ask.session() as session:
        secret, expires_at = await phonebook_devices.make_link(session, account_id, device_id)
    request = ask.request
    url = f"{request.scheme}://{request.host}/softphone/phonebook.{body.format}?link={secret}"
    return PhonebookLink(url=url, expires_at=expires_at)


# ---- all entries -------------------------------------------------------------------------------------


async def pages_of(ask: Ask, account_id: str) -> AsyncIterator[Sequence[Entry]]:
    """All entries, some at a time, at least one (maybe empty) page; no session stays open in between."""
    after: TextCursor | None = None
    while True:
        async with ask.session() as session:
            page = await phonebook.next_entries(session, account_id, after, READ_TOGETHER)
        yield page.items
        if page.next is None:
            return
        after = page.next


async def csv_chunks(
    first: Sequence[Entry], others: AsyncIterator[Sequence[Entry]], encoding: str
) -> AsyncIterator[bytes]:
    """The phonebook as CSV."""
    yield csv_header(encoding)
    yield csv_lines([entry_cells(phonebook.given(entry)) for entry in first], encoding)
    async for entries in others:
        yield csv_lines([entry_cells(phonebook.given(entry)) for entry in entries], encoding)


def _described(body: EntryFields) -> dict[str, Any]:
    """What was sent, by the names that NewEntry has."""
    sent = {name: getattr(body, name) for name in body.model_fields_set}
    if "numbers" in sent:
        sent["numbers"] = tuple(NewNumber(one.number, one.label) for one in body.numbers)
    return sent
