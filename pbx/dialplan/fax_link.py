"""The link between the Asterisk of the voice calls and one of the faxes' own. Pure."""

import hashlib

from pbx.dialplan import names
from settings import Settings


def fax_link_key(settings: Settings) -> str:
    """What the two know each other by: made of the password that both have, and not telling it."""
    return hashlib.sha256(f"fax link {settings.ami_password}".encode()).hexdigest()


def fax_link(settings: Settings, context: str, peer: str, t38: bool) -> str:
    """The link between the Asterisk of the voice calls and that of the faxes, as one of them has it.

    `peer` is where the other one listens, `context` where its calls go.
    """
    loopback = settings.loopback_host.strip("[]")
    return f"""\
[{names.FAX_LINK}]
type = endpoint
context = {context}
disallow = all
allow = ulaw,alaw
; What the trunk has: a fax as audio is better not translated.
incoming_call_offer_pref = remote
aors = {names.FAX_LINK}
identify_by = header
direct_media = no
media_address = {loopback}
bind_rtp_to_media_address = yes
allow_transfer = no
timers = no
t38_udptl = {"yes" if t38 else "no"}
t38_udptl_ec = redundancy
t38_udptl_maxdatagram = 1440
t38_bind_udptl_to_media_address = yes

[{names.FAX_LINK}]
type = aor
contact = sip:{peer}

[{names.FAX_LINK}]
type = identify
endpoint = {names.FAX_LINK}
match_header = {names.HEADER_LINK}: {fax_link_key(settings)}
"""
