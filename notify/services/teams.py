"""Microsoft Teams: an Adaptive Card to the webhook of a workflow. Facts: MicrosoftDocs/msteams-docs.

Any 2xx only says that the workflow was started: what becomes of the card is not told.
"""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from notify.outbound import Answer, Outside, common_failure, lane_of, post
from notify.service import BadCredential, BadDestination, BadPayload, Failure, Notice, Step
from notify.wording import fitted
from store.notification_services import TeamsFields

NAME = "Teams"
LARGEST_REQUEST = 27_000
"""28 KB are documented; a little air is left."""

INLINE_MARKDOWN = re.compile(r"([\\`*_\[\]{}<>~|])")
LINE_MARKDOWN = re.compile(r"(?m)^([^\S\n]*)([-+]|#+|[0-9]+[.)])(?=\s|$)")


@dataclass(frozen=True)
class Teams:
    """Whatever the workflow behind a URL posts to."""

    fields: TeamsFields
    outside: Outside
    knows_repeats: ClassVar[bool] = False

    @property
    def lane(self) -> str:
        return lane_of("teams", self.fields.url)

    def steps(self, notice: Notice) -> tuple[Step, ...]:
        return ("text",)

    async def send(self, step: Step, notice: Notice, key: str, earlier: dict[str, str]) -> str:
        body = request(fitted(notice, lambda shorter: len(request(shorter)) <= LARGEST_REQUEST))
        headers = {"Content-Type": "application/json"}
        answer = await post(self.outside.teams, self.fields.url, NAME, data=body, headers=headers)
        if not answer.accepted:
            raise _failure(answer)
        return ""


def request(notice: Notice) -> bytes:
    """The whole request's body."""
    title = {"type": "TextBlock", "text": escape(notice.title), "weight": "Bolder", "size": "Medium"}
    facts = [{"title": escape(label), "value": escape(value)} for label, value in notice.facts]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            title | {"wrap": True},
            *([{"type": "FactSet", "facts": facts}] if facts else []),
            # One line break is none in Markdown.
            {"type": "TextBlock", "text": escape(notice.body).replace("\n", "\n\n"), "wrap": True},
        ],
    }
    if notice.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "お客様ページで開く", "url": notice.link}]
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return orjson.dumps({"type": "message", "attachments": [attachment]})


def escape(text: str) -> str:
    """Put a backslash before what a TextBlock takes for Markdown."""
    marked = INLINE_MARKDOWN.sub(r"\\\1", text)
    return LINE_MARKDOWN.sub(lambda found: found[1] + _escaped_start(found[2]), marked)


def _escaped_start(mark: str) -> str:
    return f"{mark[:-1]}\\{mark[-1]}"


def _failure(answer: Answer) -> Failure:
    match answer.status:
        case 401 | 403:
            return BadCredential(
                f"TeamsのURLが使えません({answer.status})。ワークフローのURLをコピーし直し、"
                "実行できるユーザーが「すべてのユーザー」であることを確かめてください。"
            )
        case 400 | 404 | 410:
            return BadDestination(
                f"Teamsのワークフローが見つからないか、止まっています({answer.status})。"
                "ワークフローを確かめ、新しいURLを登録してください。"
            )
        case _:
            refused = BadPayload(f"Teamsが通知を受け付けませんでした({answer.status})。")
            return common_failure(answer, NAME) or refused
