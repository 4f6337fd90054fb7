"""`/whitelists`: the callers whom 留守レポ lets through to the devices."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from portal_api.problems import FieldError, Problem
from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven, Label, Name, PageOf, PageQuery, Timestamp
from store import whitelists
from store.e164 import NotAPhoneNumber
from store.models import EntryKind, WhitelistEntry
from store.models import Whitelist as WhitelistRow
from store.whitelists import MOST_ENTRIES, NewEntry

resource = Resource("ホワイトリスト")

WITH_VALUE = {EntryKind.NUMBER, EntryKind.PREFIX}
UNREADABLE = "電話番号として読み取れません(例: 03-1234-5678、先頭の一致は 0120*、番号のない発信は 非通知)。"
KINDS = "number=電話番号、prefix=番号の先頭、withheld=非通知、payphone=公衆電話、unavailable=表示圏外"
LABEL: TypeAdapter[str] = TypeAdapter(Label)


class Entry(BaseModel):
    """着信を受ける相手先"""

    id: str
    kind: EntryKind = Field(description=KINDS)
    value: str | None = Field(description="E.164の番号、またはその先頭。番号のない発信ではnull")
    name: str

    @classmethod
    def of(cls, entry: WhitelistEntry) -> Self:
        return cls(id=entry.id, kind=entry.kind, value=entry.value or None, name=entry.name)


class EntryGiven(Body):
    kind: EntryKind = Field(default=EntryKind.NUMBER, description=KINDS)
    value: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None,
        description="番号(03-1234-5678、全角、+81… のどれでも)、または番号の先頭(0120、+8190、050…)",
    )
    name: Label = ""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if (self.value is not None) != (self.kind in WITH_VALUE):
            raise PydanticCustomError("value", "番号と番号の先頭には value が必要で、ほかでは使えません。")
        try:
            self.entry()
        except NotAPhoneNumber:
            raise PydanticCustomError("phone_number", UNREADABLE) from None
        return self

    def entry(self) -> NewEntry:
        return whitelists.new_entry(self.kind, self.value or "", self.name)


EntriesGiven = Annotated[list[EntryGiven], Field(max_length=MOST_ENTRIES, description="同じ相手先は1回だけ")]


class Whitelist(BaseModel):
    id: str
    number_id: str
    name: str
    entries: list[Entry]
    created_at: Timestamp

    @classmethod
    def of(cls, whitelist: WhitelistRow, entries: Sequence[WhitelistEntry]) -> Self:
        return cls(
            id=whitelist.id,
            number_id=whitelist.number_id,
            name=whitelist.name,
            entries=[Entry.of(entry) for entry in entries],
            created_at=whitelist.created_at,
        )


class Whitelists(PageOf[Whitelist]):
    """ホワイトリストの1ページ。作成順"""


class NewWhitelist(Body):
    number_id: IdGiven
    name: Name
    entries: EntriesGiven = Field(default=[])


class WhitelistChange(Body):
    """指定した項目だけを変える。entries は全体を置き換える"""

    # The made-up defaults are never used: only the fields that were sent are read.
    name: Name = Field(default_factory=str)
    entries: EntriesGiven = Field(default=[])


class WhitelistQuery(PageQuery):
    number_id: IdGiven | None = None


class Lines(Body):
    """1行に1件。「番号,名前」。番号の先頭は 0120* のように。番号のない発信は 非通知・公衆電話・表示圏外"""

    lines: Annotated[str, StringConstraints(min_length=1, max_length=300_000)] = Field(
        examples=["03-1234-5678,取引先\n0120*\n非通知"]
    )


class LineError(BaseModel):
    line: int = Field(description="1から数えた行")
    code: Literal["phone_number", "text"]
    detail: str


class Additions(BaseModel):
    """読み取れた行は追加済み。誤りのある行は直してもう一度送ればよく、登録済みの行は飛ばす"""

    added: int
    duplicates: list[int] = Field(description="登録済み、または前の行と同じ行")
    errors: list[LineError]
    whitelist: Whitelist


class EntrySelection(Body):
    ids: Annotated[list[IdGiven], Field(min_length=1, max_length=MOST_ENTRIES)]


class EntryDeletion(BaseModel):
    id: str
    result: Literal["deleted", "not_found"]


class EntryDeletions(BaseModel):
    results: list[EntryDeletion]


@resource.get("/whitelists", "ホワイトリストの一覧")
async def list_whitelists(ask: Ask, account_id: str, query: WhitelistQuery) -> Whitelists:
    async with ask.session() as session:
        page = await whitelists.list_whitelists(session, account_id, query.number_id, query.page())
        entries = await whitelists.entries_of(session, *(row.id for row in page.items))
    items = [Whitelist.of(row, entries[row.id]) for row in page.items]
    return Whitelists(items=items, next=page.next_text)


@resource.post("/whitelists", "ホワイトリストを作る", status=201)
async def create_whitelist(ask: Ask, account_id: str, body: NewWhitelist) -> Whitelist:
    given = _all_different(body.entries)
    async with ask.session() as session:
        made = await whitelists.create_whitelist(session, account_id, body.number_id, body.name, given)
        return Whitelist.of(made, (await whitelists.entries_of(session, made.id))[made.id])


@resource.get("/whitelists/{whitelist_id}", "ホワイトリスト")
async def get_whitelist(ask: Ask, account_id: str, whitelist_id: str) -> Whitelist:
    async with ask.session() as session:
        found = await whitelists.get_whitelist(session, account_id, whitelist_id)
        return Whitelist.of(found, (await whitelists.entries_of(session, found.id))[found.id])


@resource.patch("/whitelists/{whitelist_id}", "ホワイトリストを変える")
async def change_whitelist(ask: Ask, account_id: str, whitelist_id: str, body: WhitelistChange) -> Whitelist:
    name = body.name if "name" in body.model_fields_set else None
    given = _all_different(body.entries) if "entries" in body.model_fields_set else None
    async with ask.session() as session:
        changed = await whitelists.change_whitelist(session, account_id, whitelist_id, name, given)
        return Whitelist.of(changed, (await whitelists.entries_of(session, changed.id))[changed.id])


@resource.delete("/whitelists/{whitelist_id}", "ホワイトリストを削除する。ルールで選択中なら in_use")
async def delete_whitelist(ask: Ask, account_id: str, whitelist_id: str) -> None:
    async with ask.session() as session:
        await whitelists.delete_whitelist(session, account_id, whitelist_id)


@resource.post("/whitelists/{whitelist_id}/entries:add", "相手先をまとめて追加する")
async def add_whitelist_entries(ask: Ask, account_id: str, whitelist_id: str, body: Lines) -> Additions:
    read, errors = _read_lines(body.lines)
    async with ask.session() as session:
        again = await whitelists.add_entries(session, account_id, whitelist_id, list(read.values()))
        changed = await whitelists.get_whitelist(session, account_id, whitelist_id)
        entries = (await whitelists.entries_of(session, changed.id))[changed.id]
    numbers = list(read)
    return Additions(
        added=len(read) - len(again),
        duplicates=[numbers[place] for place in sorted(again)],
        errors=errors,
        whitelist=Whitelist.of(changed, entries),
    )


@resource.post("/whitelists/{whitelist_id}/entries:delete", "相手先をまとめて削除する")
async def delete_whitelist_entries(
    ask: Ask, account_id: str, whitelist_id: str, body: EntrySelection
) -> EntryDeletions:
    wanted = list(dict.fromkeys(body.ids))
    async with ask.session() as session:
        deleted = await whitelists.delete_entries(session, account_id, whitelist_id, wanted)
    return EntryDeletions(
        results=[EntryDeletion(id=one, result="deleted" if one in deleted else "not_found") for one in wanted]
    )


def _all_different(given: list[EntryGiven]) -> list[NewEntry]:
    entries = [one.entry() for one in given]
    repeated = whitelists.repeated(entries)
    if repeated:
        raise Problem(
            "invalid_body",
            errors=[
                FieldError(
                    field=f"entries.{place}",
                    code="duplicate",
                    detail=f"{place + 1}件目は{earlier + 1}件目と同じ相手先です。",
                )
                for place, earlier in list(repeated.items())[:50]
            ],
        )
    return entries


def _read_lines(lines: str) -> tuple[dict[int, NewEntry], list[LineError]]:
    """What the lines say, and which cannot be read; lines count from 1, empty ones are passed over."""
    read: dict[int, NewEntry] = {}
    errors: list[LineError] = []
    for number, line in enumerate(lines.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = whitelists.read_line(line)
            LABEL.validate_python(entry.name)
            read[number] = entry
        except NotAPhoneNumber:
            errors.append(LineError(line=number, code="phone_number", detail=UNREADABLE))
        except ValidationError:
            detail = "名前は制御文字を含まない100文字以内にしてください。"
            errors.append(LineError(line=number, code="text", detail=detail))
    return read, errors
