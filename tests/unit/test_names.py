"""The names in `pbx/dialplan/names.py` and those in `asterisk-conf/` are the same, in both directions."""

import re
from pathlib import Path

import pytest

from pbx.dialplan import names
from pbx.routing.caller import REASONS
from store import fax_line
from store.models import CallerKind, DidLocation, Treatment

pytestmark = pytest.mark.unit

CONF = Path(__file__).parents[2] / "asterisk-conf"
FILES = ("extensions.conf", "calling.conf", "fax.conf")


def one_by_one(line: str) -> str:
    """`MSet(A=1,B=2)` as `MSet(A=1) Set(B=2)`."""
    return re.sub(r",(?=_*[A-Z][A-Z_]*(?:\(\w+\))?=)", ") Set(", line) if "MSet(" in line else line


DIALPLAN = "\n".join(
    one_by_one(line)
    for file in FILES
    for line in (CONF / file).read_text().splitlines()
    if not line.lstrip().startswith(";")
)
CHANNEL_VARIABLES = {
    "ADDRESS", "ANSWERED_BEFORE", "BEGINNING", "CALLER", "CHANNELS", "CLASS", "COLLEAGUE", "DESTINATION",
    "DEVICE", "DIALLED", "DID", "DIRECTION", "KEYS", "LEFT_S", "LIMIT", "NAME", "NUMBER",
    "PARKINGDYNAMIC", "PARKINGDYNPOS", "PARKINGEXTEN", "PRESENTATION", "RANG", "RECORDING_DIAL_OPTIONS",
    "REST", "RING_FIRST", "RING_S", "RULE", "SAID", "SHOWN", "SIP", "SLIP", "STARTED_AT", "TO", "TRUNK",
    "TRUNKS", "TURN", "TURNS", "TURN_S", "UNTIL",
    "COLLEAGUE_OPTIONS", "FAX_DIAL", "FAX_DIALS", "FAX_HOW", "FAX_RESULT", "FAX_SLIP", "FAX_TOLD", "FOUND",
    "OWN_TIME", "RING_OPTIONS", "TOLD_S",
}  # fmt: skip
"""Set by the dialplan for itself."""

OF_ASTERISK = {
    "ANSWEREDTIME", "ANSWEREDTIME_MS", "ARG", "BLINDTRANSFER", "GOSUB_RETVAL", "HANGUPCAUSE",
    "EXTEN", "EPOCH", "UNIQUEID", "STASISSTATUS", "DIALSTATUS", "RECORD_STATUS",
    "FAXSTATUS", "FAXERROR", "FAXSTATUSSTRING", "FAXPAGES", "FAXBITRATE", "FAXRESOLUTION", "REMOTESTATIONID",
    "FAXMODE",
}  # fmt: skip
OF_THE_WHOLE_CALL = {"CALL_ID", "TRANSFER_CONTEXT", "TRANSFERRER"}
"""Inherited by every channel that the call makes."""

OWN_SUBROUTINES = {
    "as-the-trunk-wants", "blocked-slip", "call-over", "call-slip", "called", "called-leg",
    "called-leg-over", "device-calls", "entry-of-caller", "fax-call-over", "fax-hand-over", "fax-link",
    "fax-slip", "fax-take", "hand-in", "listen-for-fax", "look-for-caller", "own-time", "own-time-over",
    "slip", "take-off", "transferred-out", "was-answered",
}  # fmt: skip
ELSEWHERE = {"recording-options", "recording-control", "recording-keys"}
"""In `recording.conf`, which has a test of its own."""

PYTHON_CONTEXTS = {value for name, value in vars(names).items() if name.startswith("CONTEXT_")}


def contexts() -> set[str]:
    return set(re.findall(r"^\[([^\]]+)\]", DIALPLAN, re.M)) - {"general", "globals"}


def test_contexts() -> None:
    assert contexts() == PYTHON_CONTEXTS | OWN_SUBROUTINES


