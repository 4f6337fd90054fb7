from pathlib import Path

import pytest

from pbx.dialplan import names
from pbx.provisioning import number_settings
from store.arrivals import Arrival, Rule
from store.models import NumberUse
from store.provisioning import WantedDevice

pytestmark = pytest.mark.unit

RULE = Rule("rule-1", "昼休み", "a" * 64, "b" * 64)
DEVICES = [
    WantedDevice("1001", "ours", "sealed"),
    WantedDevice("2001", "theirs", "sealed"),
    WantedDevice("1002", "ours", "sealed"),
]


def sound(sha256: str) -> Path:
    return Path("/media/prompts") / sha256[:4]


def told(use: NumberUse = NumberUse.VOICE, rule: Rule | None = RULE, account: str = "ours") -> dict[str, str]:
    return number_settings(Arrival("n", account, "+81312345678", use, rule), DEVICES, sound)


def test_a_number_with_rusurepo() -> None:
    assert told() == {
        "+81312345678/use": "voice",
        "+81312345678/rusurepo": "on",
        "+81312345678/rule": "rule-1",
        "+81312345678/start_prompt": "/media/prompts/aaaa",
        "+81312345678/end_prompt": "/media/prompts/bbbb",
        "+81312345678/devices": "PJSIP/1001&PJSIP/1002",
    }


def test_a_number_without_rusurepo_or_devices() -> None:
    assert told(rule=None, account="nobody") == {"+81312345678/use": "voice", "+81312345678/rusurepo": "off"}


def test_a_fax_number_says_so() -> None:
    assert told(use=NumberUse.FAX)["+81312345678/use"] == "fax"


def test_no_other_accounts_device_rings() -> None:
    assert "2001" not in told()["+81312345678/devices"]


def test_nothing_is_told_that_the_dialplan_does_not_read() -> None:
    assert {key.partition("/")[2] for key in told()} == set(names.NUMBER_KEYS)
