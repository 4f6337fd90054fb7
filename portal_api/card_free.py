"""Bodies that must not hold a payment card's number, wherever it is put: refused, not kept and not logged."""

from typing import Any

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from portal_api.schemas import Body
from store.card_numbers import holds_card_number


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