def test_every_jump_lands() -> None:
    targets = re.findall(r"(?:Goto|Gosub)\(([a-z-]+),s,1\b", DIALPLAN)
    targets += re.findall(r"\?([a-z-]+),s,1", DIALPLAN)
    targets += re.findall(r"Goto\(([a-z-]+),[$0-9]", DIALPLAN)
    targets += re.findall(r"\?([a-z-]+),[$0-9]", DIALPLAN)
    assert set(targets) - {"s"} <= contexts() | ELSEWHERE
    assert set(re.findall(r"[=)r][Ub]\(([a-z-]+)[)^]", DIALPLAN)) <= contexts() | ELSEWHERE
    # What becomes of blocked callers is the store's word.
    treatments = re.findall(r"^\[blocked\]\n(.*?)^\[", DIALPLAN, re.M | re.S)[0]
    assert set(re.findall(r"^exten => (\w+),1", treatments, re.M)) - {"h"} == set(Treatment)
    labels = set(re.findall(r"n\(([a-z-]+)\)", DIALPLAN))
    assert set(re.findall(r"\?([a-z-]+)\)", DIALPLAN)) <= labels


def test_variables() -> None:
    used = set(re.findall(r"\$\{([A-Z0-9_]+?)[12]?(?:[:}]|$)", DIALPLAN))
    used |= set(re.findall(r"CUT\(([A-Z]+),(?:\\|:)", DIALPLAN))
    used -= OF_THE_WHOLE_CALL
    used |= {names.GLOBAL_CALL_FOLDER, names.GLOBAL_RECORDING_FEATURES}
    # Parking reads these by itself.
    used |= {"PARKINGDYNAMIC", "PARKINGDYNPOS", "PARKINGEXTEN"}
    # What is announced is chosen in `recording.conf`.
    given = {*names.LAMP_VARIABLES, *fax_line.SEND_VARIABLES, "RECORDING_PROMPT"}
    assert used == set(names.GLOBALS) | given | CHANNEL_VARIABLES | OF_ASTERISK
    # Given by who sends; who receives takes the call's, and who dials for another Asterisk what it is told.
    given_or_told = {
        fax_line.VAR_ID,
        fax_line.VAR_MODE,
        fax_line.VAR_FROM,
        fax_line.VAR_TO,
        fax_line.VAR_RING_S,
    }
    set_here = set(re.findall(r"Set\(([A-Z][A-Z0-9_]+)=", DIALPLAN))
    # Where all channels are taken, Asterisk's own variable says as much as if the devices were busy.
    assert set_here - {"DIALSTATUS"} == CHANNEL_VARIABLES | given_or_told
    assert set(re.findall(r"Set\(__([A-Z_]+)=", DIALPLAN)) == OF_THE_WHOLE_CALL | {
        "FAX_ID",
        "FAX_SLIP",
        "FAX_TOLD",
    }


def test_channels_tell_which_call_they_belong_to() -> None:
    assert names.CALL_ID in OF_THE_WHOLE_CALL


def test_every_global_is_listed() -> None:
    constants = {value for name, value in vars(names).items() if name.startswith("GLOBAL_")}
    assert constants == set(names.GLOBALS)


def test_database_keys() -> None:
    keys = set(re.findall(r"DB\((\w+)/\$\{NUMBER\}/(\w+)\)", DIALPLAN))
    assert keys == {(names.NUMBER_FAMILY, key) for key in names.NUMBER_KEYS}
    assert set(re.findall(r"DB\((\w+)/\$\{ARG1\}/(\w+)/", DIALPLAN)) == {
        (names.NUMBER_FAMILY, names.OWN_TIME_KEYS)
    }
    lists = re.findall(r"entry-of-caller,s,1\((\w+)/", DIALPLAN)
    assert lists == [names.BLOCK_FAMILY, names.BLOCK_FAMILY, names.WHITELIST_FAMILY]
    assert set(re.findall(r"DB\(\$\{ARG1\}/(\S+?)\)\}", DIALPLAN)) == {"${CALLER}", "${BEGINNING}*"}
    reasons = set(re.findall(r"Set\(CALLER=([a-z]+)\)", DIALPLAN))
    assert reasons == {kind.value for kind in CallerKind if kind != "number"}
    others = set(re.findall(r"DB\(([\w/]+)\)", DIALPLAN))
    assert others == {
        f"{names.TOLD_FAMILY}/{names.KEY_REVISION}",
        f"{names.TRUNK_FAMILY}/{names.KEY_ORDINARY}",
        f"{names.TRUNK_FAMILY}/{names.KEY_EMERGENCY}",
    }
    assert set(re.findall(r"DB\((\w+)/\$\{DEVICE\}/(\w+)\)", DIALPLAN)) == {
        (names.CALLER_FAMILY, key) for key in names.CALLER_KEYS
    }
    assert set(re.findall(r"DB\((\w+/\w+)/\$\{TRUNK\}\)", DIALPLAN)) == {
        f"{names.TRUNK_FAMILY}/{names.STYLE_KEYS}"
    }
    assert set(re.findall(r"DB\((\w+/\w+)/\$\{CHANNEL\(endpoint\)\}\)", DIALPLAN)) == {
        f"{names.TRUNK_FAMILY}/{names.DID_KEYS}"
    }
    assert set(re.findall(r'"\$\{DID\}" = "(\w+)"', DIALPLAN)) == set(DidLocation) - {"request_uri"}
    assert set(re.findall(r"DB\((\w+)/\$\{DB\(", DIALPLAN)) == {names.INTERNAL_FAMILY, names.CALLBACK_FAMILY}


