"""`/rules`: what a caller hears before and after leaving a message, and whom the devices ring for."""

from typing import Annotated, Self

from pydantic import BaseModel, Field

from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven, Name, PageOf, PageQuery, Timestamp
from store import rules
from store.models import RusurepoRule, WhenUnanswered

resource = Resource("留守レポのルール")

LONGEST_RING_FIRST_S = 60
RING_FIRST = "留守レポが応答するまで端末を鳴らす秒数。0ならすぐに応答する"
WHITELIST = "ここに載っている発信者は留守レポにせず、端末を鳴らす。nullならなし"
UNANSWERED = (
    "ホワイトリストの発信者に誰も出なかったとき。"
    "rusurepo=留守レポで伝言を預かる、announcement=出られないと伝えて切る"
)
RingFirst = Annotated[int, Field(ge=0, le=LONGEST_RING_FIRST_S, description=RING_FIRST)]
WhitelistChosen = Annotated[IdGiven | None, Field(description=WHITELIST)]
Unanswered = Annotated[WhenUnanswered, Field(description=UNANSWERED)]


class Rule(BaseModel):
    id: str
    number_id: str
    name: str
    start_prompt_id: str = Field(description="応答して最初に流す音声")
    end_prompt_id: str = Field(description="録音の後に流す音声")
    notification_rule_id: str | None = Field(description="通知ルール。nullならアプリ通知のみ")
    whitelist_id: str | None = Field(description=WHITELIST)
    ring_first_s: int = Field(description=RING_FIRST)
    whitelisted_unanswered: WhenUnanswered = Field(description=UNANSWERED)
    created_at: Timestamp

    @classmethod
    def of(cls, rule: RusurepoRule) -> Self:
        return cls(
            id=rule.id,
            number_id=rule.number_id,
            name=rule.name,
            start_prompt_id=rule.start_prompt_id,
            end_prompt_id=rule.end_prompt_id,
            notification_rule_id=rule.notification_rule_id,
            whitelist_id=rule.whitelist_id,
            ring_first_s=rule.ring_first_s,
            whitelisted_unanswered=rule.whitelisted_unanswered,
            created_at=rule.created_at,
        )


class Rules(PageOf[Rule]):
    """ルールの1ページ。作成順"""


class NewRule(Body):
    """音声とホワイトリストは同じ電話番号のものに限る"""

    number_id: IdGiven
    name: Name
    start_prompt_id: IdGiven
    end_prompt_id: IdGiven
    notification_rule_id: IdGiven | None = None
    whitelist_id: WhitelistChosen = None
    ring_first_s: RingFirst = 0
    whitelisted_unanswered: Unanswered = WhenUnanswered.RUSUREPO


class RuleChange(Body):
    """指定した項目だけを変える"""

    # The made-up defaults are never used: only the fields that were sent are read.
    name: Name = Field(default_factory=str)
    start_prompt_id: IdGiven = Field(default_factory=str)
    end_prompt_id: IdGiven = Field(default_factory=str)
    notification_rule_id: IdGiven | None = Field(default=None, description="nullでアプリ通知のみにする")
    whitelist_id: WhitelistChosen = Field(default_factory=str)
    ring_first_s: RingFirst = Field(default_factory=int)
    whitelisted_unanswered: Unanswered = Field(default_factory=lambda: WhenUnanswered.RUSUREPO)


class RuleQuery(PageQuery):
    number_id: IdGiven | None = None


@resource.get("/rules", "ルールの一覧")
async def list_rules(ask: Ask, account_id: str, query: RuleQuery) -> Rules:
    async with ask.session() as session:
        page = await rules.list_rules(session, account_id, query.number_id, query.page())
    return Rules(items=[Rule.of(row) for row in page.items], next=page.next_text)


@resource.post("/rules", "ルールを作る", status=201)
async def create_rule(ask: Ask, account_id: str, body: NewRule) -> Rule:
    async with ask.session() as session:
        return Rule.of(await rules.create_rule(session, account_id, **body.model_dump()))


@resource.get("/rules/{rule_id}", "ルール")
async def get_rule(ask: Ask, account_id: str, rule_id: str) -> Rule:
    async with ask.session() as session:
        return Rule.of(await rules.get_rule(session, account_id, rule_id))


@resource.patch("/rules/{rule_id}", "ルールを変える")
async def change_rule(ask: Ask, account_id: str, rule_id: str, body: RuleChange) -> Rule:
    async with ask.session() as session:
        changes = body.model_dump(exclude_unset=True)
        return Rule.of(await rules.change_rule(session, account_id, rule_id, **changes))


@resource.delete("/rules/{rule_id}", "ルールを削除する。番号やスケジュールで選択中なら in_use")
async def delete_rule(ask: Ask, account_id: str, rule_id: str) -> None:
    async with ask.session() as session:
        await rules.delete_rule(session, account_id, rule_id)
