"""How far a session reaches: a member's sees, of whatever belongs to a device, its own devices' only."""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, event, false
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from store.models import Base, Device

DEVICES = "reaches_devices"

OF_A_DEVICE = "device_id"
"""The column that makes a thing a device's. A table with it needs no further word to be narrowed."""


def narrow(session: AsyncSession, device_ids: frozenset[str]) -> None:
    """Let this session see no other devices, and nothing of theirs. Every statement of it is narrowed."""
    session.sync_session.info[DEVICES] = device_ids


@event.listens_for(Session, "do_orm_execute")
def _narrowed(state: ORMExecuteState) -> None:
    device_ids = state.session.info.get(DEVICES)
    if device_ids is None or state.is_insert:
        return
    for entity, of in _narrowed_entities():
        only = of(entity).in_(device_ids) if device_ids else false()
        state.statement = state.statement.options(with_loader_criteria(entity, only, include_aliases=True))


def _narrowed_entities() -> Iterator[tuple[type[Base], Callable[[Any], ColumnElement[str]]]]:
    yield Device, lambda entity: entity.id
    for mapper in Base.registry.mappers:
        if OF_A_DEVICE in mapper.columns:
            yield mapper.class_, lambda entity: entity.device_id
