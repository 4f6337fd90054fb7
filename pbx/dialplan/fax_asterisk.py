"""The configuration of an Asterisk that runs faxes and nothing else: pure functions from settings to text.

It stands on loopback and knows one peer, the Asterisk of the voice calls, over a link of SIP: that one hands
over what comes in and dials what goes out, so trunks, their registrations and their order stay in one place.
A crash of SpanDSP then ends faxes, and no voice call.
"""

from pbx.dialplan import names
from pbx.dialplan.fax_link import fax_link, fax_link_key
from pbx.dialplan.render import (
    AsteriskFolders,
    asterisk_conf,
    globals_text,
    rtp_conf,
    sip_timers,
    udptl_conf,
)
from pbx.routing.limits import FAX_LIMIT_S, FAX_RING_S
from settings import Settings


def render_fax_asterisk(settings: Settings, folders: AsteriskFolders) -> dict[str, str]:
    """Every rendered file: name -> text. The rest is `asterisk-conf/`, and over it `asterisk-conf/fax/`."""
    return {
        # Unique ids begin with the name: those of the two must differ.
        "asterisk.conf": asterisk_conf(f"{settings.node}fax", folders),
        "manager.conf": _manager_conf(settings),
        "pjsip.conf": _pjsip_conf(settings),
        # The ports of both: whichever is taken, the next is tried.
        "rtp.conf": rtp_conf(settings),
        "udptl.conf": udptl_conf(settings),
        "globals.conf": globals_text(
            {
                names.GLOBAL_FAX_FOLDER: settings.fax_spool,
                names.GLOBAL_FAX_LIMIT: FAX_LIMIT_S,
                names.GLOBAL_FAX_RING: FAX_RING_S,
                names.GLOBAL_FAX_LINK: fax_link_key(settings),
                names.GLOBAL_FAX_TRUNK: names.FAX_LINK,
            }
        ),
    }


def _manager_conf(settings: Settings) -> str:
    return f"""\
[general]
enabled = yes
webenabled = no
bindaddr = 127.0.0.1
port = {settings.own_fax_ami_port}
displayconnects = no

[{names.APPLICATION}]
secret = {settings.ami_password}
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.255
read = none
write = system,call,reporting,originate
writetimeout = 1000
"""


def _pjsip_conf(settings: Settings) -> str:
    switch = f"{settings.local_host}:{settings.sip_port}"
    return f"""\
{sip_timers()}
[global]
type = global
user_agent = Denwaban
endpoint_identifier_order = header

[transport-udp]
type = transport
protocol = udp
bind = {settings.loopback_host}:{settings.fax_sip_port}

{fax_link(settings, names.CONTEXT_FROM_SWITCH, switch, settings.trunk_t38)}"""
