"""LINE: a push of the Messaging API. Facts: line/line-openapi, developers.line.biz (retrying a request).

The key goes along as X-Line-Retry-Key: for a repeated one LINE answers 409, which is as good as 200. That
somebody has blocked the account is not told: the answer is 200 then too.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from notify.outbound import Answer, Outside, common_failure, lane_of, post
from notify.service import BadCredential, BadDestination, BadPayload, Failure, Notice, QuotaGone, Step
from notify.wording import as_text, fitted, utf16_units
from store.notification_services import LineFields

NAME = "LINE"
LONGEST_TEXT = 5000
ALREADY_ACCEPTED = 409


@dataclass(frozen=True)
class Line:
    """A person, or a group."""

    fields: LineFields
    outside: Outside
    knows_repeats: ClassVar[bool] = True

    @property
    def lane(self) -> str:
        return lane_of("line", self.fields.token, self.fields.to)

    def steps(self, notice: Notice) -> tuple[Step, ...]:
        return ("text",)

    async def send(self, step: Step, notice: Notice, key: str, earlier: dict[str, str]) -> str:
        text = as_text(fitted(notice, lambda shorter: utf16_units(as_text(shorter)) <= LONGEST_TEXT))
        answer = await post(
            self.outside.vendors,
            f"{self.outside.settings.line_url}/v2/bot/message/push",
            NAME,
            json={
                "to": self.fields.to,
                "messages": [{"type": "text", "text": text}],
                "notificationDisabled": False,
            },
            headers={"Authorization": f"Bearer {self.fields.token}", "X-Line-Retry-Key": key},
        )
        if not answer.accepted and answer.status != ALREADY_ACCEPTED:
            raise _failure(answer)
        return _message_id(answer.json())


def _message_id(told: dict[str, Any]) -> str:
    sent = told.get("sentMessages")
    first = sent[0] if isinstance(sent, list) and sent else {}
    return str(first.get("id", "")) if isinstance(first, dict) else ""


def _failure(answer: Answer) -> Failure:
    told = answer.json()
    said = str(told.get("message", ""))
    match answer.status:
        case 429 if "monthly limit" in said:
            return QuotaGone(
                "LINEの今月の無料メッセージ数の上限に達しました。プランを変更するか、翌月までお待ちください。"
            )
        case 401 | 403:
            return BadCredential(
                f"LINEのチャネルアクセストークンが使えません({answer.status})。新しいトークンを登録してください。"
            )
        case 404:
            return _unknown_destination()
        case 400 if _about_destination(told):
            return _unknown_destination()
        case _:
            refused = BadPayload(f"LINEが通知を受け付けませんでした({answer.status})。")
            return common_failure(answer, NAME) or refused


def _about_destination(told: dict[str, Any]) -> bool:
    said = str(told.get("message", ""))
    details = told.get("details")
    properties = [part.get("property") for part in details if isinstance(part, dict)] if details else []
    return "'to'" in said or said == "Failed to send messages" or "to" in properties


def _unknown_destination() -> BadDestination:
    return BadDestination(
        "LINEの送信先に送れません。送信先のIDと、友だち追加またはグループへの招待が済んでいることを確かめてください。"
    )
