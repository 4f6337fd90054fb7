"""A mail server (aiosmtpd), with refusals at each of its steps to order."""

import asyncio
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from ssl import SSLContext
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult

LOGIN = ("user", "open/sesame")


@dataclass(frozen=True)
class Mailed:
    """One mail: its envelope, and what was in it."""

    sender: str
    recipients: list[str]
    raw: bytes
    message: EmailMessage
    over_tls: bool


class MailDouble:
    """`accepted` has each mail. `answers` has, for MAIL, RCPT or DATA, what to say next instead of 250."""

    def __init__(self, tls: SSLContext | None = None, tls_from_start: bool = False, port: int = 0) -> None:
        """With `tls`, STARTTLS is offered, or TLS spoken from the start. Port 0: any."""
        self._port = port
        self._tls = tls
        self._tls_from_start = tls_from_start
        self.accepted: list[Mailed] = []
        self.answers: dict[str, list[str]] = {"MAIL": [], "RCPT": [], "DATA": []}
        self.silent_after_data = False
        self.slow_after_data_s = 0.0
        self.logins: list[tuple[str, str]] = []
        """Every name and password given."""
        self._closing = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server
        return f"smtp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(
                self,
                hostname="mail.example",
                loop=loop,
                authenticator=self._log_in,
                auth_require_tls=False,
                tls_context=None if self._tls_from_start else self._tls,
            ),
            "127.0.0.1",
            self._port,
            ssl=self._tls if self._tls_from_start else None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        assert self._server
        self._server.close()
        await self._server.wait_closed()

    def _log_in(self, server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        name, password = given.login.decode(), given.password.decode()
        self.logins.append((name, password))
        return AuthResult(success=(name, password) == LOGIN, handled=False)

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.answers["MAIL"]:
            return self.answers["MAIL"].pop(0)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.answers["RCPT"]:
            return self.answers["RCPT"].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answers["DATA"]:
            return self.answers["DATA"].pop(0)
        raw = bytes(envelope.content)
        if any(len(line) > 998 for line in raw.split(b"\r\n")) or not raw.isascii():
            return "550 5.6.0 neither lines over 998 nor eight bits"
        message = message_from_bytes(raw, policy=SMTP_POLICY)
        assert isinstance(message, EmailMessage)
        if message.defects or not message["Date"] or not message["Message-ID"]:
            return "550 5.6.0 not a well-formed mail"
        over_tls = session.ssl is not None or self._tls_from_start
        self.accepted.append(Mailed(envelope.mail_from, list(envelope.rcpt_tos), raw, message, over_tls))
        if self.silent_after_data:
            await self._closing.wait()
        await asyncio.sleep(self.slow_after_data_s)
        return "250 OK queued"
