"""Trunks, for operators."""

from collections.abc import Sequence
from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.errors import Conflict, NotFound, Unusable
from store.models import DidLocation, NumberStyle, Trunk
from store.pages import Page, PageRequest, read_page
from store.sealing import seal


class TrunkFields(TypedDict, total=False):
    """What of a trunk is set; `password` comes in clear and is kept sealed, None takes it away."""

    name: str
    enabled: bool
    priority: int
    uri: str
    accept: list[str]
    registers: bool
    username: str | None
    password: str | None
    from_domain: str | None
    did_location: DidLocation
    number_style: NumberStyle
    codecs: list[str]
    t38: bool
    emergency: bool


async def list_trunks(session: AsyncSession, request: PageRequest) -> Page[Trunk]:
    """Give a page of all trunks, oldest first."""
    return await read_page(session, select(Trunk), (Trunk.created_at, Trunk.id), request, newest_first=False)


async def get_trunk(session: AsyncSession, trunk_id: str) -> Trunk:
    """Give the trunk. Raises NotFound."""
    trunk = await session.get(Trunk, trunk_id)
    if trunk is None:
        raise NotFound(trunk_id)
    return trunk


async def create_trunk(session: AsyncSession, secret_key: str, **fields: Unpack[TrunkFields]) -> Trunk:
    """Make a trunk of all its fields.

    Raises Conflict `name_taken`, or Unusable `required` where it registers without a user name and password.
    """
    await revisions.bump(session)
    trunk = Trunk()
    await _set(session, trunk, secret_key, fields)
    session.add(trunk)
    await session.flush()
    return trunk


async def change_trunk(
    session: AsyncSession, secret_key: str, trunk_id: str, **changes: Unpack[TrunkFields]
) -> Trunk:
    """Set what is given and leave the rest. Raises NotFound, and as `create_trunk`."""
    await revisions.bump(session)
    trunk = await get_trunk(session, trunk_id)
    with session.no_autoflush:
        await _set(session, trunk, secret_key, changes)
    await session.flush()
    return trunk


async def delete_trunk(session: AsyncSession, trunk_id: str) -> None:
    """Delete the trunk; calls on it go on. Raises NotFound."""
    await revisions.bump(session)
    await session.delete(await get_trunk(session, trunk_id))


async def _set(session: AsyncSession, trunk: Trunk, secret_key: str, fields: TrunkFields) -> None:
    if "password" in fields:
        password = fields["password"]
        trunk.sealed_password = seal(password, secret_key) if password is not None else None
    for field, value in fields.items():
        if field != "password":
            setattr(trunk, field, value)
    if trunk.registers:
        for field, given in (("username", trunk.username), ("password", trunk.sealed_password)):
            if given is None:
                raise Unusable(field, "required")
    others = select(Trunk.id).where(Trunk.name == trunk.name, Trunk.id != (trunk.id or ""))
    if await session.scalar(others):
        raise Conflict("name_taken")


async def accepted_networks(session: AsyncSession) -> list[str]:
    """The networks from which the trunks in use call."""
    rows = await session.scalars(select(Trunk.accept).where(Trunk.enabled))
    return [network for networks in rows for network in networks]


def in_order(trunks: Sequence[Trunk]) -> list[Trunk]:
    """Those in use, in the order in which they are tried."""
    return sorted((one for one in trunks if one.enabled), key=lambda one: (one.priority, one.created_at))
