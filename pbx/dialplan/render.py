"""What of Asterisk's configuration depends on settings: pure functions from settings to text."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pbx.dialplan import names
from pbx.dialplan.fax_link import fax_link, fax_link_key
from pbx.routing.limits import (
    CALL_LIMIT_S,
    DIAL_LIMIT_S,
    FALLBACK_CALL_LIMIT_S,
    FAX_LIMIT_S,
    FAX_RING_S,
    MESSAGE_S,
    RING_LIMIT_S,
    SILENCE_S,
)
from settings import Settings
from store.callback import CALLBACK_AWAITED

FIRST_LOOK_S = 30
"""After a start every telephone is asked within this time how long it takes to answer: 2,000 of them at once
would keep calls and logins waiting."""

FIRST_REPEAT_MS = 100
"""SIP's T1. A trunk or telephone that answers an INVITE with nothing at all for 64 times as long is taken for
dead (Asterisk takes no less). By T1's usual value that is 32 seconds, in which a caller hears nothing and no
other trunk is tried; networks today answer within 100 ms, and one that does not costs a repeated packet."""

Objects = list[tuple[str, dict[str, str]]]
"""Dynamic objects of one name: (type, fields)."""


@dataclass(frozen=True)
class AsteriskFolders:
    """Where this instance's Asterisk keeps its things, all absolute."""

    etc: Path
    modules: Path
    data: Path
    state: Path
    sounds: Path

    @property
    def tone(self) -> Path:
        """The signal after the start prompt, without its suffix, as Asterisk wants names of sounds."""
        return self.sounds / "tone"

    @property
    def no_answer(self) -> Path:
        """What a caller hears whom nobody answers."""
        return self.sounds / "no-answer"


def render_all(settings: Settings, folders: AsteriskFolders) -> dict[str, str]:
    """Every rendered file: name -> text. The rest of the folder is `asterisk-conf/` as it is."""
    return {
        "asterisk.conf": asterisk_conf(settings.node, folders),
        "http.conf": http_conf(settings),
        "ari.conf": ari_conf(settings),
        "manager.conf": manager_conf(settings),
        "cel_custom.conf": cel_custom_conf(settings),
        "pjsip.conf": pjsip_conf(settings),
        "rtp.conf": rtp_conf(settings),
        "udptl.conf": udptl_conf(settings),
        "musiconhold.conf": musiconhold_conf(folders),
        "globals.conf": globals_conf(settings, folders),
        "extra.conf": settings.dialplan_extra.read_text() if settings.dialplan_extra else "",
    }


def asterisk_conf(name: str, folders: AsteriskFolders) -> str:
    """Of an Asterisk whose channels' unique ids begin with `name`."""
    state = folders.state
    return f"""\
[directories]
astetcdir => {folders.etc}
astmoddir => {folders.modules}
astdatadir => {folders.data}
astvarlibdir => {state}/lib
astdbdir => {state}/lib
astkeydir => {state}/lib
astagidir => {state}/lib
astspooldir => {state}/spool
astrundir => {state}/run
astlogdir => {state}/log
astsbindir => {state}/run

[options]
systemname = {name}
hideconnect = yes
documentation_language = en_US
live_dangerously = no
nocolor = yes
maxfiles = 65536
"""


def http_conf(settings: Settings) -> str:
    wss = ""
    if settings.sip_wss_port:
        wss = f"""\
tlsenable = yes
tlsbindaddr = {settings.bind_host}:{settings.sip_wss_port}
tlscertfile = {settings.tls_certificate}
tlsprivatekey = {settings.tls_key}
"""
    # The default of 100 sessions is fewer than the control plane's connections at a busy moment.
    return f"""\
[general]
enabled = yes
servername = denwaban
bindaddr = 127.0.0.1
bindport = {settings.ari_port}
sessionlimit = 1000
session_keep_alive = 60000
{wss}"""


