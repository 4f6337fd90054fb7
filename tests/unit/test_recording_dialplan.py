"""`asterisk-conf/recording.conf`, the keys in `features.conf`, and their names in Python are the same."""

import re
from pathlib import Path

import pytest

from pbx.dialplan import names
from pbx.recordings.slip import EVENTS, FACTS
from store.recording_control import Order, RecordingState
from tests.unit.test_names import NEEDED, modules

pytestmark = pytest.mark.unit

CONF = Path(__file__).parents[2] / "asterisk-conf"


def without_comments(name: str) -> str:
    lines = (CONF / name).read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(";"))


DIALPLAN, FEATURES = without_comments("recording.conf"), without_comments("features.conf")
OWN_VARIABLES = {
    "RECORDING_ASKED", "RECORDING_AUTOMATIC", "RECORDING_DIAL_OPTIONS", "RECORDING_DIRECTION",
    "RECORDING_FILE", "RECORDING_NUMBER", "RECORDING_ORDER", "RECORDING_OTHER", "RECORDING_OUTSIDE",
    "RECORDING_PROMPT", "RECORDING_SECTION", "RECORDING_SLIP", "RECORDING_STATE", "DYNAMIC_FEATURES",
}  # fmt: skip
SET_ELSEWHERE = {"ARG1", "ARG2", "ARG3", "DIALSTATUS", "PLAYBACKSTATUS", "RECORDING_MONITOR", "UNIQUEID"}
OF_OURS = {names.GLOBAL_CALL_FOLDER, names.GLOBAL_RECORDING_FEATURES, names.GLOBAL_SOUNDS}
BROUGHT_BY = NEEDED | {
    "MixMonitor": "app_mixmonitor", "StopMixMonitor": "app_mixmonitor", "SHARED": "func_global",
    "STRFTIME": "func_strings",
}  # fmt: skip


def contexts() -> set[str]:
    return set(re.findall(r"^\[([^\]]+)\]", DIALPLAN, re.M))


def test_every_jump_lands() -> None:
    targets = re.findall(r"Gosub\(([a-z-]+),(?:s|start|\$\{RECORDING_ORDER\}),1", DIALPLAN)
    targets += re.findall(r"[=a)]U\(([a-z-]+)[)^]", DIALPLAN)
    targets += re.findall(r"hangup_handler_push\)=([a-z-]+),s,1", DIALPLAN)
    # Ringing for a time of its own ends with the answer, in whatever way (extensions.conf).
    assert set(targets) - {"own-time-over"} | {"recording-options"} == contexts()
    labels = set(re.findall(r"n\(([a-z]+)\)", DIALPLAN))
    assert set(re.findall(r"\?([a-z]+)\)", DIALPLAN)) <= labels


def test_variables() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+\d?)(?:[:}]|$)", DIALPLAN))
    assert used | {"DYNAMIC_FEATURES", "RECORDING_DIAL_OPTIONS"} == OWN_VARIABLES | SET_ELSEWHERE | OF_OURS
    assert set(re.findall(r"Set\(_?([A-Z_]+)=", DIALPLAN)) == OWN_VARIABLES
    assert {names.RECORDING_ASKED, names.RECORDING_STATE} <= OWN_VARIABLES
    assert f"SHARED({names.RECORDING_CONNECTED})" in DIALPLAN


def test_database_keys() -> None:
    used = set(re.findall(r"DB\((\w+)/\$\{RECORDING_NUMBER\}/(\w+|\$\{\w+\})\)", DIALPLAN))
    keys = {*names.RECORD_KEYS, "${RECORDING_DIRECTION}"} - {names.KEY_INBOUND, names.KEY_OUTBOUND}
    assert used == {(names.RECORD_FAMILY, key) for key in keys}


def test_lines_of_the_slip() -> None:
    written = set(re.findall(r"Set\(FILE\(\$\{RECORDING_SLIP\},,,al,u\)=(\w+)=", DIALPLAN))
    assert written == {*FACTS, *EVENTS}


def test_states() -> None:
    said = set(re.findall(r"Set\(RECORDING_STATE=(\w+)\)", DIALPLAN))
    assert said == {state.value for state in RecordingState} - {""}


def test_keys() -> None:
    """Each does something that the dialplan knows, and the control plane's is on no telephone."""
    does = dict(
        re.findall(r'^([a-z-]+) => \S+?,(?:peer|self),Gosub,"recording-control,(\w+),1"', FEATURES, re.M)
    )
    control = DIALPLAN.partition("[recording-control]")[2]
    orders = set(re.findall(r"^exten => (\w+),1", control, re.M)) - {"s"}
    assert does == {f"recording-{order}": order for order in orders - {names.RECORDING_RENEW}}
    assert orders == {order.value for order in Order} | {"asked", names.RECORDING_RENEW}
    assert set(does) == {*names.RECORDING_FEATURES, "recording-asked"}
    assert f"recording-asked => {names.RECORDING_KEY},self," in FEATURES
    assert names.RECORDING_KEY in "ABCD"


def test_what_it_uses_is_loaded() -> None:
    used = set(re.findall(r"\b([A-Z][A-Za-z]+)\(", DIALPLAN)) - {"U"}
    assert used <= set(BROUGHT_BY)
    assert {f"{BROUGHT_BY[one]}.so" for one in used if BROUGHT_BY[one]} <= set(modules())
