"""Where notifications go out: each service's address, and what a customer's own URL may name."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class NotificationSettings:
    """The defaults are the services' own addresses; tests point elsewhere. Base URLs end without a slash."""

    slack_url: str = "https://slack.com/api"
    chatwork_url: str = "https://api.chatwork.com/v2"
    line_url: str = "https://api.line.me"
    lineworks_url: str = "https://www.worksapis.com/v1.0"
    lineworks_auth_url: str = "https://auth.worksmobile.com/oauth2/v2.0"
    teams_hosts: tuple[str, ...] = ("*.api.powerplatform.com",)
    google_chat_hosts: tuple[str, ...] = ("chat.googleapis.com",)
    webhook_networks: tuple[str, ...] = ()
    """Networks that are not public and that customers' URLs may name all the same."""

    smtp_url: str | None = field(default=None, repr=False)
    """`smtp://user:password@host:587`, or `smtps://…`; it may hold a password."""

    mail_from: str = "denwaban@localhost"
