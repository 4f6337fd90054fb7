"""The field types of the phonebook."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from portal_api.schemas import JAPANESE_NUMBER, Lines, plain_text
from store.e164 import NotAPhoneNumber
from store.phonebook_words import parse_dialled


def _dialled(text: str) -> str:
    try:
        return parse_dialled(text)
    except NotAPhoneNumber:
        raise PydanticCustomError(
            "phone_number", "電話番号として読み取れません(例: 03-1234-5678)。"
        ) from None


Memo = Annotated[Lines, StringConstraints(max_length=1000)]
NumberLabel = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=20), AfterValidator(plain_text)
]
SHORT_NUMBER = r"[0-9]{2,5}|[*#][0-9*#]{1,9}"
DialledGiven = Annotated[
    str,
    StringConstraints(max_length=64),
    AfterValidator(_dialled),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^(?:{JAPANESE_NUMBER}|{SHORT_NUMBER})$",
            "examples": ["090-1234-5678"],
        }
    ),
]
"""A phone number in any usual spelling, or as dialled (117, an extension)."""
