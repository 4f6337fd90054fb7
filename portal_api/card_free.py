"""Bodies that must not hold a payment card's number, wherever it is put: refused, not kept and not logged."""

import re
from typing import Any

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from portal_api.schemas import Body
from store.card_numbers import holds_card_number

LETTER = re.compile(r"[A-Za-z]")


class CardFree(Body):
    """A body about money."""

    @model_validator(mode="before")
    @classmethod
    def _no_card_number(cls, given: Any) -> Any:
        if holds_card_number(given):
            raise PydanticCustomError(
                "card_number_refused", "カード番号は送らないでください。受け取らず、保存もしていません。"
            )
        return given


def may_be_a_card(text: str) -> bool:
    """Whether what stands in a path or a header may be a card's number. An id of ours has letters, too."""
    return not LETTER.search(text) and holds_card_number(text)
