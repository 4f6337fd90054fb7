"""One-time codes against RFC 6238's own examples, and each of them once."""

import base64
from datetime import UTC, datetime

import pyotp
import pytest

from store.errors import Unusable
from store.one_time_codes import new_recovery_codes, new_secret, recovery_digest, step_of, uri
from store.passwords import hashed, made_up, matches, outdated, refuse_weak

pytestmark = pytest.mark.unit

# RFC 6238, appendix B (SHA-1); its eight digits end in our six.
RFC_SECRET = base64.b32encode(b"12345678901234567890").decode()
RFC = [(59, "94287082"), (1111111109, "07081804"), (1234567890, "89005924"), (2000000000, "69279037")]


@pytest.mark.parametrize(("at", "code"), RFC)
def test_the_standards_examples(at: int, code: str) -> None:
    assert step_of(code[-6:], RFC_SECRET, datetime.fromtimestamp(at, UTC), 0) == at // 30


def test_a_clock_that_is_a_little_off() -> None:
    secret = new_secret()
    at = datetime(2026, 11, 24, 3, 0, 0, tzinfo=UTC)
    step = int(at.timestamp()) // 30
    codes = {offset: pyotp.HOTP(secret).at(step + offset) for offset in (-2, -1, 0, 1, 2)}
    taken = {offset: step_of(code, secret, at, 0) is not None for offset, code in codes.items()}
    assert taken == {-2: False, -1: True, 0: True, 1: True, 2: False}
    assert step_of(codes[0], secret, at, step) is None
    assert step_of(codes[-1], secret, at, step) is None
    assert step_of(codes[1], secret, at, step) == step + 1
    for wrong in ("", "abcdef", "１２３４５６", codes[0][:5], f"{codes[0]}0"):
        assert step_of(wrong, secret, at, 0) is None


def test_the_uri_names_us() -> None:
    parsed = pyotp.parse_uri(uri(RFC_SECRET, "hanako@example.jp"))
    assert (parsed.secret, parsed.name, parsed.issuer) == (RFC_SECRET, "hanako@example.jp", "電話番")


def test_recovery_codes_however_typed() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == 10
    code = codes[0]
    assert recovery_digest(code) == recovery_digest(code.upper().replace("-", " "))
    assert recovery_digest(code) != recovery_digest(codes[1])


def test_passwords_are_argon2id_and_salted() -> None:
    first, second = hashed("正しい馬の電池"), hashed("正しい馬の電池")
    assert first.startswith("$argon2id$")
    assert first != second
    assert matches("正しい馬の電池", first)
    assert not matches("正しい馬の電地", first)
    assert not matches("", None)
    assert not matches("x", "no hash at all")
    assert not outdated(first)


@pytest.mark.parametrize("weak", ["aaaaaaaaaaaa", "abababababab", "hanako", "my hanako 2026", "HANAKO-12345"])
def test_weak_passwords(weak: str) -> None:
    with pytest.raises(Unusable):
        refuse_weak(weak, "hanako@example.jp")


def test_made_up_passwords_are_fit() -> None:
    refuse_weak(made_up(), "hanako@example.jp")
    assert made_up() != made_up()
