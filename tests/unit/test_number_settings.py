from dataclasses import replace
from pathlib import Path

import pytest

from pbx.dialplan import names
from pbx.provisioning import blocked, number_settings, whitelisted
from store.arrivals import Arrival, Ringing, Rule
from store.models import EntryKind, FaxUse, NumberUse, Treatment, WhenUnanswered
from store.provisioning import WantedBlock, WantedDevice

pytestmark = pytest.mark.unit

EVERYBODY = Ringing()
RULE = Rule("rule-1", "昼休み", "a" * 64, "b" * 64)
DEVICES = [
    WantedDevice("1001", "ours", "sealed", "d1"),
    WantedDevice("2001", "theirs", "sealed", "d2"),
    WantedDevice("1002", "ours", "sealed", "d3"),
]


def sound(sha256: str) -> Path:
    return Path("/media/prompts") / sha256[:4]


def told(
    use: NumberUse = NumberUse.VOICE,
    rule: Rule | None = RULE,
    account: str = "ours",
    ringing: Ringing = EVERYBODY,
    channels: int | None = None,
    fax: FaxUse = FaxUse.NONE,
    unanswered_rule: Rule | None = None,
) -> dict[str, str]:
    arrival = Arrival(
        "n",
        account,
        "+81312345678",
        use,
        rule,
        fax=fax,
        ringing=ringing,
        channels=channels,
        unanswered_rule=unanswered_rule,
    )
    return number_settings(arrival, DEVICES, sound)


def test_who_rings() -> None:
    """All of the account, some at once, or one after the other; a device that is gone does not."""
    some = (("d3", 10), ("gone", 10), ("d1", 20), ("d2", 5))
    key = "+81312345678/devices"
    assert told(ringing=Ringing(True, some))[key] == "10:PJSIP/1002|20:PJSIP/1001"
    patient = (("d3", None), ("gone", 10), ("d1", None))
    assert told(ringing=Ringing(devices=patient))[key] == "99:PJSIP/1002&PJSIP/1001"


def test_some_ring_for_less_than_others() -> None:
    """Where all ring at once; in turn each has a turn for that."""
    some = (("d3", 10), ("d1", None))
    at_once = told(ringing=Ringing(devices=some, at_once_s=45))
    assert at_once["+81312345678/devices"] == "99:PJSIP/1002&PJSIP/1001:own"
    assert at_once["+81312345678/own_time/1002"] == "10"
    assert "+81312345678/own_time/1001" not in at_once
    assert at_once["+81312345678/ring"] == "45"
    assert not any("own_time" in key for key in told(ringing=Ringing(True, (("d3", 10),))))


def test_off_the_rule_of_the_ring_plan_is_told() -> None:
    """It takes messages of whom nobody answers; the number itself is OFF all the same."""
    told_now = told(rule=None, unanswered_rule=RULE)
    assert told_now["+81312345678/rusurepo"] == "off"
    assert told_now["+81312345678/rule"] == "rule-1"
    assert told_now["+81312345678/start_prompt"] == "/media/prompts/aaaa"


def test_who_is_blocked() -> None:
    """For one number by that, for all of an account by the account."""
    entries = [
        WantedBlock("+81312345678", EntryKind.NUMBER, "+819012345678", Treatment.BUSY),
        WantedBlock("ours", EntryKind.PREFIX, "+81120", Treatment.REJECT),
        WantedBlock("ours", EntryKind.WITHHELD, "", Treatment.RUSUREPO),
    ]
    assert blocked(entries) == {
        "+81312345678/+819012345678": "busy",
        "ours/+81120*": "reject",
        "ours/withheld": "rusurepo",
    }


def test_a_number_with_rusurepo() -> None:
    assert told() == {
        "+81312345678/use": "voice",
        "+81312345678/rusurepo": "on",
        "+81312345678/rule": "rule-1",
        "+81312345678/start_prompt": "/media/prompts/aaaa",
        "+81312345678/end_prompt": "/media/prompts/bbbb",
        "+81312345678/devices": "99:PJSIP/1001&PJSIP/1002",
        "+81312345678/ring": "60",
        "+81312345678/account": "ours",
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
    assert told(rule=None, account="nobody") == {
        "+81312345678/use": "voice",
        "+81312345678/rusurepo": "off",
        "+81312345678/ring": "60",
        "+81312345678/account": "nobody",
    }


def test_a_fax_number_says_so() -> None:
    assert told(use=NumberUse.FAX)["+81312345678/use"] == "fax"


def test_no_other_accounts_device_rings() -> None:
    assert "2001" not in told()["+81312345678/devices"]


def test_nothing_is_told_that_the_dialplan_does_not_read() -> None:
    patient = told(rule=replace(RULE, ring_first_s=5), channels=3, fax=FaxUse.SHARED)
    assert {key.partition("/")[2] for key in patient} == set(names.NUMBER_KEYS)
