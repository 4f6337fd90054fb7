"""What the control plane asks of Asterisk by AMI."""

import asyncio
import logging

from ami.connection import Ami as Connection
from ami.errors import AsteriskAway, AsteriskRefused
from pbx.dialplan import names

log = logging.getLogger(__name__)

SHOW_LIMIT_S = 0.3
"""A name is not worth more of a caller's time."""

__all__ = ["Ami", "AsteriskAway", "AsteriskRefused"]

CONTACT_FAMILY = "registrar/contact"
"""Where Asterisk keeps the contacts that it registered."""


class Ami(Connection):
    """Asterisk's manager interface, with the control plane's own questions."""

    async def show_on_telephones(self, call_id: str, name: str) -> None:
        """Have the telephones that will ring for a call show `name`, best effort.

        Not by a variable through ARI: once one is set there, Asterisk refuses the channel's thread every
        function that reads or writes files or its database.
        """
        try:
            async with asyncio.timeout(SHOW_LIMIT_S):
                await self.put(names.SHOWN_FAMILY, call_id, name)
        except (AsteriskAway, AsteriskRefused, TimeoutError, ValueError) as problem:
            log.warning("a name is not shown: %s", type(problem).__name__, extra={"action": "not_shown"})

    async def set_lamp(self, mailbox: str, new: int, old: int) -> None:
        """Set a mailbox's counts; whoever is registered for it is told at once, others when they register.

        The dialplan does it, on a channel that lives for a moment.
        """
        values = {names.LAMP_MAILBOX: mailbox, names.LAMP_NEW: new, names.LAMP_OLD: old}
        await self.send(
            "Originate",
            Channel=f"Local/s@{names.CONTEXT_LAMP}/n",
            Application="NoOp",
            # The underscores let the other half of the channel have them.
            Variable=",".join(f"__{name}={value}" for name, value in values.items()),
            Timeout="3000",
        )

    async def limit(self, channel_name: str, seconds: float) -> None:
        """Let the channel last so many seconds from now, wherever it is. Raises AsteriskRefused if gone."""
        value = f"{max(seconds, 0.5):.3f}"
        await self.send("Setvar", Channel=channel_name, Variable="TIMEOUT(absolute)", Value=value)

    async def variable(self, channel: str, name: str) -> str:
        """A channel's variable; empty where it is not set. `channel` is a name or a unique id."""
        answer = await self.send("Getvar", Channel=channel, Variable=name)
        return str(answer.value or "")

    async def set_variable(self, channel: str, name: str, value: str) -> None:
        await self.send("Setvar", Channel=channel, Variable=name, Value=value)

    async def press(self, channel: str, digit: str) -> None:
        """As if who is on `channel` had pressed a key."""
        await self.send("PlayDTMF", Channel=channel, Digit=digit, Receive="true")

    async def contacts(self, username: str) -> list[str]:
        """Where a device is registered, as URIs; nothing where it is not."""
        answer = await self.send("Getvar", Variable=f"PJSIP_DIAL_CONTACTS({username})")
        prefix = f"PJSIP/{username}/"
        return [contact.removeprefix(prefix) for contact in str(answer.value).split(f"&{prefix}") if contact]

    async def register_again(self, trunk: str) -> None:
        """Have Asterisk register at a trunk now, instead of when it is due. Raises AsteriskRefused."""
        await self.send("PJSIPRegister", Registration=trunk)

    async def forget_contacts(self, username: str) -> None:
        """Remove the contacts of a device that goes: whoever has its name later must not have them."""
        for key in await self.contact_rows():
            if key.startswith(f"{username};@"):
                await self.remove(CONTACT_FAMILY, key)

    async def contact_rows(self) -> dict[str, str]:
        """The contacts of all devices as Asterisk keeps them: `<user name>;@<hash>` -> JSON."""
        return await self.read_family(CONTACT_FAMILY)

    async def contact_status(self, contact: str) -> tuple[str, str]:
        """Of one contact: whether it answers, in Asterisk's word, and in how many microseconds."""
        said = [
            str((await self.send("Getvar", Variable=f"PJSIP_CONTACT({contact},{field})")).value)
            for field in ("status", "rtt")
        ]
        return said[0], said[1]
