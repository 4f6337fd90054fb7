"""Bodies and answers of what is done to many things at once: `…:delete`, `…:mark`, `…:download`."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from portal_api.schemas import Body, IdGiven


def _once_each(ids: list[str]) -> list[str]:
    return list(dict.fromkeys(ids))


Ids = Annotated[list[IdGiven], Field(min_length=1, max_length=1000), AfterValidator(_once_each)]
"""Up to a thousand ids. One that comes twice is meant once."""


class Selection(Body):
    ids: Ids


class Marked(BaseModel):
    id: str
    result: Literal["changed", "not_found"]


class Markings(BaseModel):
    results: list[Marked]

    @classmethod
    def of(cls, ids: Iterable[str], changed: set[str]) -> "Markings":
        """In the order asked for."""
        return cls(
            results=[Marked(id=one, result="changed" if one in changed else "not_found") for one in ids]
        )
