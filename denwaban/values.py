"""Column values as JSON and back, the same for both databases."""

import base64
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

from sqlalchemy import types


def encoded(value: Any) -> Any:
    """What JSON can hold of a column's value. A time without a zone is UTC: SQLite forgets the zone."""
    match value:
        case Enum():
            return value.value
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
        case date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return str(value)
        case _:
            return value


def decoded(value: Any, column: types.TypeEngine[Any]) -> Any:
    """What `encoded` was given, for a column of this type. Raises ValueError for what is none."""
    kind = column.impl_instance if isinstance(column, types.TypeDecorator) else column
    if value is None or isinstance(kind, types.JSON):
        return value
    match kind:
        case types.DateTime():
            at = datetime.fromisoformat(value)
            # SQLite's own type, as it is read from the file, takes no zone.
            return at if kind.timezone or isinstance(column, types.TypeDecorator) else at.replace(tzinfo=None)
        case types.Date():
            return date.fromisoformat(value)
        case types.Time():
            return time.fromisoformat(value)
        case types.LargeBinary():
            return base64.b64decode(value, validate=True)
        case types.Enum():
            return kind.enum_class(value) if kind.enum_class else value
        case types.Float():
            return value
        case types.Numeric():
            return Decimal(str(value))
        case _:
            return value
