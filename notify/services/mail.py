"""Mail: text and recording in one, to one address.

A repeated mail has the Message-ID of the first. Facts: RFC 3834 (Auto-Submitted), RFC 5321 (4xx later, 5xx
never).
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import localtime
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
)

from notify.outbound import Outside, lane_of
from notify.service import BadDestination, BadPayload, Failure, Notice, Step, Unanswered, Unavailable
from notify.wording import as_text, ascii_file_name, fitted
from store.notification_services import MailFields

LONGEST_TEXT = 100_000
SENDER_NAME = "電話番"
ASCII_ONLY = SMTP_POLICY.clone(cte_type="7bit")
PLAIN_LOCAL_PART = re.compile(r"[^.]+(\.[^.]+)*")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
QUIT_S = 2.0


@dataclass(frozen=True)
class Mail:
    """An address."""

    fields: MailFields
    outside: Outside
    knows_repeats: ClassVar[bool] = False

    @property
    def lane(self) -> str:
        return lane_of("mail", self.fields.address.lower())

    def steps(self, notice: Notice) -> tuple[Step, ...]:
        return ("text",)

    async def send(self, step: Step, notice: Notice, key: str, earlier: dict[str, str]) -> str:
        settings = self.outside.settings
        if settings.smtp_url is None:
            raise Unavailable("メールサーバーが設定されていません。運用者にお問い合わせください。")
        recipient = routable(self.fields.address)
        message = written(notice, key, settings.mail_from, recipient)
        client = _client(settings.smtp_url, self.outside.limits.silence_s)
        try:
            await _introduce(client, settings.mail_from, recipient)
            await _hand_over(client, message.as_bytes(policy=ASCII_ONLY))
            with suppress(SMTPException, OSError):
                await client.quit(timeout=QUIT_S)
        finally:
            client.close()
        return str(message["Message-ID"])


def written(notice: Notice, key: str, sender: str, recipient: str) -> EmailMessage:
    """The whole mail. `notice` may hold anything: no header can be smuggled in."""
    tidied = fitted(notice, lambda shorter: len(as_text(shorter)) <= LONGEST_TEXT)
    message = EmailMessage(policy=ASCII_ONLY)
    message["Subject"] = tidied.title
    message["From"] = Address(SENDER_NAME, addr_spec=sender)
    message["To"] = recipient
    message["Date"] = localtime()
    message["Message-ID"] = f"<{key}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(as_text(tidied), cte="base64")
    if tidied.attachment:
        family, _, kind = tidied.attachment.media_type.partition("/")
        message.add_attachment(
            tidied.attachment.content,
            maintype=family,
            subtype=kind or "octet-stream",
            filename=ascii_file_name(tidied.attachment.file_name),
        )
    return message


def routable(address: str) -> str:
    """Quote a local part with dots that only old mobile addresses have: `a..b@…`."""
    local, _, domain = address.rpartition("@")
    return address if PLAIN_LOCAL_PART.fullmatch(local) else f'"{local}"@{domain}'


def _client(url: str, timeout_s: float) -> SMTP:
    """TLS from the start for smtps; else STARTTLS, which a password must not go without."""
    parts = urlsplit(url)
    secure = parts.scheme == "smtps"
    must = bool(parts.password) and parts.hostname not in LOOPBACK
    return SMTP(
        hostname=parts.hostname,
        port=parts.port,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        use_tls=secure,
        start_tls=False if secure else (must or None),
        # A relay of one's own often has a certificate that nobody signed.
        validate_certs=secure or must,
        timeout=timeout_s,
    )


async def _introduce(client: SMTP, sender: str, recipient: str) -> None:
    """Connect, and name sender and recipient: whatever fails here, nothing was delivered."""
    try:
        await client.connect()
        await client.mail(sender)
        await client.rcpt(recipient)
    except SMTPAuthenticationError:
        raise Unavailable("メールサーバーにログインできません。運用者にお問い合わせください。") from None
    except SMTPResponseException as refused:
        raise _failure(refused) from None
    except (SMTPException, OSError, ValueError):
        raise Unavailable("メールサーバーに接続できませんでした。") from None


async def _hand_over(client: SMTP, message: bytes) -> None:
    try:
        await client.data(message)
    except SMTPResponseException as refused:
        raise _failure(refused) from None
    except (SMTPException, OSError):
        raise Unanswered("メールサーバーから応答がありませんでした。") from None


def _failure(refused: SMTPResponseException) -> Failure:
    # The server's words may hold the address: only its code is told.
    if not 500 <= refused.code < 600:
        return Unavailable(f"メールサーバーが後で送るように答えました({refused.code})。")
    if isinstance(refused, SMTPRecipientRefused):
        return BadDestination(f"メールアドレスが受信側に拒否されました({refused.code})。")
    return BadPayload(f"メールサーバーがメールを受け付けませんでした({refused.code})。")
