"""Chatwork API v2: text as a message, the recording as a file of its own. Facts: developer.chatwork.com."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

from aiohttp import FormData

from notify.outbound import Answer, Outside, common_failure, lane_of, post, retry_after_s, seconds_until
from notify.service import (
    BadCredential,
    BadDestination,
    BadPayload,
    Failure,
    Notice,
    Step,
    Throttled,
)
from notify.wording import as_text, ascii_file_name, fitted, utf16_units, widened
from store.notification_services import ChatworkFields

NAME = "Chatwork"
LONGEST_TEXT = 65_535
LARGEST_FILE = 5 * 1024 * 1024
ROOM_PAUSE_S = 10.0
TAGS = widened("[]")
"""No escape is documented; with other brackets [toall] is only text."""


@dataclass(frozen=True)
class Chatwork:
    """A room."""

    fields: ChatworkFields
    outside: Outside
    knows_repeats: ClassVar[bool] = False

    @property
    def lane(self) -> str:
        return lane_of("chatwork", self.fields.token, self.fields.room_id)

    def steps(self, notice: Notice) -> tuple[Step, ...]:
        takes_file = notice.attachment and len(notice.attachment.content) <= LARGEST_FILE
        return ("text", "file") if takes_file else ("text",)

    async def send(self, step: Step, notice: Notice, key: str, earlier: dict[str, str]) -> str:
        if step == "file" and notice.attachment:
            attachment = notice.attachment
            form = FormData()
            form.add_field(
                "file",
                BytesIO(attachment.content),
                filename=ascii_file_name(attachment.file_name),
                content_type=attachment.media_type,
            )
            return str((await self._call("files", form)).get("file_id", ""))
        text = written(fitted(notice, lambda shorter: utf16_units(written(shorter)) <= LONGEST_TEXT))
        # Who owns the token has read all of its own messages unless told otherwise.
        return str((await self._call("messages", {"body": text, "self_unread": "1"})).get("message_id", ""))

    async def _call(self, what: str, form: FormData | dict[str, str]) -> dict[str, Any]:
        url = f"{self.outside.settings.chatwork_url}/rooms/{self.fields.room_id}/{what}"
        headers = {"x-chatworktoken": self.fields.token}
        answer = await post(self.outside.vendors, url, NAME, headers=headers, data=form)
        if not answer.accepted:
            raise _failure(answer)
        return answer.json()


def written(notice: Notice) -> str:
    text = as_text(notice, lambda part: part.translate(TAGS))
    title, _, rest = text.partition("\n")
    return f"[info][title]{title}[/title]{rest.lstrip()}[/info]"


def _failure(answer: Answer) -> Failure:
    match answer.status:
        case 429:
            return Throttled("Chatworkの送信回数の制限にかかりました。", _wait_s(answer))
        case 401:
            return BadCredential("ChatworkのAPIトークンが使えません。新しいトークンを登録してください。")
        case 403 | 404:
            return BadDestination(
                f"Chatworkのルームに投稿できません({answer.status})。"
                "ルームIDと、トークンの持ち主がルームのメンバーであることを確かめてください。"
            )
        case _:
            refused = BadPayload(f"Chatworkが通知を受け付けませんでした({answer.status})。")
            return common_failure(answer, NAME) or refused


def _wait_s(answer: Answer) -> float | None:
    """Chatwork limits a room for ten seconds, and a token until the time in a header."""
    if b"per room" in answer.body:
        return ROOM_PAUSE_S
    reset = answer.headers.get("x-ratelimit-reset", "")
    return seconds_until(float(reset)) if reset.isascii() and reset.isdecimal() else retry_after_s(answer)
