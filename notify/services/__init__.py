"""The notification services, one file each."""

from notify.outbound import Outside
from notify.service import Service
from notify.services.chatwork import Chatwork
from notify.services.google_chat import GoogleChat
from notify.services.line import Line
from notify.services.line_works import LineWorks
from notify.services.mail import Mail
from notify.services.slack import Slack
from notify.services.teams import Teams
from notify.services.webhook import Webhook
from store.notification_services import (
    ChatworkFields,
    Fields,
    GoogleChatFields,
    LineFields,
    LineWorksFields,
    MailFields,
    SlackFields,
    TeamsFields,
    WebhookFields,
)


def build(fields: Fields, outside: Outside) -> Service:
    """Make the service that `fields` describe, sending through `outside`."""
    match fields:
        case SlackFields():
            return Slack(fields, outside)
        case ChatworkFields():
            return Chatwork(fields, outside)
        case TeamsFields():
            return Teams(fields, outside)
        case LineFields():
            return Line(fields, outside)
        case LineWorksFields():
            return LineWorks(fields, outside)
        case GoogleChatFields():
            return GoogleChat(fields, outside)
        case WebhookFields():
            return Webhook(fields, outside)
        case MailFields():
            return Mail(fields, outside)
