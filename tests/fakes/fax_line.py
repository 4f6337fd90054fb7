"""A line that does what a test tells it, and leaves slips as the dialplan does. It refuses what the real one
would not take: a call without pages, a name that is no attempt's."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ami.errors import AsteriskAway
from faxgw.line import Alive, Order
from faxpages.tiffs import count_pages


@dataclass
class ScriptedLine:
    """The far machine and Asterisk in one."""

    spool: Path
    away: bool = False
    deaf: bool = False
    """Takes orders and loses them."""
    orders: list[Order] = field(default_factory=list)
    """Every order that led to a call, in order."""
    alive: dict[str, Alive] = field(default_factory=dict)
    pages_sent: dict[str, int] = field(default_factory=dict)
    hung_up: list[str] = field(default_factory=list)
    channels: set[str] = field(default_factory=set)

    async def dial(self, order: Order) -> None:
        self._refuse_away()
        assert order.pages.is_absolute()
        assert order.pages.parent == self.spool / "out"
        assert order.to.startswith("+81")
        assert len(order.station) <= 20
        if self.deaf or self._slip(order.id).exists():
            return
        self.pages_sent[order.id] = count_pages(order.pages)
        self.orders.append(order)
        self.alive[order.id] = Alive((f"PJSIP/trunk-{len(self.orders)}",))
        self._write(order.id, direction="out", number=order.ours, started_at=str(int(time.time())))

    async def look(self) -> Mapping[str, Alive]:
        self._refuse_away()
        return dict(self.alive)

    async def receiving(self) -> set[str]:
        self._refuse_away()
        return self.channels

    async def hang_up(self, attempt_id: str) -> None:
        self._refuse_away()
        self.hung_up.append(attempt_id)
        if attempt_id in self.alive:
            self.end(attempt_id, status="FAILED", statusstr="The call dropped prematurely")

    # ---- what the far side does ----------------------------------------------------------------

    @property
    def last(self) -> str:
        return self.orders[-1].id

    def answer(self, attempt_id: str) -> None:
        self._write(attempt_id, answered_at=str(int(time.time())))

    def arrived(self, attempt_id: str, pages: int) -> None:
        self.alive[attempt_id] = Alive(self.alive[attempt_id].channels, pages)

    def end(self, attempt_id: str, **words: str) -> None:
        """The call is over: first the slip, then the channel."""
        self._write(attempt_id, **words, ended_at=str(int(time.time())))
        self.alive.pop(attempt_id, None)

    def take_all(self, attempt_id: str, mode: str = "t38") -> None:
        """The far machine takes every page."""
        self.answer(attempt_id)
        pages = str(self.pages_sent[attempt_id])
        self.end(
            attempt_id, status="SUCCESS", statusstr="OK", pages=pages, rate="14400", mode=mode, ecm="yes"
        )

    def die(self) -> None:
        """Asterisk is killed and comes back."""
        self.alive.clear()

    def _slip(self, attempt_id: str) -> Path:
        return self.spool / f"{attempt_id}.fax"

    def _write(self, attempt_id: str, **words: str) -> None:
        with self._slip(attempt_id).open("a") as slip:
            slip.write("".join(f"{key}={value}\n" for key, value in words.items()))

    def _refuse_away(self) -> None:
        if self.away:
            raise AsteriskAway("the line is away")
