"""Whether trunks are registered at their carriers: asked of Asterisk now and then.

Asterisk says whether a carrier let us in, and not why not: one that refuses and one that is not there look
alike. Where it did not, the carrier is asked for its OPTIONS; whatever it answers, it is there.
"""

import asyncio
import logging
import secrets
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from pbx.asterisk.ami import Ami
from pbx.dialplan.trunks import endpoint_name
from pbx.errors import AsteriskAway, AsteriskRefused
from store.database import Database
from store.models import TrunkState, now
from store.trunks import keep_trunk_states, registering_trunks

log = logging.getLogger(__name__)

LOOK_S = 3.0
PROBE_LIMIT_S = 2.0
RESEND_S = 0.5
USUAL_PORTS = {"sip": 5060, "sips": 5061}


def server_of(uri: str) -> tuple[str, int, bool]:
    """Host, port, and whether it is asked over UDP: of a trunk's URI. Pure."""
    scheme, _, rest = uri.partition(":")
    address, _, parameter = rest.partition(";")
    host, separator, port = address.rpartition(":")
    if not separator or address.endswith("]"):
        host, port = address, ""
    over_udp = scheme == "sip" and parameter in {"", "transport=udp"}
    usual = USUAL_PORTS["sips" if parameter == "transport=tls" else scheme]
    return host.strip("[]"), int(port) if port.isdecimal() else usual, over_udp


def options(host: str, port: int, local: str) -> bytes:
    """A question that every SIP server answers somehow. Pure."""
    call = secrets.token_hex(12)
    lines = (
        f"OPTIONS sip:{host}:{port} SIP/2.0",
        f"Via: SIP/2.0/UDP {local};branch=z9hG4bK{secrets.token_hex(8)};rport",
        "Max-Forwards: 70",
        f"From: <sip:probe@{local}>;tag={call[-8:]}",
        f"To: <sip:{host}:{port}>",
        f"Call-ID: {call}",
        "CSeq: 1 OPTIONS",
        "User-Agent: Denwaban",
        "Content-Length: 0",
    )
    return "\r\n".join([*lines, "", ""]).encode()


async def answers(uri: str) -> bool:
    """Whether anybody is there."""
    host, port, over_udp = server_of(uri)
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            if over_udp:
                return await _answers_over_udp(host, port)
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError, UnicodeError):
        return False
    writer.close()
    return True


async def _answers_over_udp(host: str, port: int) -> bool:
    wire, inbox = await asyncio.get_running_loop().create_datagram_endpoint(_Inbox, remote_addr=(host, port))
    address, local_port = wire.get_extra_info("sockname")[:2]
    local = f"[{address}]:{local_port}" if ":" in address else f"{address}:{local_port}"
    question = options(f"[{host}]" if ":" in host else host, port, local)
    try:
        while True:
            wire.sendto(question)
            with suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(inbox.heard), RESEND_S)
    finally:
        wire.close()


class _Inbox(asyncio.DatagramProtocol):
    """`heard`: True at the first packet, False where nobody listens."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._hear(True)

    def error_received(self, exc: Exception) -> None:
        self._hear(False)

    def _hear(self, answer: bool) -> None:
        if not self.heard.done():
            self.heard.set_result(answer)


async def state_of(said: str, uri: str) -> TrunkState:
    """What Asterisk's word (`Registered`, `Unregistered`, `Rejected`, `Stopped`) means for a trunk."""
    if said == "Registered":
        return TrunkState.REGISTERED
    if said in {"", "Unregistered"}:
        return TrunkState.REGISTERING
    return TrunkState.REJECTED if await answers(uri) else TrunkState.UNREACHABLE


class TrunkWatch:
    """Keeps the store's states of this node's trunks what they are."""

    def __init__(self, database: Database, node: str, ami: Ami) -> None:
        self._database, self._node, self._ami = database, node, ami
        self._known: dict[str, TrunkState] | None = None
        """Trunk -> its state at the last look; None before the first."""

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except (SQLAlchemyError, OSError, AsteriskAway, AsteriskRefused, TimeoutError) as problem:
                log.info("the state of trunks waits: %s", type(problem).__name__)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once. Raises what Ami and the database raise."""
        async with self._database.session() as session:
            uris = await registering_trunks(session)
        if not uris and self._known == {}:
            return
        said = await self._said() if uris else {}
        found = await asyncio.gather(
            *(state_of(said.get(endpoint_name(trunk_id), ""), uri) for trunk_id, uri in uris.items())
        )
        states = dict(zip(uris, found, strict=True))
        async with self._database.session() as session:
            # One may have been deleted meanwhile.
            still = await registering_trunks(session)
            kept = {trunk_id: state for trunk_id, state in states.items() if trunk_id in still}
            await keep_trunk_states(session, self._node, kept, now())
        for trunk_id, state in kept.items():
            if (self._known or {}).get(trunk_id) is not state:
                log.info("trunk %s is %s", trunk_id, state.value, extra={"action": "trunk_state"})
        self._known = kept

    async def _said(self) -> dict[str, str]:
        """Asterisk's word for each registration, by its endpoint's name."""
        rows = await self._ami.entries("PJSIPShowRegistrationsOutbound")
        return {
            str(row.objectname): str(row.status) for row in rows if row.event == "OutboundRegistrationDetail"
        }
