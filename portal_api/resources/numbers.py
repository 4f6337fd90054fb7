"""`/numbers`: the account's phone numbers and their 留守レポ."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from portal_api.problems import Problem
from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven, Label, NumberGiven, PageOf, PageQuery, Timestamp
from store import numbers
from store.e164 import E164, is_japanese
from store.models import NumberUse, PhoneNumber, RusurepoSetting

resource = Resource("電話番号")


def _refuse_foreign(number: str) -> str:
    if not is_japanese(E164(number)):
        raise PydanticCustomError("phone_number", "日本の電話番号を指定してください。")
    return number


class Rusurepo(BaseModel):
    """留守レポのON/OFFと、使うルール"""

    enabled: bool
    rule_id: str | None

    @classmethod
    def of(cls, setting: RusurepoSetting | None) -> Self:
        return cls(enabled=bool(setting and setting.enabled), rule_id=setting.rule_id if setting else None)


class RusurepoChange(Body):
    """ONにするにはルールが必要。ルールはこの番号のものに限る"""

    enabled: bool
    rule_id: IdGiven | None


class Options(BaseModel):
    """契約しているオプション"""

    recording: bool = Field(description="通話録音")
    rusurepo: bool = Field(description="留守レポ")
    fax: bool = Field(description="クラウドFAX")


class OptionsGiven(Body):
    recording: bool
    rusurepo: bool
    fax: bool


class Number(BaseModel):
    id: str
    e164: str = Field(examples=["+81312345678"])
    use: NumberUse
    display_name: str = Field(description="着信した端末に表示する名前")
    line: int | None = Field(description="発信時に *01 のように2桁で付けると、この番号を通知する")
    options: Options
    channels: int | None = Field(description="同時に通話できる数。nullは制限なし")
    rusurepo: Rusurepo
    schedule_id: str | None = Field(
        description="この番号のスケジュール。ONの間は、rusurepo より優先してルールを選ぶ"
    )
    created_at: Timestamp

    @classmethod
    def of(cls, number: PhoneNumber) -> Self:
        return cls(
            id=number.id,
            e164=number.e164,
            use=number.use,
            display_name=number.display_name,
            line=number.line,
            options=Options(
                recording=number.sells_recording, rusurepo=number.sells_rusurepo, fax=number.sells_fax
            ),
            channels=number.channels,
            rusurepo=Rusurepo.of(number.rusurepo),
            schedule_id=number.schedule.id if number.schedule else None,
            created_at=number.created_at,
        )


class Numbers(PageOf[Number]):
    """電話番号の1ページ。登録順"""


class NewNumber(Body):
    account_id: IdGiven
    number: Annotated[
        NumberGiven, AfterValidator(_refuse_foreign), Field(description="03-1234-5678、全角、+81… のどれでも")
    ]
    use: NumberUse = NumberUse.VOICE
    display_name: Label = ""


class NumberChange(Body):
    """指定した項目だけを変える。options と channels は運用者だけが変えられる"""

    # The made-up defaults are never used: only the fields that were sent are read.
    display_name: Label = ""
    line: int | None = Field(default=None, ge=1, le=99, description="発信時に選ぶ2桁の回線番号")
    options: OptionsGiven = Field(
        default_factory=lambda: OptionsGiven(recording=True, rusurepo=True, fax=True),
        description="契約しているオプション。契約のない留守レポはOFFになる",
    )
    channels: int | None = Field(default=None, ge=1, le=999, description="同時に通話できる数")

    def fields(self) -> numbers.NumberFields:
        given = numbers.NumberFields()
        if "display_name" in self.model_fields_set:
            given["display_name"] = self.display_name
        if "line" in self.model_fields_set:
            given["line"] = self.line
        if "channels" in self.model_fields_set:
            given["channels"] = self.channels
        if "options" in self.model_fields_set:
            given["sells_recording"] = self.options.recording
            given["sells_rusurepo"] = self.options.rusurepo
            given["sells_fax"] = self.options.fax
        return given


@resource.get("/numbers", "電話番号の一覧")
async def list_numbers(ask: Ask, account_id: str, query: PageQuery) -> Numbers:
    async with ask.session() as session:
        page = await numbers.list_numbers(session, account_id, query.page())
    return Numbers(items=[Number.of(row) for row in page.items], next=page.next_text)


@resource.post("/numbers", "電話番号を登録する", status=201, operator_only=True)
async def add_number(ask: Ask, body: NewNumber) -> Number:
    async with ask.session() as session:
        added = await numbers.add_number(
            session, body.account_id, E164(body.number), body.use, body.display_name
        )
    return Number.of(added)


@resource.get("/numbers/{number_id}", "電話番号")
async def get_number(ask: Ask, account_id: str, number_id: str) -> Number:
    async with ask.session() as session:
        return Number.of(await numbers.get_number(session, account_id, number_id))


@resource.patch("/numbers/{number_id}", "表示名などを変える")
async def change_number(ask: Ask, account_id: str, number_id: str, body: NumberChange) -> Number:
    if not ask.is_operator and body.model_fields_set & {"options", "channels"}:
        raise Problem("forbidden", "optionsとchannelsは運用者だけが変えられます。")
    async with ask.session() as session:
        return Number.of(await numbers.change_number(session, account_id, number_id, **body.fields()))


@resource.get("/numbers/{number_id}/rusurepo", "留守レポの設定")
async def get_rusurepo(ask: Ask, account_id: str, number_id: str) -> Rusurepo:
    async with ask.session() as session:
        return Rusurepo.of((await numbers.get_number(session, account_id, number_id)).rusurepo)


@resource.put(
    "/numbers/{number_id}/rusurepo",
    "留守レポをON/OFFし、ルールを選ぶ。スケジュールがONの間は、スケジュールが優先する",
)
async def set_rusurepo(ask: Ask, account_id: str, number_id: str, body: RusurepoChange) -> Rusurepo:
    async with ask.session() as session:
        setting = await numbers.set_rusurepo(session, account_id, number_id, body.enabled, body.rule_id)
    return Rusurepo.of(setting)
