from datetime import UTC, datetime

import pytest

from notify.service import (
    BadCredential,
    BadDestination,
    BadPayload,
    Failure,
    QuotaGone,
    Throttled,
    Unanswered,
    Unavailable,
)
from notify.verdicts import CODES, Again, Over, code_of, next_month, verdict_of

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def judged(
    failure: Failure, attempts: int = 1, waited_s: float = 0.0, unanswered: int = 0, key: bool = False
) -> Again | Over:
    return verdict_of(failure, attempts, waited_s, unanswered, key, AT)


def test_every_failure_has_a_code() -> None:
    assert set(CODES) == set(Failure.__subclasses__())
    assert [code_of(kind("x")) for kind in CODES] == list(CODES.values())


def test_trouble_over_there_is_tried_for_a_day_with_growing_waits() -> None:
    waited_s = 0.0
    waits: list[float] = []
    while isinstance(verdict := judged(Unavailable("500"), len(waits) + 1, waited_s), Again):
        assert verdict.counts
        waits.append(verdict.after_s)
        waited_s += verdict.after_s
    assert verdict == Over()
    assert waits[:4] == [2, 4, 8, 16]
    assert max(waits) == 300
    assert 24 * 3600 <= waited_s <= 24 * 3600 + 300


def test_a_throttle_waits_as_told_within_reason() -> None:
    assert judged(Throttled("x", 12.5)) == Again(12.5, counts=False)
    assert judged(Throttled("x")) == Again(30.0, counts=False)
    assert judged(Throttled("x", 1e6), waited_s=1e6) == Again(3600.0, counts=False)


def test_what_may_have_arrived() -> None:
    assert isinstance(judged(Unanswered("x"), unanswered=2), Again)
    assert judged(Unanswered("x"), unanswered=3) == Over()
    assert isinstance(judged(Unanswered("x"), unanswered=50, key=True), Again)
    assert judged(Unanswered("x"), unanswered=50, key=True, waited_s=24 * 3600) == Over()


def test_what_will_never_work() -> None:
    assert judged(BadCredential("x")) == judged(BadDestination("x")) == Over(breaks=True)
    assert judged(BadPayload("x")) == Over()
    assert judged(QuotaGone("x")) == Over(breaks=True, until=datetime(2026, 11, 30, 15, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("at", "first"),
    [
        (datetime(2026, 1, 31, 14, 59, tzinfo=UTC), datetime(2026, 1, 31, 15, 0, tzinfo=UTC)),
        (datetime(2026, 1, 31, 15, 0, tzinfo=UTC), datetime(2026, 2, 28, 15, 0, tzinfo=UTC)),
        (datetime(2026, 12, 5, 0, 0, tzinfo=UTC), datetime(2026, 12, 31, 15, 0, tzinfo=UTC)),
    ],
)
def test_quotas_are_counted_anew_on_the_first_in_japan(at: datetime, first: datetime) -> None:
    assert next_month(at) == first
