"""The audit log writes itself: what a session with an actor changes is logged in the same transaction.

Bound to an actor (`bind`), a session notes every row it makes, changes or deletes in the tables that are
audited (`store.tables`), as objects or by statements. Secrets are masked.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Result, event, insert, inspect, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, UOWTransaction

from store.models import ActorKind, AuditAction, AuditEntry, Base, new_id, now
from store.pages import Page, PageRequest, read_page
from store.tables import NOT_AUDITED

ACTOR = "audit_actor"
SECRET = re.compile(r"sealed_|password_hash|digest|secret")
MASK = "********"
LONGEST_TEXT = 500
MOST_IN_FULL = 200
"""Rows of one kind that are logged one by one when they change together; of the rest, their number."""

UNSAID = {"created_at", "updated_at", "search_text", "sort_key", "words", "last_used_at"}
"""Columns that say nothing about what somebody wanted."""

NAMES = ("name", "e164", "username", "login", "label")
NO_ROWS = "(many)"

Values = dict[str, Any]


@dataclass(frozen=True)
class Actor:
    """Who changes something, on whose account, and in which request."""

    kind: ActorKind
    id: str
    name: str
    account_id: str | None
    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class Change:
    """One row's change. `before` and `after` are what changed of it."""

    action: AuditAction
    kind: str
    id: str
    name: str
    account_id: str | None
    before: Values | None
    after: Values | None


@dataclass(frozen=True)
class AuditFilter:
    """Which entries; None means any. `since` is within the period, `until` is past its end."""

    actor_id: str | None = None
    object_kind: str | None = None
    object_id: str | None = None
    action: AuditAction | None = None
    since: datetime | None = None
    until: datetime | None = None


def bind(session: AsyncSession, actor: Actor) -> None:
    """Log what this session changes as `actor`'s doing."""
    session.sync_session.info[ACTOR] = actor


async def note(session: AsyncSession, actor: Actor, change: Change) -> None:
    """Log what no row shows, as somebody's signing in."""
    await session.execute(insert(AuditEntry), [_entry(actor, change)])


async def list_entries(
    session: AsyncSession, account_id: str | None, wanted: AuditFilter, request: PageRequest
) -> Page[AuditEntry]:
    """Give a page of the account's entries, newest first; of all where `account_id` is None."""
    asked: list[tuple[object, Callable[[], ColumnElement[bool]]]] = [
        (account_id, lambda: AuditEntry.account_id == account_id),
        (wanted.actor_id, lambda: AuditEntry.actor_id == wanted.actor_id),
        (wanted.object_kind, lambda: AuditEntry.object_kind == wanted.object_kind),
        (wanted.object_id, lambda: AuditEntry.object_id == wanted.object_id),
        (wanted.action, lambda: AuditEntry.action == wanted.action),
        (wanted.since, lambda: AuditEntry.at >= wanted.since),
        (wanted.until, lambda: AuditEntry.at < wanted.until),
    ]
    rows = select(AuditEntry).where(*(condition() for value, condition in asked if value is not None))
    return await read_page(session, rows, (AuditEntry.at, AuditEntry.id), request, newest_first=True)


# ---- objects -----------------------------------------------------------------------------------------


@event.listens_for(Session, "after_flush")
def _flushed(session: Session, _context: UOWTransaction) -> None:
    if ACTOR not in session.info:
        return
    changes = [_of_object(row, AuditAction.CREATED) for row in session.new]
    changes += [_of_object(row, AuditAction.CHANGED) for row in session.dirty]
    changes += [_of_object(row, AuditAction.DELETED) for row in session.deleted]
    _write(session, [change for change in changes if change is not None])


def _of_object(row: Any, action: AuditAction) -> Change | None:
    state = inspect(row)
    mapper: Mapper[Any] = state.mapper
    if not _is_audited(mapper):
        return None
    # What was never loaded or set is no attribute of it yet, and must not be fetched now.
    after = {attribute.key: state.dict.get(attribute.key) for attribute in mapper.column_attrs}
    histories = {key: state.attrs[key].history for key in after}
    before = {
        key: history.deleted[0] if history.deleted else after[key] for key, history in histories.items()
    }
    if action is AuditAction.CHANGED and not any(history.has_changes() for history in histories.values()):
        return None
    return _change(
        mapper,
        action,
        before if action is not AuditAction.CREATED else None,
        after if action is not AuditAction.DELETED else None,
    )


# ---- statements --------------------------------------------------------------------------------------


