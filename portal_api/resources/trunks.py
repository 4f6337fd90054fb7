"""`/trunks`: the lines to carriers, for operators."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncSession

from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, Name, PageOf, PageQuery, Timestamp
from store import trunks
from store.models import DidLocation, NumberStyle, TrunkState
from store.models import Trunk as TrunkRow
from store.models import TrunkRegistration as RegistrationRow

resource = Resource("トランク")

Codec = Literal["ulaw", "alaw"]


def _sip_uri(text: str) -> str:
    if not trunks.is_sip_uri(text):
        raise PydanticCustomError("sip_uri", "sip:192.0.2.1:5060 のように指定してください。")
    return text


def _network(text: str) -> str:
    try:
        return trunks.network(text)
    except ValueError:
        raise PydanticCustomError("network", "192.0.2.0/24 のように指定してください。") from None


UriGiven = Annotated[str, StringConstraints(max_length=200), AfterValidator(_sip_uri)]
NetworkGiven = Annotated[str, StringConstraints(max_length=50), AfterValidator(_network)]
WordGiven = Annotated[str, StringConstraints(pattern=rf"^{trunks.WORD.pattern}$")]
SecretGiven = Annotated[str, StringConstraints(pattern=rf"^{trunks.SECRET.pattern}$")]

PRIORITY = "小さい順に使う。DENWABAN_TRUNK_URI のトランクは100"
ACCEPT = "着信を受け付ける送信元"
EMERGENCY = "110・118・119を接続できる。1つもないときは、緊急通報はできない旨を案内する"
DID = "着信番号の場所(request_uri、to、p_called_party_id)"
STYLE = "番号の形式。national=0312345678と010…、e164=+81…"


class TrunkRegistration(BaseModel):
    """1つのノードからトランクへの登録の状態"""

    node: str = Field(description="登録しているノード")
    state: TrunkState
    since: Timestamp = Field(description="この状態になった日時")
    read_at: Timestamp = Field(description="最後に確かめた日時")

    @classmethod
    def of(cls, row: RegistrationRow) -> Self:
        return cls(node=row.node, state=row.state, since=row.since, read_at=row.read_at)


class Trunk(BaseModel):
    id: str
    name: str
    enabled: bool
    priority: int = Field(description=PRIORITY)
    uri: str
    accept: list[str] = Field(description=ACCEPT)
    registers: bool
    username: str | None
    has_password: bool
    from_domain: str | None
    did_location: DidLocation = Field(description=DID)
    number_style: NumberStyle = Field(description=STYLE)
    codecs: list[str]
    t38: bool = Field(description="T.38でFAXを送受信する。falseは音声(みなし音声)")
    emergency: bool = Field(description=EMERGENCY)
    registrations: list[TrunkRegistration] = Field(
        description="ノードごとの登録の状態。registersがfalseなら空"
    )
    created_at: Timestamp

    @classmethod
    def of(cls, trunk: TrunkRow, registrations: Sequence[RegistrationRow] = ()) -> Self:
        return cls(
            id=trunk.id,
            name=trunk.name,
            enabled=trunk.enabled,
            priority=trunk.priority,
            uri=trunk.uri,
            accept=trunk.accept,
            registers=trunk.registers,
            username=trunk.username,
            has_password=trunk.sealed_password is not None,
            from_domain=trunk.from_domain,
            did_location=trunk.did_location,
            number_style=trunk.number_style,
            codecs=trunk.codecs,
            t38=trunk.t38,
            emergency=trunk.emergency,
            registrations=[TrunkRegistration.of(row) for row in registrations],
            created_at=trunk.created_at,
        )


class Trunks(PageOf[Trunk]):
    """トランクの1ページ。登録順"""


class TrunkOptions(Body):
    enabled: bool = True
    priority: int = Field(default=10, ge=trunks.FIRST_PRIORITY, le=trunks.LAST_PRIORITY, description=PRIORITY)
    accept: list[NetworkGiven] = Field(default=[], max_length=50, description=ACCEPT)
    registers: bool = Field(default=False, description="trueなら uri へ登録(REGISTER)する")
    username: WordGiven | None = None
    password: SecretGiven | None = Field(default=None, description="保存後は見られない")
    from_domain: WordGiven | None = None
    did_location: DidLocation = Field(default=DidLocation.REQUEST_URI, strict=False, description=DID)
    number_style: NumberStyle = Field(default=NumberStyle.NATIONAL, strict=False, description=STYLE)
    codecs: list[Codec] = Field(default=["ulaw", "alaw"], min_length=1, max_length=2)
    t38: bool = False
    emergency: bool = Field(default=False, description=EMERGENCY)


class NewTrunk(TrunkOptions):
    name: Name
    uri: UriGiven = Field(examples=["sip:trunk.example.com:5060"])


class TrunkChange(TrunkOptions):
    """指定した項目だけを変える"""

    # The made-up defaults are never used: only the fields that were sent are read.
    name: Name = Field(default_factory=str)
    uri: UriGiven = Field(default_factory=str)


@resource.get("/trunks", "トランクの一覧", operator_only=True)
async def list_trunks(ask: Ask, query: PageQuery) -> Trunks:
    async with ask.session() as session:
        page = await trunks.list_trunks(session, query.page())
        states = await trunks.trunk_states(session, [row.id for row in page.items])
    items = [Trunk.of(row, states.get(row.id, ())) for row in page.items]
    return Trunks(items=items, next=page.next_text)


@resource.post("/trunks", "トランクを登録する", status=201, operator_only=True)
async def create_trunk(ask: Ask, body: NewTrunk) -> Trunk:
    async with ask.session() as session:
        return Trunk.of(await trunks.create_trunk(session, ask.parts.secret_key, **_fields(body)))


@resource.get("/trunks/{trunk_id}", "トランク", operator_only=True)
async def get_trunk(ask: Ask, trunk_id: str) -> Trunk:
    async with ask.session() as session:
        return await _shown(session, await trunks.get_trunk(session, trunk_id))


@resource.patch("/trunks/{trunk_id}", "トランクを変える。通話中の通話は切れない", operator_only=True)
async def change_trunk(ask: Ask, trunk_id: str, body: TrunkChange) -> Trunk:
    fields: trunks.TrunkFields = {
        name: value for name, value in _fields(body).items() if name in body.model_fields_set
    }  # type: ignore[assignment]
    async with ask.session() as session:
        changed = await trunks.change_trunk(session, ask.parts.secret_key, trunk_id, **fields)
        return await _shown(session, changed)


@resource.delete("/trunks/{trunk_id}", "トランクを削除する。通話中の通話は切れない", operator_only=True)
async def delete_trunk(ask: Ask, trunk_id: str) -> None:
    async with ask.session() as session:
        await trunks.delete_trunk(session, trunk_id)


async def _shown(session: AsyncSession, trunk: TrunkRow) -> Trunk:
    states = await trunks.trunk_states(session, [trunk.id])
    return Trunk.of(trunk, states.get(trunk.id, ()))


def _fields(body: NewTrunk | TrunkChange) -> trunks.TrunkFields:
    return trunks.TrunkFields(
        name=body.name,
        enabled=body.enabled,
        priority=body.priority,
        uri=body.uri,
        accept=body.accept,
        registers=body.registers,
        username=body.username,
        password=body.password,
        from_domain=body.from_domain,
        did_location=body.did_location,
        number_style=body.number_style,
        codecs=list(body.codecs),
        t38=body.t38,
        emergency=body.emergency,
    )
