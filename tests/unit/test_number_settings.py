from dataclasses import replace
from pathlib import Path

import pytest

from pbx.dialplan import names
from pbx.provisioning import number_settings, whitelisted
from store.arrivals import Arrival, Rule
from store.models import EntryKind, FaxUse, NumberUse, WhenUnanswered
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
        "+81312345678/ring_listed": "30",
    }


def test_for_how_long_devices_ring_before_a_message() -> None:
    patient = told(rule=replace(RULE, ring_first_s=5))
    assert patient["+81312345678/ring_first"] == "05"
    telling = told(rule=replace(RULE, whitelisted_unanswered=WhenUnanswered.ANNOUNCEMENT))
    assert "+81312345678/ring_listed" not in telling


def test_whom_the_whitelist_names() -> None:
    number = Arrival("n", "ours", "+81312345678", NumberUse.VOICE, RULE)
    entries = [(EntryKind.NUMBER, "+819012345678"), (EntryKind.PREFIX, "+81120"), (EntryKind.WITHHELD, "")]
    assert set(whitelisted(number, entries)) == {
        "+81312345678/+819012345678",
        "+81312345678/+81120*",
        "+81312345678/withheld",
    }


def test_a_number_without_rusurepo_or_devices() -> None:
    assert told(rule=None, account="nobody") == {"+81312345678/use": "voice", "+81312345678/rusurepo": "off"}


def test_a_fax_number_says_so() -> None:
    assert told(use=NumberUse.FAX)["+81312345678/use"] == "fax"


def test_no_other_accounts_device_rings() -> None:
    assert "2001" not in told()["+81312345678/devices"]


def test_nothing_is_told_that_the_dialplan_does_not_read() -> None:
    arrival = Arrival("n", "ours", "+81312345678", NumberUse.VOICE, replace(RULE, ring_first_s=5))
    everything = number_settings(replace(arrival, fax=FaxUse.SHARED), DEVICES, sound)
    assert {key.partition("/")[2] for key in everything} == set(names.NUMBER_KEYS)
