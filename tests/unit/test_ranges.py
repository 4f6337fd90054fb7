import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_api.audio import Span, Unsatisfiable, parse_range

pytestmark = pytest.mark.unit

SIZE = 1000


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 0)),
        ("bytes=0-", Span(0, 999)),
        ("bytes=10-19", Span(10, 19)),
        ("BYTES=10-19", Span(10, 19)),
        ("bytes=990-5000", Span(990, 999)),
        ("bytes=999-", Span(999, 999)),
        ("bytes=-1", Span(999, 999)),
        ("bytes=-5000", Span(0, 999)),
        (f"bytes=0-{'9' * 5000}", Span(0, 999)),
        ("bytes=20-10", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes 0-1", None),
        ("seconds=0-1", None),
        ("", None),
    ],
)
def test_ranges(header: str | None, span: Span | None) -> None:
    assert parse_range(header, SIZE) == span


@pytest.mark.parametrize(
    "header",
    ["bytes=1000-", "bytes=1000-1001", f"bytes={'9' * 5000}-", "bytes=-0", "bytes=0-1,5-6", "bytes=0-1, -5"],
)
def test_unsatisfiable_ranges(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, SIZE)


@given(
    st.text(max_size=40) | st.from_regex(r"bytes=[0-9]{0,6}-[0-9]{0,6}", fullmatch=True), st.integers(1, 5000)
)
def test_any_header_gives_a_span_within_the_file(header: str, size: int) -> None:
    try:
        span = parse_range(header, size) or Span(0, size - 1)
    except Unsatisfiable:
        return
    assert 0 <= span.first <= span.last < size
