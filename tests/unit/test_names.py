"""The names in `pbx/dialplan/names.py` and those in `asterisk-conf/` are the same, in both directions."""

import re
from pathlib import Path

import pytest

from pbx.dialplan import names
from pbx.recordings.slip import EVENTS, FACTS
from pbx.routing.caller import REASONS
from store.models import CallerKind
from store.recording_control import Order

pytestmark = pytest.mark.unit

CONF = Path(__file__).parents[2] / "asterisk-conf"


def without_comments(name: str) -> str:
    lines = (CONF / name).read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(";"))


RECORDING = without_comments("recording.conf")
DIALPLAN = without_comments("extensions.conf").replace('#include "recording.conf"', RECORDING)
CHANNEL_VARIABLES = {
    "BEGINNING", "CALLER", "DIALLED", "LISTED", "NAME", "NUMBER", "PRESENTATION", "RANG", "RING_FIRST",
    "RING_S", "RULE", "SLIP", "STARTED_AT",
    "RECORDING_ASKED", "RECORDING_AUTOMATIC", "RECORDING_DIAL_OPTIONS",
    "RECORDING_DIRECTION", "RECORDING_FILE", "RECORDING_NUMBER", "RECORDING_ORDER", "RECORDING_OTHER",
    "RECORDING_OUTSIDE", "RECORDING_PROMPT", "RECORDING_SECTION", "RECORDING_SLIP", "RECORDING_STATE",
}  # fmt: skip
"""Set by the dialplan for itself."""

OF_ASTERISK = {
    "ANSWEREDTIME", "EXTEN", "EPOCH", "UNIQUEID", "STASISSTATUS", "DIALSTATUS", "RECORD_STATUS",
    "DYNAMIC_FEATURES", "PLAYBACKSTATUS",
}  # fmt: skip
SET_BY_APPLICATIONS = {"RECORDING_MONITOR"}
ARGUMENTS = {"ARG1", "ARG2", "ARG3"}
OWN_SUBROUTINES = {
    "slip", "hand-in", "look-for-caller", "recording-options", "recording-inside", "recording-called",
    "recording-outside", "recording-section", "recording-control", "recording-unannounced", "recording-ended",
}  # fmt: skip
PYTHON_CONTEXTS = {value for name, value in vars(names).items() if name.startswith("CONTEXT_")}


def contexts() -> set[str]:
    return set(re.findall(r"^\[([^\]]+)\]", DIALPLAN, re.M)) - {"general", "globals"}


def test_contexts() -> None:
    assert contexts() == PYTHON_CONTEXTS | OWN_SUBROUTINES


def test_every_jump_lands() -> None:
    targets = re.findall(r"(?:Goto|Gosub)\(([a-z-]+),s,1\)", DIALPLAN)
    targets += re.findall(r"\?([a-z-]+),s,1", DIALPLAN)
    targets += re.findall(r"Goto\(([a-z-]+),\$\{", DIALPLAN)
    targets += re.findall(r"[^I]U\(([a-z-]+)[)^]", DIALPLAN)
    targets += re.findall(r"hangup_handler_push\)=([a-z-]+),s,1", DIALPLAN)
    assert set(targets) <= contexts()
    labels = set(re.findall(r"n\(([a-z]+)\)", DIALPLAN))
    assert set(re.findall(r"\?([a-z]+)\)", DIALPLAN)) <= labels


def test_variables() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+\d?)(?:[:}]|$)", DIALPLAN)) - ARGUMENTS - SET_BY_APPLICATIONS
    known = set(names.GLOBALS) | set(names.LAMP_VARIABLES) | CHANNEL_VARIABLES | OF_ASTERISK
    assert used | {"DYNAMIC_FEATURES"} == known
    assert set(re.findall(r"Set\(_?([A-Z_]+)=", DIALPLAN)) - {"DYNAMIC_FEATURES"} == CHANNEL_VARIABLES


