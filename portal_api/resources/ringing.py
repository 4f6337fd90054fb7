"""How calls reach people: `/numbers/{id}/ring-plan` and `/blocked-callers`."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from portal_api.resources.whitelists import KINDS, UNREADABLE, WITH_VALUE
from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven, Label, PageOf, PageQuery, Timestamp
from store import ringing
from store.arrivals import USUAL_RING_S
from store.e164 import NotAPhoneNumber
from store.models import BlockedCaller as BlockedRow
from store.models import EntryKind, Treatment
from store.ringing import LONGEST_RING_S, Plan
from store.whitelists import NewEntry, new_entry

resource = Resource("着信")

TREATMENTS = (
    "reject=着信拒否、busy=話し中、announcement=案内を流して切る、rusurepo=留守レポ(ルールがなければ案内)"
)
DEVICES = "鳴らす端末。空ならアカウントのすべての端末"
RingS = Annotated[int, Field(ge=5, le=LONGEST_RING_S)]


class Turn(Body):
    device_id: IdGiven
    ring_s: RingS | None = Field(
        default=None,
        description="この端末を鳴らす秒数。省略すると、順に鳴らすときは20秒、一斉に鳴らすときは最後まで",
    )


class RingPlan(BaseModel):
    """着信時に鳴らす端末と順序"""

    in_turn: bool = Field(description="true=順に鳴らす、false=一斉に鳴らす")
    ring_s: int = Field(description="一斉に鳴らす秒数")
    devices: list[Turn] = Field(description=DEVICES)
    unanswered_rule_id: str | None = Field(
        description="留守レポがOFFのとき、応答なし・話し中・端末なし・回線数の上限で使うルール。nullは案内を流す"
    )

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(
            in_turn=plan.in_turn,
            ring_s=plan.ring_s,
            devices=[Turn(device_id=device_id, ring_s=ring_s) for device_id, ring_s in plan.devices],
            unanswered_rule_id=plan.unanswered_rule_id,
        )


class RingPlanChange(Body):
    in_turn: bool = False
    ring_s: RingS = USUAL_RING_S
    devices: list[Turn] = Field(default=[], max_length=50, description=DEVICES)
    unanswered_rule_id: IdGiven | None = None


class BlockedCaller(BaseModel):
    id: str
    number_id: str | None = Field(description="この電話番号への着信だけ。nullはすべての電話番号")
    kind: EntryKind = Field(description=KINDS)
    value: str | None = Field(description="E.164の番号、またはその先頭。番号のない発信ではnull")
    treatment: Treatment = Field(description=TREATMENTS)
    name: str
    created_at: Timestamp

    @classmethod
    def of(cls, row: BlockedRow) -> Self:
        return cls(
            id=row.id,
            number_id=row.number_id,
            kind=row.kind,
            value=row.value or None,
            treatment=row.treatment,
            name=row.name,
            created_at=row.created_at,
        )


class BlockedCallers(PageOf[BlockedCaller]):
    """着信拒否リストの1ページ。登録順"""


class NewBlockedCaller(Body):
    number_id: IdGiven | None = Field(default=None, description="省略すると、すべての電話番号")
    kind: EntryKind = Field(default=EntryKind.NUMBER, strict=False, description=KINDS)
    value: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="番号、または番号の先頭(0120、+8190、050…)"
    )
    treatment: Treatment = Field(default=Treatment.REJECT, strict=False, description=TREATMENTS)
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
        return new_entry(self.kind, self.value or "", self.name)


class BlockedQuery(PageQuery):
    number_id: IdGiven | None = None


class BlockedSelection(Body):
    ids: Annotated[list[IdGiven], Field(min_length=1, max_length=1000)]


class Unblocked(BaseModel):
    id: str
    result: Literal["deleted", "not_found"]


class UnblockedCallers(BaseModel):
    results: list[Unblocked]


@resource.get("/numbers/{number_id}/ring-plan", "着信時に鳴らす端末")
async def get_ring_plan(ask: Ask, account_id: str, number_id: str) -> RingPlan:
    async with ask.session() as session:
        return RingPlan.of(await ringing.get_plan(session, account_id, number_id))


@resource.put("/numbers/{number_id}/ring-plan", "着信時に鳴らす端末と順序を決める")
async def set_ring_plan(ask: Ask, account_id: str, number_id: str, body: RingPlanChange) -> RingPlan:
    turns = tuple((one.device_id, one.ring_s) for one in body.devices)
    plan = Plan(body.in_turn, body.ring_s, turns, body.unanswered_rule_id)
    async with ask.session() as session:
        await ringing.set_plan(session, account_id, number_id, plan)
        return RingPlan.of(await ringing.get_plan(session, account_id, number_id))


@resource.get("/blocked-callers", "着信拒否リスト")
async def list_blocked_callers(ask: Ask, account_id: str, query: BlockedQuery) -> BlockedCallers:
    async with ask.session() as session:
        page = await ringing.list_blocked(session, account_id, query.number_id, query.page())
    return BlockedCallers(items=[BlockedCaller.of(row) for row in page.items], next=page.next_text)


@resource.post("/blocked-callers", "着信拒否リストに加える。次の着信から有効", status=201)
async def block_caller(ask: Ask, account_id: str, body: NewBlockedCaller) -> BlockedCaller:
    async with ask.session() as session:
        added = await ringing.block(session, account_id, body.number_id, body.entry(), body.treatment)
        return BlockedCaller.of(added)


@resource.post("/blocked-callers:delete", "着信拒否リストから外す")
async def unblock_callers(ask: Ask, account_id: str, body: BlockedSelection) -> UnblockedCallers:
    wanted = list(dict.fromkeys(body.ids))
    async with ask.session() as session:
        gone = await ringing.unblock(session, account_id, wanted)
    return UnblockedCallers(
        results=[Unblocked(id=one, result="deleted" if one in gone else "not_found") for one in wanted]
    )
