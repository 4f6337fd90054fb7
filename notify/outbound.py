"""Requests to services outside: where they may go, how long they may take, what came of them.

A customer's URL (Teams, Google Chat, webhook) may lead to public addresses only. The address is checked
when the socket is made, so neither a name that resolves otherwise the second time nor a number in an odd
spelling gets by. Redirects are not followed, and each request has a connection of its own: on a kept one
"closed before the answer" says nothing about whether the request was taken.
"""

import errno
import ipaddress
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.connector import AddrInfoType
from yarl import URL

from notify.service import BadDestination, Failure, Throttled, Unanswered, Unavailable
from settings import NotificationSettings
from store.public_addresses import reachable

LARGEST_ANSWER = 64 * 1024
LONGEST_WAIT_S = 3600.0
USER_AGENT = "Denwaban"


@dataclass(frozen=True)
class Limits:
    """How long one request may take: until connected, between two bytes, in all."""

    connect_s: float = 10.0
    silence_s: float = 20.0
    total_s: float = 60.0


@dataclass(frozen=True)
class IssuedToken:
    """An access token, and until when it is good, in time.monotonic()."""

    text: str = field(repr=False)
    good_until: float


@dataclass(frozen=True)
class Outside:
    """What the services send through. Each kind of customer's URL has a session with its own guard."""

    settings: NotificationSettings
    limits: Limits
    vendors: ClientSession
    teams: ClientSession
    google_chat: ClientSession
    webhooks: ClientSession
    tokens: dict[str, IssuedToken] = field(default_factory=dict, repr=False)
    """LINE WORKS' access tokens, by a digest of the credential."""


@asynccontextmanager
async def open_outside(
    settings: NotificationSettings, limits: Limits | None = None
) -> AsyncIterator[Outside]:
    limits = limits or Limits()
    inside = settings.webhook_networks
    async with (
        _session(limits) as vendors,
        _session(limits, (*inside, *_addresses(settings.teams_hosts))) as teams,
        _session(limits, (*inside, *_addresses(settings.google_chat_hosts))) as google_chat,
        _session(limits, inside) as webhooks,
    ):
        yield Outside(settings, limits, vendors, teams, google_chat, webhooks)


@dataclass(frozen=True)
class Answer:
    """A whole response, its body cut off at LARGEST_ANSWER."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""

    body: bytes

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """The body where it is a JSON object, else nothing."""
        try:
            told = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return told if isinstance(told, dict) else {}


async def post(session: ClientSession, url: str, name: str, **how: Any) -> Answer:
    """POST to exactly this URL. `name` is the service's, for reasons.

    Raises Unavailable, Unanswered, or BadDestination for an address that may not be reached.
    """
    try:
        async with session.post(URL(url, encoded=True), allow_redirects=False, **how) as response:
            headers = {header.lower(): value for header, value in response.headers.items()}
            return Answer(response.status, headers, await _beginning(response.content))
    except ClientSSLError:
        raise Unavailable(f"{name}に安全に接続できませんでした(TLSまたは証明書の問題です)。") from None
    except (ClientConnectorError, ConnectionTimeoutError) as away:
        if isinstance(away, ClientConnectorError) and isinstance(away.os_error, PermissionError):
            raise BadDestination(
                "このURLの接続先には通知できません(公開されていないアドレスです)。"
            ) from None
        raise Unavailable(f"{name}に接続できませんでした。") from None
    except ValueError:
        raise BadDestination(f"{name}のURLが正しくありません。") from None
    except (ClientError, OSError):
        # OSError holds TimeoutError. The exceptions' own words may hold the URL, which is a secret.
        raise Unanswered(f"{name}から応答がありませんでした。") from None


def common_failure(answer: Answer, name: str) -> Failure | None:
    """What a status means on every service; None where it depends on the service."""
    match answer.status:
        case 429:
            return Throttled(f"{name}の送信回数の制限にかかりました。", retry_after_s(answer))
        case 504:
            return Unanswered(f"{name}から応答がありませんでした(504)。")
        case 408 | 425:
            return Unavailable(f"{name}がリクエストを受け取れませんでした({answer.status})。")
        case status if status >= 500:
            return Unavailable(f"{name}で障害が起きています({status})。")
        case status if 300 <= status < 400:
            return BadDestination(
                f"{name}のURLが別の場所に転送されています({status})。転送先には通知しません。"
            )
        case _:
            return None


def retry_after_s(answer: Answer) -> float | None:
    """Read Retry-After, in seconds or as a date."""
    told = answer.headers.get("retry-after", "").strip()
    if told.isascii() and told.isdecimal():
        return min(float(told), LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(told)
    except ValueError:
        return None
    return seconds_until((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def seconds_until(unix_time: float) -> float:
    return min(max(unix_time - time.time(), 0.0), LONGEST_WAIT_S)


@contextmanager
def nothing_shown_yet() -> Iterator[None]:
    """For requests whose result nobody sees before a later one: without an answer, nothing was delivered."""
    try:
        yield
    except Unanswered as unanswered:
        raise Unavailable(unanswered.reason) from None


def may_upload_to(url: str, base: str, hosts: tuple[str, ...]) -> bool:
    """Whether bytes may go where a vendor says: to `hosts` (`.x.com`: all below), or its API's host."""
    try:
        parts, ours = urlsplit(url), urlsplit(base)
    except ValueError:
        return False
    host = parts.hostname or ""
    listed = any(host == name or (name.startswith(".") and host.endswith(name)) for name in hosts)
    plain = all("!" <= sign <= "~" and sign != "\\" for sign in url)
    secure = parts.scheme in {"https", ours.scheme}
    return plain and secure and "@" not in parts.netloc and (listed or host == ours.hostname)


def lane_of(kind: str, *what: str) -> str:
    """Name a lane after what is limited together, which may hold secrets: only their digest shows."""
    return f"{kind}:{digest(*what)[:32]}"


def digest(*what: str) -> str:
    return sha256("\0".join(what).encode()).hexdigest()


def _session(limits: Limits, permitted: tuple[str, ...] | None = None) -> ClientSession:
    """A session; with `permitted`, one that reaches public addresses and those networks only."""
    guard = None if permitted is None else _guard(permitted)
    return ClientSession(
        connector=TCPConnector(force_close=True, socket_factory=guard),
        timeout=ClientTimeout(
            total=limits.total_s,
            connect=limits.connect_s,
            sock_connect=limits.connect_s,
            sock_read=limits.silence_s,
        ),
        cookie_jar=DummyCookieJar(),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        # What a stranger packed may unpack to any size.
        auto_decompress=permitted is None,
    )


def _guard(permitted: tuple[str, ...]) -> Any:
    def socket_for(address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, where = address
        if not reachable(str(where[0]), permitted):
            raise PermissionError(errno.EPERM, "not a public address")
        return socket.socket(family, kind, protocol)

    return socket_for


def _addresses(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `hosts` that are addresses: whoever lists one means it."""
    names = (host.partition(":")[0] for host in hosts)
    return tuple(name for name in names if _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _beginning(content: Any) -> bytes:
    read = bytearray()
    async for chunk in content.iter_any():
        read += chunk
        if len(read) >= LARGEST_ANSWER:
            break
    return bytes(read[:LARGEST_ANSWER])