def test_every_global_is_listed() -> None:
    constants = {value for name, value in vars(names).items() if name.startswith("GLOBAL_")}
    assert constants == set(names.GLOBALS)


def test_database_keys() -> None:
    keys = set(re.findall(r"DB\((\w+)/\$\{NUMBER\}/(\w+|\$\{\w+\}\*?)\)", DIALPLAN))
    listed = {"${CALLER}", "${BEGINNING}*", *(kind.value for kind in CallerKind if kind != "number")}
    assert keys == {(names.NUMBER_FAMILY, key) for key in names.NUMBER_KEYS} | {
        (names.WHITELIST_FAMILY, key) for key in listed
    }
    recorded = set(re.findall(r"DB\((\w+)/\$\{RECORDING_NUMBER\}/(\w+|\$\{\w+\})\)", DIALPLAN))
    by_direction = {names.KEY_INBOUND, names.KEY_OUTBOUND}
    assert recorded == {
        (names.RECORD_FAMILY, key) for key in {*names.RECORD_KEYS, "${RECORDING_DIRECTION}"} - by_direction
    }
    others = set(re.findall(r"DB\(([\w/]+)\)", DIALPLAN))
    assert others == {f"{names.TOLD_FAMILY}/{names.KEY_REVISION}"}


def test_slip_keys() -> None:
    written = set(re.findall(r"Set\(FILE\(\$\{SLIP\},,,al,u\)=(\w+)=", DIALPLAN))
    # `source` is the control plane's own: a slip without it is the dialplan's.
    assert written == set(names.SLIP_KEYS) - {"source"}


def test_lines_of_a_calls_slip() -> None:
    written = set(re.findall(r"Set\(FILE\(\$\{RECORDING_SLIP\},,,al,u\)=(\w+)=", DIALPLAN))
    assert written == {*FACTS, *EVENTS}


def test_keys_of_a_recorded_call() -> None:
    """Each does something that the dialplan knows, and the control plane's is no key of a telephone."""
    features = without_comments("features.conf")
    does = dict(
        re.findall(r'^([a-z-]+) => \S+?,(?:peer|self),Gosub,"recording-control,(\w+),1"', features, re.M)
    )
    orders = set(re.findall(r"^exten => (\w+),1", RECORDING.partition("[recording-control]")[2], re.M)) - {
        "s"
    }
    assert {f"recording-{order}": order for order in orders} == does
    assert set(names.RECORDING_FEATURES) | {"recording-asked"} == set(does)
    assert {order.value for order in Order} | {"asked"} == orders
    assert f"recording-asked => {names.RECORDING_KEY},self," in features
    assert names.RECORDING_KEY in "ABCD"


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


def test_application_and_agi_route() -> None:
    assert set(re.findall(r"Stasis\((\w+),(\w+),", DIALPLAN)) == {
        (names.APPLICATION, names.STASIS_INBOUND),
        (names.APPLICATION, names.STASIS_UNANSWERED),
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
    "Hangup": None, "LEN": "func_strings", "MinivmMWI": "app_minivm", "Playback": "app_playback",
    "Progress": None, "Record": "app_record", "Return": "app_stack", "Set": None, "TOLOWER": "func_strings",
    "Stasis": "app_stasis", "DB": "func_db", "FILE": "func_env", "STAT": "func_env", "FILTER": "func_strings",
    "MixMonitor": "app_mixmonitor", "StopMixMonitor": "app_mixmonitor", "SHARED": "func_global",
    "STRFTIME": "func_strings",
    "CALLERID": "func_callerid", "CHANNEL": "func_channel", "IF": "func_logic", "TIMEOUT": "func_timeout",
}  # fmt: skip
"""Application or function -> the module that brings it; None: Asterisk's core."""


def test_what_the_dialplan_uses_is_loaded() -> None:
    used = set(re.findall(r"\b([A-Z][A-Za-z]+)\(", DIALPLAN))
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
