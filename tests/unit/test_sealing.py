import pytest

from store.errors import SealBroken
from store.sealing import seal, unseal

pytestmark = pytest.mark.unit


def test_sealed_text_opens_with_its_key_only() -> None:
    sealed = seal("ひみつ", "key one")
    assert "ひみつ" not in sealed
    assert unseal(sealed, "key one") == "ひみつ"
    with pytest.raises(SealBroken):
        unseal(sealed, "key two")


def test_same_text_seals_differently_each_time() -> None:
    assert seal("x", "key") != seal("x", "key")


@pytest.mark.parametrize("broken", ["", "x", "gAAAAA", "電話"])
def test_what_was_never_sealed_is_refused(broken: str) -> None:
    with pytest.raises(SealBroken):
        unseal(broken, "key")
