"""The field types and shapes that every resource shares."""

import re
import unicodedata
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from store.e164 import E164, NotAPhoneNumber, parse_e164
from store.pages import CURSOR, PageRequest, parse_cursor

JAPAN = timezone(timedelta(hours=9))
RFC_3339 = re.compile(r"(\d{4})-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
NOT_TEXT = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that no name has. NUL is one: PostgreSQL refuses it."""


def _japan_time(at: datetime) -> str:
    return at.astimezone(JAPAN).isoformat()


def _rfc_3339(text: Any) -> Any:
    """pydantic alone would take bare dates and seconds since 1970 too."""
    # An unencoded + in a query arrives as a space: the commonest slip with these times.
    text = re.sub(r" (\d\d:\d\d)$", r"+\1", text) if isinstance(text, str) else text
    found = RFC_3339.fullmatch(text) if isinstance(text, str) else None
    if not found or not 1970 <= int(found[1]) <= 9000:
        raise PydanticCustomError(
            "time", "時差付きのRFC 3339の日時(2026-11-23T09:00:00+09:00)で指定してください。"
        )
    return text


def plain_text(text: str) -> str:
    """Refuse control characters and what is no character."""
    if any(unicodedata.category(sign) in NOT_TEXT for sign in text):
        raise PydanticCustomError("text", "制御文字など、使えない文字が含まれています。")
    return text


def _lines(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if any(sign not in "\n\t" and unicodedata.category(sign) in NOT_TEXT for sign in text):
        raise PydanticCustomError("text", "制御文字など、使えない文字が含まれています。")
    return text


def _phone_number(text: str) -> E164:
    try:
        return parse_e164(text)
    except NotAPhoneNumber:
        raise PydanticCustomError(
            "phone_number", "電話番号として読み取れません(例: 03-1234-5678)。"
        ) from None


Timestamp = Annotated[
    datetime,
    PlainSerializer(_japan_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T09:00:00+09:00"]}),
]
TimeGiven = Annotated[
    AwareDatetime,
    # In a strict body too: what comes is text, and checked by us.
    Field(strict=False),
    BeforeValidator(_rfc_3339),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T09:00:00+09:00"]}),
]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(plain_text)
]
Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100), AfterValidator(plain_text)]
Lines = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_lines)]
"""Free text of several lines."""

IdGiven = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,64}$")]
JAPANESE_NUMBER = r"(?:\+81|0)(?:[56789]0(?:-?[0-9]){8}|[1-9](?:-?[1-9])(?:-?[0-9]){7})"
"""The plainest spellings, for the document; many others are read."""

NumberGiven = Annotated[
    str,
    StringConstraints(max_length=64),
    AfterValidator(_phone_number),
    WithJsonSchema({"type": "string", "pattern": f"^{JAPANESE_NUMBER}$", "examples": ["03-1234-5678"]}),
]
"""A phone number in any usual Japanese spelling; E.164 once read."""


class Body(BaseModel):
    """What a client sends: nothing unknown, nothing converted."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Query(BaseModel):
    """What stands after the `?`: text, so numbers are read from it."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Query):
    limit: int = Field(default=50, ge=1, le=100, description="1ページの件数")
    cursor: Annotated[str, WithJsonSchema({"type": "string", "pattern": f"^{CURSOR}$"})] | None = Field(
        default=None, max_length=200, description="前のページのnext"
    )

    def page(self) -> PageRequest:
        """Raises store.errors.BadCursor."""
        return PageRequest(self.limit, parse_cursor(self.cursor) if self.cursor is not None else None)


T = TypeVar("T")


class PageOf(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = Field(description="次のページのcursor。最後のページではnull")
