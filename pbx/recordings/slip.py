"""The slip beside a call's recording, as `asterisk-conf/recording.conf` writes it. Pure.

Lines of `key=value`. Facts come first; then, as they happen, events with their time in seconds since 1970:
`announcing`, `announced`, `broken` (its announcement), `unplayable`, `begun`, `paused`, `stopped`, `ended`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

FACTS = ("number", "direction", "other", "other_name", "presentation", "prompt", "outside")
EVENTS = ("announcing", "announced", "broken", "unplayable", "begun", "paused", "stopped", "ended")
ENDS_A_SECTION = {"paused", "stopped", "ended"}


@dataclass(frozen=True)
class Event:
    """`name` is one of `EVENTS`."""

    name: str
    at: datetime


@dataclass(frozen=True)
class Section:
    """A stretch that was recorded without a pause. `until` is None where nobody noted its end."""

    since: datetime
    until: datetime | None


@dataclass(frozen=True)
class CallSlip:
    """What is known of a recorded call; a fact that is missing is empty.

    `other` is the party outside as it was told or dialled, `prompt` the id of what was to be announced,
    `outside` the unique id of that party's channel.
    """

    number: str = ""
    direction: str = ""
    other: str = ""
    other_name: str = ""
    presentation: str = ""
    prompt: str = ""
    outside: str = ""
    events: tuple[Event, ...] = ()

    def when(self, name: str) -> datetime | None:
        """When it happened first; None where it did not."""
        return next((event.at for event in self.events if event.name == name), None)

    @property
    def over(self) -> bool:
        """The dialplan saw the end of it, and every file is whole."""
        return any(event.name == "ended" for event in self.events)

    def sections(self) -> list[Section]:
        found: list[Section] = []
        since: datetime | None = None
        for event in self.events:
            if event.name == "begun" and since is None:
                since = event.at
            elif event.name in ENDS_A_SECTION and since is not None:
                found.append(Section(since, event.at))
                since = None
        return [*found, Section(since, None)] if since else found


def parse_call_slip(text: str) -> CallSlip:
    """Read a slip. A slip may end anywhere: its last line counts only if it was finished."""
    facts: dict[str, str] = {}
    events: list[Event] = []
    for line in text.split("\n")[:-1]:
        key, _, value = line.partition("=")
        if key in FACTS:
            facts[key] = value
        elif key in EVENTS and (at := _time(value)):
            events.append(Event(key, at))
    return CallSlip(**facts, events=tuple(events))


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None
