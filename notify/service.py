"""What a notification service is to the worker that delivers, and how a delivery can fail."""

from dataclasses import dataclass
from typing import Literal, Protocol

Step = Literal["text", "file"]


@dataclass(frozen=True)
class Attachment:
    """A file to send. The name is ASCII: some services and old mail programs garble others."""

    file_name: str
    media_type: str
    content: bytes


@dataclass(frozen=True)
class Notice:
    """One piece of news, before a service gives it its form. All text is of unknown origin: escape it."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """Label and value: 発信者, 着信番号, 着信日時, 録音時間."""

    body: str
    """What was said, or why there is no text yet."""

    link: str | None = None
    attachment: Attachment | None = None


class Service(Protocol):
    """One destination, ready to send to: a room, a channel, a person, an address."""

    @property
    def lane(self) -> str:
        """Names what is limited together (a room of a chat), without any secret, in up to 100 characters."""

    @property
    def knows_repeats(self) -> bool:
        """Whether a key it has had is recognised, so that after Unanswered one may try again freely."""

    def steps(self, notice: Notice) -> tuple[Step, ...]:
        """What must be sent for this notice, in order. A step that succeeded is never sent again."""

    async def send(self, step: Step, notice: Notice, key: str, earlier: dict[str, str]) -> str:
        """Do one step and give the provider's id of it (empty where it has none).

        `key` is a UUID, the same whenever the same step is tried again. `earlier` has the ids that the
        steps before gave. Raises Failure.
        """


class Failure(Exception):
    """It was not delivered, or not surely. `reason` is Japanese, for the administrator, without secrets."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Throttled(Failure):
    """Too much at once: nothing may be sent there for `after_s` seconds (None: it does not say)."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Unavailable(Failure):
    """The far side was not reached, or is in trouble; nothing was delivered. Try again."""


class Unanswered(Failure):
    """The request went out and no answer came: it may have been delivered."""


class QuotaGone(Failure):
    """Nothing more can be sent this month."""


class BadCredential(Failure):
    """Token, key or URL is refused: an administrator must enter a new one."""


class BadDestination(Failure):
    """The room is gone, or we are not in it: an administrator must choose another or invite us."""


class BadPayload(Failure):
    """The far side does not take this message; sending it again would not help."""
