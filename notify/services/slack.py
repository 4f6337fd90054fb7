"""Slack: text by chat.postMessage, the recording by external upload as a reply to it.

A Slack answer says `ok` in its body; the status alone says nothing. Facts: docs.slack.dev (chat.postMessage,
files.getUploadURLExternal, files.completeUploadExternal, rate limits).
"""

import html
import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

from notify.outbound import Answer, Outside, common_failure, lane_of, may_upload_to, nothing_shown_yet, post
from notify.service import (
    Attachment,
    BadCredential,
    BadDestination,
    BadPayload,
    Failure,
    Notice,
    Step,
    Throttled,
    Unavailable,
)
from notify.wording import as_text, ascii_file_name, fitted
from store.notification_services import SlackFields

NAME = "Slack"
LONGEST_TEXT = 4000
"""What Slack recommends, before escaping, which makes five of one at most: Slack takes 40,000."""

UPLOAD_HOSTS = ("files.slack.com",)
BUSY = {"ratelimited", "rate_limited", "message_limit_exceeded"}
IN_TROUBLE = {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
CREDENTIAL_REFUSED = {
    "access_denied",
    "account_inactive",
    "app_access_restricted",
    "ekm_access_denied",
    "enterprise_is_restricted",
    "invalid_auth",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "not_authed",
    "org_login_required",
    "team_not_found",
    "token_expired",
    "token_revoked",
    "two_factor_setup_required",
}
ROOM_REFUSED = {
    "cannot_reply_to_message",
    "channel_not_found",
    "invalid_channel",
    "is_archived",
    "messages_tab_disabled",
    "not_in_channel",
    "posting_to_channel_denied",
}


@dataclass(frozen=True)
class Slack:
    """A channel of a workspace."""

    fields: SlackFields
    outside: Outside
    knows_repeats: ClassVar[bool] = False

    @property
    def lane(self) -> str:
        return lane_of("slack", self.fields.token, self.fields.channel_id)

    def steps(self, notice: Notice) -> tuple[Step, ...]:
        return ("text", "file") if notice.attachment else ("text",)

    async def send(self, step: Step, notice: Notice, key: str, earlier: dict[str, str]) -> str:
        if step == "file" and notice.attachment:
            return await self._send_file(notice.attachment, earlier.get("text"))
        shorter = fitted(notice, lambda cut: len(as_text(cut)) <= LONGEST_TEXT)
        message = {
            "channel": self.fields.channel_id,
            "text": written(shorter),
            "mrkdwn": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        told = await self._call("chat.postMessage", json=message)
        return str(told.get("ts", ""))

    async def _send_file(self, attachment: Attachment, thread: str | None) -> str:
        name = ascii_file_name(attachment.file_name)
        with nothing_shown_yet():
            place = await self._call(
                "files.getUploadURLExternal", data={"filename": name, "length": str(len(attachment.content))}
            )
            await self._upload(str(place.get("upload_url")), attachment)
        file_id = str(place.get("file_id"))
        shared = {"files": [{"id": file_id, "title": name}], "channel_id": self.fields.channel_id}
        await self._call(
            "files.completeUploadExternal", json=shared | ({"thread_ts": thread} if thread else {})
        )
        return file_id

    async def _upload(self, url: str, attachment: Attachment) -> None:
        if not may_upload_to(url, self.outside.settings.slack_url, UPLOAD_HOSTS):
            raise Unavailable("Slackが想定外のアップロード先を返したため、音声を送りませんでした。")
        answer = await post(
            self.outside.vendors,
            url,
            NAME,
            data=BytesIO(attachment.content),
            headers={"Content-Type": "application/octet-stream"},
        )
        if answer.status != 200:
            raise common_failure(answer, NAME) or BadPayload(
                f"Slackが音声ファイルを受け取りませんでした({answer.status})。"
            )

    async def _call(self, method: str, **how: Any) -> dict[str, Any]:
        url = f"{self.outside.settings.slack_url}/{method}"
        authorization = {"Authorization": f"Bearer {self.fields.token}"}
        answer = await post(self.outside.vendors, url, NAME, headers=authorization, **how)
        told = answer.json()
        if answer.status == 200 and told.get("ok") is True:
            return told
        raise _failure(answer, told)


def written(notice: Notice) -> str:
    """The text; `<` begins mentions such as <!channel>, and three signs have to be escaped."""
    return as_text(notice, _escape, _escape)


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def _failure(answer: Answer, told: dict[str, Any]) -> Failure:
    common = common_failure(answer, NAME)
    if common:
        return common
    error = re.sub(r"[^a-z_]", "", str(told.get("error", "")))[:60] or str(answer.status)
    if error in BUSY:
        return Throttled(f"Slackの送信回数の制限にかかりました({error})。")
    if error in IN_TROUBLE:
        return Unavailable(f"Slackで障害が起きています({error})。")
    if error == "missing_scope":
        return BadCredential(
            "Slack Appの権限が足りません。Bot Token Scopesにchat:writeとfiles:writeを追加し、"
            "ワークスペースに再インストールしてください(missing_scope)。"
        )
    if error in CREDENTIAL_REFUSED or answer.status in {401, 403}:
        return BadCredential(f"Slackのトークンが使えません({error})。新しいトークンを登録してください。")
    if error in {"not_in_channel", "channel_not_found"}:
        return BadDestination(
            f"Slackのチャンネルに投稿できません({error})。"
            "チャンネルIDを確かめ、チャンネルにアプリを追加してください。"
        )
    if error in ROOM_REFUSED or error.startswith(("restricted_action", "slack_connect_")):
        return BadDestination(f"Slackのチャンネルに投稿できません({error})。")
    return BadPayload(f"Slackが通知を受け付けませんでした({error})。")
