"""Route `spooled`: the dialplan did a call by itself and has laid its slip into the spool."""

from pbx.agi.server import Script, Variables
from pbx.spool.adopt import Adoption


def spooled(adoption: Adoption) -> Script:
    async def script(_variables: Variables) -> None:
        adoption.ask()

    return script