def test_slip_keys() -> None:
    written = set(re.findall(r"Set\(FILE\(\$\{(?:SLIP|ARG1)\},,,al,u\)=(\w+)=", DIALPLAN))
    # `source` is the control plane's own: a slip without it is the dialplan's.
    assert written == set(names.SLIP_KEYS) - {"source"}


def test_fax_slip_keys() -> None:
    written = re.findall(r"Set\(FILE\(\$\{FAX_SLIP\},,,al,u\)=(\w+)=", DIALPLAN)
    # Whether error correction is used is noted by the control plane meanwhile.
    assert set(written) == set(fax_line.SLIP_KEYS) - {"ecm"}
    # Whoever reads a slip takes it for finished then.
    of_each_end = re.findall(r"FAX_SLIP\},,,al,u\)=(\w+)=.*\n.*(?:Return|\(done\))", DIALPLAN)
    assert of_each_end.count("ended_at") == 2


def test_a_call_can_become_a_fax_wherever_it_waits() -> None:
    """Asterisk looks for `fax` in the context that the channel is in, and throws away what it heard else."""
    stanzas = dict(re.findall(r"^\[([^\]]+)\]\n(.*?)(?=^\[|\Z)", DIALPLAN, re.M | re.S))
    including = {name for name, text in stanzas.items() if f"include => {names.CONTEXT_FAX_HEARD}" in text}
    assert including == {
        names.CONTEXT_CALLED,
        names.CONTEXT_AWAY,
        names.CONTEXT_RING,
        names.CONTEXT_UNANSWERED,
        names.CONTEXT_TAKE_MESSAGE,
    }


def test_a_ringing_extension_is_one_of_the_dialplans() -> None:
    (pattern,) = re.findall(r"exten => _(\S+),1,Set\(RING_S=\$\{EXTEN:0:2\}\)", DIALPLAN)
    matches = re.compile(pattern.replace("X", "[0-9]").replace("!", ".*"))
    for extension in (names.ring_extension(5), names.ring_extension(60, "0" * 32)):
        assert matches.fullmatch(extension)
    assert "Set(RULE=${EXTEN:3})" in DIALPLAN
    assert names.ring_extension(5, "rule")[3:] == "rule"


def test_callers_without_a_number_are_told_apart_alike() -> None:
    """By the same display names as in Python."""
    told: dict[str, CallerKind] = {}
    for condition, label in re.findall(r"GotoIf\(\$\[(\S*\$\{NAME\}[^]]*)\]\?(\w+)\)", DIALPLAN):
        told |= dict.fromkeys(re.findall(r'"\$\{NAME\}" = "([^"]+)"', condition), CallerKind(label))
    assert told == REASONS


def test_what_is_shown_is_taken_away() -> None:
    assert f"DB_DELETE({names.SHOWN_FAMILY}/${{UNIQUEID}})" in DIALPLAN


def test_the_name_of_trunks_is_nobodys() -> None:
    assert f'"${{CALLERID(name)}}" = "{names.NAME_OF_TRUNKS}"' in DIALPLAN


def test_where_a_call_goes_out_is_taken_apart_as_it_was_put_together() -> None:
    extension = names.call_out_extension("+819012345678", "+81312345678", "mobile", True, 60)
    assert extension.split("-") == ["+819012345678", "+81312345678", "mobile", "hidden", "60"]
    order = re.findall(r"Set\((\w+)=\$\{CUT\(EXTEN,-,\d\)\}\)", DIALPLAN)
    assert order == ["DESTINATION", "NUMBER", "CLASS", "PRESENTATION", "LIMIT"]