def ari_conf(settings: Settings) -> str:
    return f"""\
[general]
enabled = yes
pretty = no
websocket_write_timeout = 1000
channelvars = {names.CALL_ID}

[{names.APPLICATION}]
type = user
read_only = no
password_format = plain
password = {settings.ari_password}
"""


UNHEARD_EVENTS = (
    *("Newchannel", "Newstate", "Newexten", "NewCallerid", "NewConnectedLine", "NewAccountCode", "VarSet"),
    *("DialBegin", "DialState", "DialEnd", "BridgeCreate", "BridgeEnter", "BridgeLeave", "BridgeDestroy"),
    *("DTMFBegin", "DTMFEnd", "HangupRequest", "SoftHangupRequest", "Hangup", "HangupHandlerPush"),
    *("HangupHandlerPop", "HangupHandlerRun", "LocalBridge", "MixMonitorStart", "MixMonitorStop"),
)
"""What befalls channels. Nobody asks AMI for it; waking every session for it costs each call some time."""


def manager_conf(settings: Settings) -> str:
    return f"""\
[general]
enabled = yes
webenabled = no
bindaddr = 127.0.0.1
port = {settings.ami_port}
displayconnects = no
disabledevents = {",".join(UNHEARD_EVENTS)}

[{names.APPLICATION}]
secret = {settings.ami_password}
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.255
read = none
write = system,call,reporting,command,originate
writetimeout = 1000

[{names.WATCHER}]
secret = {settings.ami_password}
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.255
read = security
write = none
writetimeout = 1000
eventfilter(action(include),name(ChallengeResponseFailed)) =
eventfilter(action(include),name(InvalidAccountID)) =
"""


EVENT_FIELDS = (
    "eventtype",
    "eventtime(%s.%6q)",
    "num",
    "name",
    "userfield",
    "exten",
    "context",
    "channame",
    "appname",
    "uniqueid",
    "linkedid",
    "eventextra",
)
"""Of a channel's event. Plain fields: dialplan functions here would cost more than the call."""


def cel_custom_conf(settings: Settings) -> str:
    return f"""\
[{settings.channel_events}]
format = json
fields = {",".join(EVENT_FIELDS)}
"""


def pjsip_conf(settings: Settings) -> str:
    order = "header,username,ip" if settings.has_fax_asterisk else "username,ip"
    sections = [
        f"""\
{sip_timers()}
[global]
type = global
user_agent = Denwaban
endpoint_identifier_order = {order}
max_initial_qualify_time = {FIRST_LOOK_S}
unidentified_request_count = 5
unidentified_request_period = 5
""",
        _transport("udp", "udp", f"{settings.bind_host}:{settings.sip_port}"),
        _transport("tcp", "tcp", f"{settings.bind_host}:{settings.sip_port}"),
    ]
    if settings.sip_tls_port:
        sections.append(
            _transport("tls", "tls", f"{settings.bind_host}:{settings.sip_tls_port}")
            + f"cert_file = {settings.tls_certificate}\npriv_key_file = {settings.tls_key}\n"
            + "method = tlsv1_2\n"
        )
    if settings.sip_wss_port:
        sections.append(_transport("wss", "wss", settings.bind_host))
    sections.append(_trunk(settings))
    if settings.has_fax_asterisk:
        peer = f"{settings.loopback_host}:{settings.fax_sip_port}"
        sections.append(fax_link(settings, names.CONTEXT_FROM_FAX, peer, t38=True))
    return "\n".join(sections)


def sip_timers() -> str:
    return f"[system]\ntype = system\ntimer_t1 = {FIRST_REPEAT_MS}\ntimer_b = {64 * FIRST_REPEAT_MS}\n"


def _transport(name: str, protocol: str, bind: str) -> str:
    return f"[transport-{name}]\ntype = transport\nprotocol = {protocol}\nbind = {bind}\n"