@event.listens_for(Session, "do_orm_execute")
def _executed(state: ORMExecuteState) -> Result[Any] | None:
    mapper = state.bind_mapper
    if state.is_select or mapper is None or ACTOR not in state.session.info or not _is_audited(mapper):
        return None
    if state.is_insert:
        return _inserted(state, mapper)
    touched = _touched(state, mapper)
    before = _rows(state.session, mapper, touched)
    result = state.invoke_statement()
    if state.is_delete:
        changes = [_change(mapper, AuditAction.DELETED, row, None) for row in before.values()]
    else:
        left = _rows(state.session, mapper, tuple_(*mapper.primary_key).in_(before))
        changes = [_change(mapper, AuditAction.CHANGED, before[key], row) for key, row in left.items()]
    _write(state.session, [change for change in changes if change is not None])
    return result


def _inserted(state: ORMExecuteState, mapper: Mapper[Any]) -> Result[Any]:
    """Rows that come by a statement are many at once, as an import's: they are counted, not listed."""
    result = state.invoke_statement()
    many = isinstance(state.parameters, list)
    count = len(state.parameters or ()) if many else getattr(result, "rowcount", 0)
    if count > 0:
        told = {"count": count}
        kind = mapper.class_.__tablename__
        _write(state.session, [Change(AuditAction.CREATED, kind, NO_ROWS, "", None, None, told)])
    return result


def _touched(state: ORMExecuteState, mapper: Mapper[Any]) -> ColumnElement[bool]:
    if isinstance(state.parameters, list):
        named = [tuple(row[key] for key in _keys(mapper)) for row in state.parameters]
        return tuple_(*mapper.primary_key).in_(named)
    statement: Any = state.statement
    return true() if statement.whereclause is None else statement.whereclause


def _rows(session: Session, mapper: Mapper[Any], which: ColumnElement[bool]) -> dict[tuple[Any, ...], Values]:
    found: dict[tuple[Any, ...], Values] = {}
    columns = {mapper.get_property_by_column(column).key: column for column in mapper.local_table.columns}
    for row in session.connection().execute(select(*columns.values()).where(which)):
        values = dict(zip(columns, row, strict=True))
        found[tuple(values[key] for key in _keys(mapper))] = values
    return found


# ---- both --------------------------------------------------------------------------------------------


def _keys(mapper: Mapper[Any]) -> list[str]:
    return [mapper.get_property_by_column(column).key for column in mapper.primary_key]


def _is_audited(mapper: Mapper[Any]) -> bool:
    return issubclass(mapper.class_, Base) and mapper.class_.__tablename__ not in NOT_AUDITED


def _change(
    mapper: Mapper[Any], action: AuditAction, before: Values | None, after: Values | None
) -> Change | None:
    row = after if after is not None else before or {}
    if before is not None and after is not None:
        differing = {key for key in after if before[key] != after[key]}
        if not differing - UNSAID:
            return None
        before, after = ({key: side[key] for key in differing} for side in (before, after))
    return Change(
        action=action,
        kind=mapper.class_.__tablename__,
        id="/".join(str(row[key]) for key in _keys(mapper)),
        name=str(next((row[key] for key in NAMES if row.get(key)), "")),
        account_id=row.get("account_id")
        or (row["id"] if mapper.class_.__tablename__ == "accounts" else None),
        before=_told(before),
        after=_told(after),
    )


def _told(values: Values | None) -> Values | None:
    if values is None:
        return None
    return {key: _masked(key, value) for key, value in values.items() if key not in UNSAID}


def _masked(key: str, value: Any) -> Any:
    if SECRET.search(key):
        return MASK if value else None
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case str() if len(value) > LONGEST_TEXT:
            return f"{value[:LONGEST_TEXT]}…"
        case bytes():
            return f"{len(value)} bytes"
        case None | bool() | int() | float() | str() | list() | dict():
            return value
        case _:
            return str(value)


def _write(session: Session, changes: list[Change]) -> None:
    if not changes:
        return
    actor: Actor = session.info[ACTOR]
    entries = [_entry(actor, change) for change in _in_few(changes)]
    session.connection().execute(insert(AuditEntry.__table__), entries)  # type: ignore[arg-type]


def _in_few(changes: Iterable[Change]) -> list[Change]:
    """Some one by one; of a kind that is too many, one entry with their number."""
    alike: dict[tuple[AuditAction, str], list[Change]] = {}
    for change in changes:
        alike.setdefault((change.action, change.kind), []).append(change)
    few: list[Change] = []
    for (action, kind), some in alike.items():
        few += some[:MOST_IN_FULL]
        if left := some[MOST_IN_FULL:]:
            told = {"count": len(left)}
            few.append(Change(action, kind, NO_ROWS, "", left[0].account_id, None, told))
    return few


def _entry(actor: Actor, change: Change) -> Mapping[str, Any]:
    return {
        "id": new_id(),
        "at": now(),
        "account_id": change.account_id or actor.account_id,
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name[:200],
        "address": actor.address,
        "request_id": actor.request_id,
        "action": change.action,
        "object_kind": change.kind,
        "object_id": change.id[:200],
        "object_name": change.name[:200],
        "before": change.before,
        "after": change.after,
    }
