"""Trunks, for operators."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.errors import Conflict, NotFound, Unusable
from store.models import DidLocation, NumberStyle, Trunk, TrunkRegistration, TrunkState
from store.pages import Page, PageRequest, read_page
from store.sealing import seal

CODECS = ("ulaw", "alaw")
FIRST_PRIORITY, LAST_PRIORITY = 1, 999
SIP_URI = re.compile(r"sips?:[A-Za-z0-9.\-\[\]:]+(;transport=(udp|tcp|tls))?")
# They stand in Asterisk's configuration and in SIP headers.
WORD = re.compile(r"[A-Za-z0-9.+_\-]{1,100}")
SECRET = re.compile(r"[!-~]{1,100}")


def is_sip_uri(text: str) -> bool:
    """Whether calls can be sent there: `sip:192.0.2.1:5060`, and a transport if need be. Pure."""
    return len(text) <= 200 and SIP_URI.fullmatch(text) is not None


def network(text: str) -> str:
    """An address or a network as it is written in full. Raises ValueError. Pure."""
    return str(ipaddress.ip_network(text, strict=False))


def _is_network(text: str) -> bool:
    try:
        return network(text) == text
    except ValueError:
        return False


def _matches(pattern: re.Pattern[str]) -> Callable[[str | None], bool]:
    return lambda text: text is None or pattern.fullmatch(text) is not None


CHECKS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("required", lambda name: 0 < len(name.strip()) <= 100),
    "priority": ("out_of_range", lambda priority: FIRST_PRIORITY <= priority <= LAST_PRIORITY),
    "uri": ("sip_uri", is_sip_uri),
    "accept": ("network", lambda networks: len(networks) <= 50 and all(map(_is_network, networks))),
    "username": ("unusable_characters", _matches(WORD)),
    "password": ("unusable_characters", _matches(SECRET)),
    "from_domain": ("unusable_characters", _matches(WORD)),
    "codecs": ("codec", lambda codecs: bool(codecs) and set(codecs) <= set(CODECS)),
}
"""Field -> why it is refused, and what it must fulfil."""


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

    Raises Conflict `name_taken`, Unusable where a value cannot be, or `required` where it registers without a
    user name and password.
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
    for field, (code, fits) in CHECKS.items():
        if field in fields and not fits(fields[field]):  # type: ignore[literal-required]
            raise Unusable(field, code)
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


async def find_trunk(session: AsyncSession, name_or_id: str) -> Trunk:
    """Give the trunk of this name or id. Raises NotFound."""
    found = select(Trunk).where((Trunk.id == name_or_id) | (Trunk.name == name_or_id))
    trunk = (await session.scalars(found.limit(1))).first()
    if trunk is None:
        raise NotFound(name_or_id)
    return trunk


# ---- where they are registered -------------------------------------------------------------------------


async def registering_trunks(session: AsyncSession) -> dict[str, str]:
    """The trunks in use that log in: id -> URI."""
    rows = select(Trunk.id, Trunk.uri).where(Trunk.enabled, Trunk.registers)
    return {row.id: row.uri for row in await session.execute(rows)}


async def keep_trunk_states(
    session: AsyncSession, node: str, states: Mapping[str, TrunkState], at: datetime
) -> None:
    """Make the node's logins what they are at `at`: trunk -> state. What is as it was keeps its `since`."""
    known = select(TrunkRegistration).where(TrunkRegistration.node == node)
    rows = {row.trunk_id: row for row in await session.scalars(known)}
    for trunk_id, state in states.items():
        row = rows.pop(trunk_id, None)
        if row is None:
            row = TrunkRegistration(trunk_id=trunk_id, node=node, state=state, since=at)
            session.add(row)
        elif row.state is not state:
            row.state, row.since = state, at
        row.read_at = at
    gone = delete(TrunkRegistration).where(TrunkRegistration.node == node)
    await session.execute(gone.where(TrunkRegistration.trunk_id.in_(list(rows))))


async def trunk_states(session: AsyncSession, trunk_ids: Sequence[str]) -> dict[str, list[TrunkRegistration]]:
    """Where trunks are logged in: trunk -> a row for each node, by its name."""
    rows = select(TrunkRegistration).where(TrunkRegistration.trunk_id.in_(trunk_ids))
    found: dict[str, list[TrunkRegistration]] = {}
    for row in await session.scalars(rows.order_by(TrunkRegistration.node)):
        found.setdefault(row.trunk_id, []).append(row)
    return found


async def accepted_networks(session: AsyncSession) -> list[str]:
    """The networks from which the trunks in use call."""
    rows = await session.scalars(select(Trunk.accept).where(Trunk.enabled))
    return [network for networks in rows for network in networks]


def in_order(trunks: Sequence[Trunk]) -> list[Trunk]:
    """Those in use, in the order in which they are tried."""
    return sorted((one for one in trunks if one.enabled), key=lambda one: (one.priority, one.created_at))
