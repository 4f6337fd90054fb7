"""Every kind of notification service, pointed at its double."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from settings import NotificationSettings
from store.notification_services import Fields, Kind, parse_fields
from tests.doubles import chatwork, line, line_works, slack, webhook
from tests.doubles.chatwork import ChatworkDouble
from tests.doubles.far_side import FarSide
from tests.doubles.google_chat import GoogleChatDouble
from tests.doubles.line import LineDouble
from tests.doubles.line_works import LineWorksDouble
from tests.doubles.mail import MailDouble
from tests.doubles.slack import SlackDouble
from tests.doubles.teams import TeamsDouble
from tests.doubles.webhook import WebhookDouble

HTTP_KINDS: tuple[Kind, ...] = ("slack", "chatwork", "teams", "line", "line_works", "google_chat", "webhook")


@dataclass(frozen=True)
class Destination:
    """A double, the settings that lead to it, and what a customer would enter."""

    kind: Kind
    double: Any
    settings: NotificationSettings
    given: dict[str, str]
    texts: Callable[[], list[str]]
    """The texts that the double took, in order."""

    path: str = ""
    """What the path of a request with a text holds."""

    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def fields(self) -> Fields:
        return parse_fields(self.kind, self.given, self.settings)


@asynccontextmanager
async def destination(kind: Kind) -> AsyncIterator[Destination]:
    """Run the double of `kind`."""
    makers: dict[Kind, Callable[[], Any]] = {
        "slack": SlackDouble,
        "chatwork": ChatworkDouble,
        "teams": TeamsDouble,
        "line": LineDouble,
        "line_works": LineWorksDouble,
        "google_chat": GoogleChatDouble,
        "webhook": WebhookDouble,
        "mail": MailDouble,
    }
    async with makers[kind]() as double:
        yield _leading_to(kind, double)


def _leading_to(kind: Kind, double: Any) -> Destination:
    match double:
        case SlackDouble():
            return Destination(
                kind,
                double,
                NotificationSettings(slack_url=double.base_url),
                {"token": slack.TOKEN, "channel_id": slack.CHANNEL},
                lambda: _those(double, "text"),
                "chat.postMessage",
                (slack.TOKEN,),
            )
        case ChatworkDouble():
            return Destination(
                kind,
                double,
                NotificationSettings(chatwork_url=double.base_url),
                {"token": chatwork.TOKEN, "room_id": f"https://www.chatwork.com/#!rid{chatwork.ROOM}"},
                lambda: _those(double, "body"),
                "messages",
                (chatwork.TOKEN,),
            )
        case TeamsDouble():
            return Destination(
                kind,
                double,
                NotificationSettings(teams_hosts=(double.host,)),
                {"url": double.webhook_url},
                lambda: [card["body"][-1]["text"] for card in double.accepted],
                "invoke",
                ("teams-signature",),
            )
        case LineDouble():
            return Destination(
                kind,
                double,
                NotificationSettings(line_url=double.url),
                {"token": line.TOKEN, "to": line.GROUP},
                lambda: [text for push in double.accepted for text in push["texts"]],
                "push",
                (line.TOKEN,),
            )
        case LineWorksDouble():
            given = {
                "client_id": line_works.CLIENT_ID,
                "client_secret": line_works.CLIENT_SECRET,
                "service_account": line_works.SERVICE_ACCOUNT,
                "private_key": line_works.private_key_pem(),
                "bot_id": line_works.BOT,
                "channel_id": line_works.CHANNEL,
            }
            return Destination(
                kind,
                double,
                NotificationSettings(lineworks_url=double.base_url, lineworks_auth_url=double.auth_url),
                given,
                lambda: _those(double, "text"),
                "messages",
                (line_works.CLIENT_SECRET, line_works.private_key_pem().splitlines()[1], "access-token"),
            )
        case GoogleChatDouble():
            return Destination(
                kind,
                double,
                NotificationSettings(google_chat_hosts=(double.host,)),
                {"url": double.webhook_url},
                lambda: list(double.accepted),
                "messages",
                ("google-key", "google-token"),
            )
        case WebhookDouble():
            return Destination(
                kind,
                double,
                NotificationSettings(webhook_networks=("127.0.0.0/8",)),
                {"url": double.webhook_url, "secret": webhook.SECRET},
                lambda: [told["text"] for told in double.accepted],
                "denwaban",
                (webhook.SECRET, "customer%2F1"),
            )
        case MailDouble():
            return Destination(
                kind,
                double,
                NotificationSettings(smtp_url=double.url, mail_from="denwaban@switch.example"),
                {"address": "info@customer.example"},
                lambda: [_text_of(mail.message) for mail in double.accepted],
            )
        case _:
            raise ValueError(kind)


def _those(double: FarSide, name: str) -> list[str]:
    return [taken[name] for taken in double.accepted if name in taken]


def _text_of(message: Any) -> str:
    return str(message.get_body(("plain",)).get_content())
