"""A customer's own server: JSON that is signed, so that the server knows it is from us.

`X-Denwaban-Signature` is `v1=` and the HMAC-SHA256, in hex, of `X-Denwaban-Timestamp`, a full stop and the
body. `X-Denwaban-Id` is the same whenever the same notice is sent again.
"""

import hmac
import time
from dataclasses import dataclass
from typing import ClassVar

import orjson

from notify.outbound import Answer, Outside, common_failure, lane_of, post
from notify.service import BadCredential, BadDestination, BadPayload, Failure, Notice, Step
from notify.wording import tidy
from store.notification_services import WebhookFields

NAME = "Webhook"


@dataclass(frozen=True)
class Webhook:
    """A URL."""

    fields: WebhookFields
    outside: Outside
    knows_repeats: ClassVar[bool] = True

    @property
    def lane(self) -> str:
        return lane_of("webhook", self.fields.url)

    def steps(self, notice: Notice) -> tuple[Step, ...]:
        return ("text",)

    async def send(self, step: Step, notice: Notice, key: str, earlier: dict[str, str]) -> str:
        body = request(notice, key)
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "X-Denwaban-Id": key,
            "X-Denwaban-Timestamp": timestamp,
            "X-Denwaban-Signature": signature(self.fields.secret, timestamp, body),
        }
        answer = await post(self.outside.webhooks, self.fields.url, NAME, data=body, headers=headers)
        if not answer.accepted:
            raise _failure(answer)
        return ""


def request(notice: Notice, key: str) -> bytes:
    """The body: `id`, `title`, `facts` in order, `text` and `link`, which may be null."""
    tidied = tidy(notice)
    facts = [{"label": label, "value": value} for label, value in tidied.facts]
    told = {"id": key, "title": tidied.title, "facts": facts, "text": tidied.body, "link": tidied.link}
    return orjson.dumps(told)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, "sha256")
    return f"v1={signed.hexdigest()}"


def _failure(answer: Answer) -> Failure:
    match answer.status:
        case 401 | 403:
            return BadCredential(f"WebhookのURLに拒否されました({answer.status})。")
        case 404 | 410:
            return BadDestination(f"WebhookのURLがありません({answer.status})。")
        case _:
            refused = BadPayload(f"WebhookのURLが通知を受け付けませんでした({answer.status})。")
            return common_failure(answer, NAME) or refused
