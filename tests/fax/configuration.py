"""The far machine's Asterisk: its own files, alike to the switch's in nothing but the program."""

import re
from collections.abc import Mapping
from pathlib import Path

from launch.asterisk import Tool

USER, PASSWORD = "tests", "far-machine-of-the-tests"

MODULES = re.findall(
    r"\w+",
    """
res_timing_timerfd res_crypto res_sorcery_config res_sorcery_astdb res_sorcery_memory res_pjproject
res_rtp_asterisk res_speech res_fax res_fax_spandsp res_musiconhold res_security_log
res_pjsip res_pjsip_session res_pjsip_pubsub res_pjsip_endpoint_identifier_ip res_pjsip_sdp_rtp
res_pjsip_caller_id res_pjsip_t38 res_pjsip_rfc3326 chan_pjsip res_mutestream
codec_ulaw codec_alaw format_pcm format_wav format_sln bridge_simple pbx_config app_playback app_exec
app_stack app_verbose func_callerid func_channel func_env func_logic func_strings func_timeout
""",
)

DIALPLAN = """\
[globals]
FOLDER = {folder}

; Numbers that are called; the sender's number and the time keep calls to one number apart.
[called]
exten => _03.,1,Goto(receive,${{EXTEN}},1)
exten => _05.,1,Goto(receive,${{EXTEN}},1)
exten => _0401.,1,Hangup(17)
exten => _0402.,1,Ringing()
 same => n,Wait(120)
exten => _0403.,1,Answer()
 same => n,Playback(${{FOLDER}}/speech&${{FOLDER}}/speech&${{FOLDER}}/speech&${{FOLDER}}/speech)
 same => n,Hangup()
; A machine that hangs up in the middle: how many seconds after the answer stands in the last two digits.
exten => _0404.,1,Set(TIMEOUT(absolute)=${{EXTEN:-2}})
 same => n,Goto(receive,${{EXTEN}},1)
; One that answers and sends no packet at all.
exten => _0405.,1,Answer()
 same => n,Wait(120)

[receive]
exten => _X.,1,Set(JOB=${{EXTEN}}-${{CALLERID(num)}})
 same => n,ExecIf($["${{STAT(e,${{FOLDER}}/${{JOB}}.began)}}" = "1"]?Set(JOB=${{JOB}}-${{UNIQUEID}}))
 same => n,Set(FILE(${{FOLDER}}/${{JOB}}.began,,,al,u)=${{EPOCH}})
 same => n,Set(CHANNEL(hangup_handler_push)=done,s,1)
 same => n,Answer()
 same => n,Set(FAXOPT(localstationid)=${{EXTEN}})
 same => n,ReceiveFAX(${{FOLDER}}/${{JOB}}.tif,f)
 same => n,Hangup()

[send]
exten => s,1,Set(CHANNEL(hangup_handler_push)=done,s,1)
 same => n,ExecIf($["${{CUT_S}}" != ""]?Set(TIMEOUT(absolute)=${{CUT_S}}))
 same => n,ExecIf($["${{SPEAKS}}" != ""]?Playback(${{SPEAKS}}))
; Its tones are not heard: all that tells of a fax is its offer of T.38.
 same => n,ExecIf($["${{MUTE}}" != ""]?Set(MUTEAUDIO(out)=on))
 same => n,Set(FAXOPT(ecm)=${{ECM}})
 same => n,Set(FAXOPT(localstationid)=${{CALLERID(num)}})
 same => n,SendFAX(${{FILE}},${{HOW}})
 same => n,Hangup()

; Only speaks: a person.
[talk]
exten => s,1,Set(CHANNEL(hangup_handler_push)=done,s,1)
 same => n,Playback(${{SPEAKS}})
 same => n,Hangup()

[done]
exten => s,1,Set(SAID=${{FAXSTATUS}}|${{FAXPAGES}}|${{FAXMODE}}|${{FAXSTATUSSTRING}})
 same => n,Set(FILE(${{FOLDER}}/${{JOB}}.done,,,al,u)=${{SAID}})
 same => n,Return()
"""


def write_configuration(
    folder: Path, tool: Tool, sip_port: int, ami_port: int, rtp_first: int, ways: Mapping[str, int]
) -> None:
    """Lay out `folder/etc`. UDPTL ports follow the RTP ports. `ways`: as in `far_machine`."""
    etc = folder / "etc"
    for name in ("etc", "lib/keys", "run", "log", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    files = {
        "asterisk.conf": _asterisk(folder, tool),
        "modules.conf": "[modules]\nautoload=no\n" + "".join(f"load = {one}.so\n" for one in MODULES),
        "pjsip.conf": _pjsip(sip_port, ways),
        "rtp.conf": f"[general]\nrtpstart={rtp_first}\nrtpend={rtp_first + 799}\n",
        "udptl.conf": f"[general]\nudptlstart={rtp_first + 800}\nudptlend={rtp_first + 999}\n",
        "res_fax.conf": "[general]\nminrate=2400\nmaxrate=14400\nmodems=v17,v27,v29\nstatusevents=no\n",
        "extensions.conf": DIALPLAN.format(folder=folder),
        "manager.conf": f"[general]\nenabled=yes\nbindaddr=127.0.0.1\nport={ami_port}\n"
        f"[{USER}]\nsecret={PASSWORD}\nread=none\nwrite=originate,system,command\n",
        "logger.conf": "[general]\n[logfiles]\nconsole = error\nfar.log = notice,warning,error\n",
    }
    for name in ("cdr", "cel", "features", "musiconhold", "http"):
        files[f"{name}.conf"] = "[general]\nenabled=no\n"
    for name, text in files.items():
        (etc / name).write_text(text)


def _asterisk(folder: Path, tool: Tool) -> str:
    return f"""\
[directories]
astetcdir => {folder}/etc
astmoddir => {tool.module_folder}
astdatadir => {tool.data_folder}
astvarlibdir => {folder}/lib
astdbdir => {folder}/lib
astkeydir => {folder}/lib
astagidir => {folder}/lib
astspooldir => {folder}/spool
astrundir => {folder}/run
astlogdir => {folder}/log
[options]
hideconnect = yes
documentation_language = en_US
"""


def _pjsip(sip_port: int, ways: Mapping[str, int]) -> str:
    """Ways to the switch, all with T.38 but `audio`; a call from it takes one by the number it is for."""
    endpoints = "".join(
        f"""\
[{name}]
type = endpoint
context = called
disallow = all
allow = ulaw
aors = {name}
direct_media = no
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
t38_udptl = {"no" if name == "audio" else "yes"}
t38_udptl_ec = redundancy

[{name}]
type = aor
contact = sip:127.0.0.1:{port}

"""
        for name, port in ways.items()
    )
    return f"""\
[global]
type = global
endpoint_identifier_order = request_uri,ip

[transport]
type = transport
protocol = udp
bind = 127.0.0.1:{sip_port}

{endpoints}
[audio]
type = identify
endpoint = audio
match_request_uri = /^sip:05/

[t38]
type = identify
endpoint = t38
match = 127.0.0.0/8
"""
