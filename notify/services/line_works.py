"""LINE WORKS API 2.0: text and a file from a bot to a channel. Facts: developers.worksmobile.com.

A service account's signed assertion buys an access token, which is kept until shortly before it ends.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

from aiohttp import FormData

from notify.outbound import (
    Answer,
    IssuedToken,
    Outside,
    common_failure,
    digest,
    lane_of,
    may_upload_to,
    nothing_shown_yet,
    post,
    retry_after_s,
)
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
from notify.wording import as_text, ascii_file_name, fitted, utf16_units, widened
from store.notification_services import LineWorksFields

NAME = "LINE WORKS"
LONGEST_TEXT = 2000
UPLOAD_HOSTS = (".worksmobile.com",)
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "bot"
ASSERTION_S = 3600
SHORTEST_TOKEN_S = 3600.0
EARLY_S = 300.0
TAGS = widened("<>")
"""`<m userId="all">` in a text calls everybody."""


@dataclass(frozen=True)
class LineWorks:
    """A channel (トークルーム) that the bot is in."""

    fields: LineWorksFields
    outside: Outside
    knows_repeats: ClassVar[bool] = False

    @property
    def lane(self) -> str:
        return lane_of("line_works", self.fields.client_id, self.fields.bot_id, self.fields.channel_id)

    def steps(self, notice: Notice) -> tuple[Step, ...]:
        return ("text", "file") if notice.attachment else ("text",)

    async def send(self, step: Step, notice: Notice, key: str, earlier: dict[str, str]) -> str:
        if step == "file" and notice.attachment:
            file_id = await self._upload(notice.attachment)
            await self._say({"type": "file", "fileId": file_id})
            return file_id
        text = written(fitted(notice, lambda shorter: utf16_units(written(shorter)) <= LONGEST_TEXT))
        await self._say({"type": "text", "text": text})
        return ""

    async def _say(self, content: dict[str, str]) -> None:
        await self._call(f"channels/{self.fields.channel_id}/messages", {"content": content})

    async def _upload(self, attachment: Attachment) -> str:
        name = ascii_file_name(attachment.file_name)
        with nothing_shown_yet():
            told = (await self._call("attachments", {"fileName": name})).json()
            url, file_id = str(told.get("uploadUrl")), str(told.get("fileId"))
            if not may_upload_to(url, self.outside.settings.lineworks_url, UPLOAD_HOSTS):
                raise Unavailable("LINE WORKSが想定外のアップロード先を返したため、音声を送りませんでした。")

            async def put(token: str) -> Answer:
                form = FormData()
                form.add_field("resourceName", name)
                form.add_field(
                    "FileData", BytesIO(attachment.content), filename=name, content_type=attachment.media_type
                )
                return await post(self.outside.vendors, url, NAME, data=form, headers=_bearer(token))

            await self._authorised(put)
        return file_id

    async def _call(self, path: str, body: dict[str, Any]) -> Answer:
        url = f"{self.outside.settings.lineworks_url}/bots/{self.fields.bot_id}/{path}"
        return await self._authorised(
            lambda token: post(self.outside.vendors, url, NAME, json=body, headers=_bearer(token))
        )

    async def _authorised(self, request: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Do a request with an access token; a token that is refused is replaced once."""
        answer = await request(await self._token())
        if answer.status == 401:
            self.outside.tokens.pop(self._credential, None)
            answer = await request(await self._token())
        if not answer.accepted:
            raise _failure(answer)
        return answer

    @property
    def _credential(self) -> str:
        fields = self.fields
        return digest(fields.client_id, fields.client_secret, fields.service_account, fields.private_key)

    async def _token(self) -> str:
        kept = self.outside.tokens.get(self._credential)
        if kept and time.monotonic() < kept.good_until:
            return kept.text
        with nothing_shown_yet():
            issued = await self._issue()
        self.outside.tokens[self._credential] = issued
        return issued.text

    async def _issue(self) -> IssuedToken:
        asked_at = time.monotonic()
        form = {
            "assertion": _assertion(self.fields),
            "grant_type": GRANT,
            "client_id": self.fields.client_id,
            "client_secret": self.fields.client_secret,
            "scope": SCOPE,
        }
        url = f"{self.outside.settings.lineworks_auth_url}/token"
        answer = await post(self.outside.vendors, url, NAME, data=form)
        told = answer.json()
        text = told.get("access_token")
        if answer.status != 200 or not isinstance(text, str) or not text.isprintable():
            raise _busy_or_common(answer) or BadCredential(
                f"LINE WORKSの認証に失敗しました({answer.status})。"
                "Client ID、Client Secret、Service Account、Private Keyを確かめてください。"
            )
        # It comes as a number in quotes.
        lasts = str(told.get("expires_in", ""))
        seconds = float(lasts) if lasts.isascii() and lasts.isdecimal() else SHORTEST_TOKEN_S
        return IssuedToken(text, asked_at + max(seconds - EARLY_S, 0.0))


def written(notice: Notice) -> str:
    return as_text(notice, lambda part: part.translate(TAGS))


def _assertion(fields: LineWorksFields) -> str:
    import jwt

    issued_at = int(time.time())
    claims = {
        "iss": fields.client_id,
        "sub": fields.service_account,
        "iat": issued_at,
        "exp": issued_at + ASSERTION_S,
    }
    return jwt.encode(claims, fields.private_key, algorithm="RS256")


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _busy_or_common(answer: Answer) -> Failure | None:
    if answer.status == 429:
        reset = answer.headers.get("ratelimit-reset", "")
        wait_s = float(reset) if reset.isascii() and reset.isdecimal() else retry_after_s(answer)
        return Throttled("LINE WORKSの送信回数の制限にかかりました。", wait_s)
    return common_failure(answer, NAME)


def _failure(answer: Answer) -> Failure:
    match answer.status:
        case 401:
            return BadCredential("LINE WORKSの認証が拒否されました(401)。アプリの設定を確かめてください。")
        case 403 | 404:
            return BadDestination(
                f"LINE WORKSのトークルームに投稿できません({answer.status})。Bot IDとチャンネルIDを確かめ、"
                "Botをトークルームに招待し、アプリのOAuth Scopesにbotがあることを確かめてください。"
            )
        case _:
            refused = BadPayload(f"LINE WORKSが通知を受け付けませんでした({answer.status})。")
            return _busy_or_common(answer) or refused
