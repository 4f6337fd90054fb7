"""Google Chat: text to the webhook of a space. Facts: developers.google.com/workspace/chat (webhooks)."""

from dataclasses import dataclass
from typing import ClassVar

import orjson

from notify.outbound import Answer, Outside, common_failure, lane_of, post
from notify.service import BadCredential, BadDestination, BadPayload, Failure, Notice, Step
from notify.wording import as_text, fitted, widened
from store.notification_services import GoogleChatFields

NAME = "Google Chat"
LARGEST_REQUEST = 32_000
MARKUP = widened("<>*_~`")
"""`<users/all>` calls everybody, and there is no escape."""


@dataclass(frozen=True)
class GoogleChat:
    """A space."""

    fields: GoogleChatFields
    outside: Outside
    knows_repeats: ClassVar[bool] = False

    @property
    def lane(self) -> str:
        return lane_of("google_chat", self.fields.url)

    def steps(self, notice: Notice) -> tuple[Step, ...]:
        return ("text",)

    async def send(self, step: Step, notice: Notice, key: str, earlier: dict[str, str]) -> str:
        body = request(fitted(notice, lambda shorter: len(request(shorter)) <= LARGEST_REQUEST))
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        answer = await post(self.outside.google_chat, self.fields.url, NAME, data=body, headers=headers)
        if not answer.accepted:
            raise _failure(answer)
        return str(answer.json().get("name", ""))


def request(notice: Notice) -> bytes:
    """The whole request's body."""
    return orjson.dumps({"text": as_text(notice, lambda part: part.translate(MARKUP))})


def _failure(answer: Answer) -> Failure:
    match answer.status:
        case 401:
            return BadCredential(_with_new_url(answer.status))
        case 400 if b"API key" in answer.body:
            return BadCredential(_with_new_url(answer.status))
        case 403 | 404:
            return BadDestination(_with_new_url(answer.status))
        case _:
            refused = BadPayload(f"Google Chatが通知を受け付けませんでした({answer.status})。")
            return common_failure(answer, NAME) or refused


def _with_new_url(status: int) -> str:
    return (
        f"Google ChatのWebhookが使えません({status})。"
        "スペースの「Webhook を管理」で作り直し、新しいURLを登録してください。"
    )