def media_fields(settings: Settings) -> dict[str, str]:
    """How audio flows, alike for trunks and devices."""
    common = {
        "direct_media": "no",
        "rtp_symmetric": "yes",
        "force_rport": "yes",
        "rewrite_contact": "yes",
        "dtmf_mode": "rfc4733",
    }
    if ipaddress.ip_address(settings.bind).is_unspecified:
        return common
    # Otherwise the offer names the machine's first address, whatever SIP is bound to.
    return {**common, "media_address": settings.bind, "bind_rtp_to_media_address": "yes"}


def _trunk(settings: Settings) -> str:
    media = "\n".join(f"{name} = {value}" for name, value in media_fields(settings).items())
    matches = "\n".join(f"match = {network}" for network in settings.trunk_accept)
    # The trunk is inside our trust: it alone may assert a caller's number (RFC 3325). Its name has a hyphen,
    # which no device's name may have. Only its address tells it: by its name anybody could come.
    return f"""\
[trunk-main]
type = endpoint
context = {names.CONTEXT_TRUNK}
disallow = all
allow = ulaw,alaw
aors = trunk-main
identify_by = ip
{media}
trust_id_inbound = yes
trust_id_outbound = yes
send_pai = yes
allow_transfer = no
t38_udptl = {"yes" if settings.trunk_t38 else "no"}
t38_udptl_ec = redundancy
t38_udptl_maxdatagram = 1440
timers = no

[trunk-main]
type = aor
contact = {_escaped(settings.trunk_uri)}

[trunk-main]
type = identify
endpoint = trunk-main
{matches}
"""


def _escaped(value: str) -> str:
    """A semicolon begins a comment, and stands in many a SIP URI (`;transport=tcp`)."""
    return value.replace(";", "\\;")


def quoted(name: str) -> str:
    """A name between quotation marks; such marks in it would end it."""
    return name.replace("\\", "").replace('"', "")


def rtp_conf(settings: Settings) -> str:
    ports = settings.rtp_ports
    return f"[general]\nrtpstart = {ports.first}\nrtpend = {ports.last}\nstrictrtp = yes\n"


def udptl_conf(settings: Settings) -> str:
    ports = settings.udptl_ports
    return f"[general]\nudptlstart = {ports.first}\nudptlend = {ports.last}\nuse_even_ports = no\n"


def musiconhold_conf(folders: AsteriskFolders) -> str:
    return f"[default]\nmode = files\ndirectory = {folders.sounds}/hold\n"


def globals_conf(settings: Settings, folders: AsteriskFolders) -> str:
    values = {
        names.GLOBAL_CALL_LIMIT: CALL_LIMIT_S,
        names.GLOBAL_MESSAGE_LIMIT: FALLBACK_CALL_LIMIT_S,
        names.GLOBAL_RING_LIMIT: RING_LIMIT_S,
        names.GLOBAL_MESSAGE: MESSAGE_S,
        names.GLOBAL_SILENCE: SILENCE_S,
        names.GLOBAL_RECORDING_FOLDER: settings.recording_spool,
        names.GLOBAL_CALL_FOLDER: settings.call_spool,
        names.GLOBAL_RECORDING_FEATURES: "#".join(names.RECORDING_FEATURES),
        names.GLOBAL_TONE: folders.tone,
        names.GLOBAL_NO_ANSWER: folders.no_answer,
        names.GLOBAL_SOUNDS: folders.sounds,
        names.GLOBAL_DIAL_LIMIT: DIAL_LIMIT_S,
        names.GLOBAL_CALLBACK: round(CALLBACK_AWAITED.total_seconds()),
        names.GLOBAL_HEARTBEAT: settings.heartbeat_file,
        names.GLOBAL_FAX_FOLDER: settings.fax_spool,
        names.GLOBAL_FAX_LIMIT: FAX_LIMIT_S,
        names.GLOBAL_FAX_RING: FAX_RING_S,
        names.GLOBAL_AGI_URL: f"agi://127.0.0.1:{settings.agi_port}",
        names.GLOBAL_FAX_LINK: fax_link_key(settings) if settings.has_fax_asterisk else "",
        names.GLOBAL_FAX_TRUNK: "",
    }
    return globals_text(values)


def globals_text(values: Mapping[str, object]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in values.items())