def test_application_and_agi_route() -> None:
    assert set(re.findall(r"Stasis\((\w+),(\w+),", DIALPLAN)) == {
        (names.APPLICATION, names.STASIS_INBOUND),
        (names.APPLICATION, names.STASIS_UNANSWERED),
        (names.APPLICATION, names.STASIS_OUTBOUND),
    }
    assert set(re.findall(r"AGI\(\$\{AGI_URL\}/(\w+)\)", DIALPLAN)) == {names.AGI_SPOOLED}


def modules() -> list[str]:
    text = (CONF / "modules.conf").read_text()
    return re.findall(r"^load\s*=>?\s*(\S+)", text, re.M)


def test_no_module_is_loaded_twice() -> None:
    loaded = modules()
    assert sorted(loaded) == sorted(set(loaded))


NEEDED = {
    "Answer": None, "AGI": "res_agi", "ControlPlayback": "app_controlplayback", "Dial": "app_dial",
    "ExecIf": "app_exec", "Gosub": "app_stack", "GosubIf": "app_stack", "Goto": None, "GotoIf": None,
    "Hangup": None, "MSet": None, "Park": "res_parking", "ParkedCall": "res_parking",
    "LEN": "func_strings", "MinivmMWI": "app_minivm", "Playback": "app_playback",
    "Progress": None, "Record": "app_record", "Return": "app_stack", "Set": None, "TOLOWER": "func_strings",
    "Stasis": "app_stasis", "DB": "func_db", "DB_DELETE": "func_db",
    "FILE": "func_env",
    "ReceiveFAX": "res_fax", "SendFAX": "res_fax", "FAXOPT": "res_fax", "TONE_DETECT": "res_tonedetect",
    "NoOp": None, "StopMixMonitor": "app_mixmonitor", "STAT": "func_env", "FILTER": "func_strings",
    "CUT": "func_cut", "GROUP": "func_groupcount", "GROUP_COUNT": "func_groupcount",
    "PJSIP_HEADER": "res_pjsip_header_funcs",
    "HANGUPCAUSE": "func_hangupcause", "HANGUPCAUSE_KEYS": "func_hangupcause",
    "PJSIP_ENDPOINT": "func_pjsip_endpoint", "Wait": None,
    "HangupCauseClear": "func_hangupcause", "SHIFT": "func_strings", "STRFTIME": "func_strings",
    "CALLERID": "func_callerid", "CHANNEL": "func_channel", "IF": "func_logic", "TIMEOUT": "func_timeout",
}  # fmt: skip
"""Application or function -> the module that brings it; None: Asterisk's core."""


def test_what_the_dialplan_uses_is_loaded() -> None:
    used = set(re.findall(r"\b([A-Z][A-Za-z_]+)\(", DIALPLAN))
    assert used <= set(NEEDED)
    assert {f"{NEEDED[one]}.so" for one in used if NEEDED[one]} <= set(modules())


@pytest.mark.parametrize("path", sorted(CONF.glob("*.conf")), ids=lambda path: path.name)
def test_no_secret_stands_in_the_repository(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"^\s*(password|secret|md5_cred)\s*=", text, re.M | re.I)


def test_every_way_into_the_fallback_has_a_limit() -> None:
    """The last resort against a line that stays up for ever."""
    assert "Set(TIMEOUT(absolute)=${CALL_LIMIT_S})" in DIALPLAN.partition("Stasis(")[0]
    assert "Set(TIMEOUT(absolute)=${MESSAGE_LIMIT_S})" in DIALPLAN


@pytest.mark.parametrize("modules", ["modules.conf", "fax/modules.conf"])
def test_every_asterisk_has_the_wizards_of_its_objects(modules: str) -> None:
    """Without one that `sorcery.conf` names, Asterisk starts without SIP. Both read the same file."""
    conf = Path(__file__).parents[2] / "asterisk-conf"
    wizards = set(re.findall(r"^[a-z_]+(?:/cache)? = ([a-z_]+)", (conf / "sorcery.conf").read_text(), re.M))
    loaded = set(re.findall(r"^load = res_sorcery_([a-z_]+)\.so", (conf / modules).read_text(), re.M))
    assert wizards <= loaded
