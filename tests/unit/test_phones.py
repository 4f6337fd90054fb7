"""What telephones say of themselves, failed logins counted, a REGISTER of our own. All pure."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.phones.attempts import MOST_ADDRESSES, MOST_FAILURES, WINDOW, Attempt, Watch, attempt_of
from pbx.phones.contacts import Answer, answer_of, contact_of, next_to_ask
from pbx.phones.register import PROBE, Login, authorization, parse_response, request
from portal_api.user_agents import System, read_agent
from store.intruders import MOST_NEW_ROWS, OTHERS, Failures, gathered
from store.models import LoginFailure
from tests.sip.digest import Credentials, parse_challenge
from tests.sip.digest import authorization as as_phones_do
from tests.sip.message import Request, parse

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "system", "app"),
    [
        ("LinphoneAndroid/5.2.5 (Galaxy S21) LinphoneSDK/5.3.0", System.ANDROID, "LinphoneAndroid"),
        ("LinphoneiOS/5.2.0 (iPhone 13) LinphoneSDK/5.3.1", System.IOS, "LinphoneiOS"),
        ("Linphone-Desktop/5.2.4 (PC) Windows 11 Qt/5.15.2", System.WINDOWS, "Linphone-Desktop"),
        ("Linphonec/5.1.2 (belle-sip/5.2.0) Debian", System.LINUX, "Linphonec"),
        ("Zoiper rv2.10.19.5", System.UNKNOWN, "Zoiper"),
        ("MicroSIP/3.21.3", System.WINDOWS, "MicroSIP"),
        ("Telephone 1.6 (macOS 14.2)", System.MACOS, "Telephone"),
        ("baresip v3.9.0 (x86_64/Linux)", System.LINUX, "baresip"),
        ("Yealink SIP-T46S 66.86.0.15", System.DESK_PHONE, "Yealink SIP-T46S"),
        ("Acrobits Softphone/6.1 iOS", System.IOS, "Acrobits Softphone"),
        ("Bria Mobile Android 6.10", System.ANDROID, "Bria Mobile Android"),
        ("", System.UNKNOWN, ""),
        ("((((", System.UNKNOWN, ""),
        ("x" * 500, System.UNKNOWN, "x" * 60),
    ],
)
def test_user_agents(text: str, system: System, app: str) -> None:
    agent = read_agent(text)
    assert (agent.system, agent.app) == (system, app)
    assert agent.label


@given(st.text())
def test_any_user_agent_is_read(text: str) -> None:
    assert len(read_agent(text).app) <= 60


FAILED = {
    "Event": "ChallengeResponseFailed",
    "Service": "PJSIP",
    "AccountID": "1001",
    "SessionID": "abc",
    "RemoteAddress": "IPV4/UDP/192.0.2.9/5060",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Attempt("192.0.2.9", "1001", LoginFailure.WRONG_PASSWORD)),
        (
            {"Event": "InvalidAccountID", "AccountID": "admin\r\n"},
            Attempt("192.0.2.9", "admin", LoginFailure.UNKNOWN_DEVICE),
        ),
        (
            {"RemoteAddress": "IPV6/TLS/2001:db8::1/5061"},
            Attempt("2001:db8::1", "1001", LoginFailure.WRONG_PASSWORD),
        ),
        ({"AccountID": "<unknown>"}, None),
        ({"Service": "AMI"}, None),
        ({"Event": "SuccessfulAuth"}, None),
        ({"RemoteAddress": ""}, None),
        ({"SessionID": f"{PROBE}12"}, None),
    ],
)
def test_events(change: dict[str, str], expected: Attempt | None) -> None:
    assert attempt_of({**FAILED, **change}) == expected


def test_failures_count_within_a_minute() -> None:
    watch = Watch()
    attempt = Attempt("192.0.2.9", "1001", LoginFailure.WRONG_PASSWORD)
    seen = [watch.failed(attempt, NOON + timedelta(seconds=index)) for index in range(5)]
    assert seen == [1, 2, 3, 4, 5]
    assert watch.failed(attempt, NOON + WINDOW) == 5, "the first is a minute old"
    assert watch.failed(Attempt("192.0.2.10", "1001", LoginFailure.WRONG_PASSWORD), NOON) == 1
    (one, _) = watch.take()
    assert (one.count, one.first_at, one.last_at) == (6, NOON, NOON + WINDOW)
    assert watch.take() == []
    watch.put_back([one])
    watch.failed(attempt, NOON + timedelta(minutes=9))
    (again,) = watch.take()
    assert (again.count, again.first_at) == (7, NOON)


def test_an_address_fails_too_often_once() -> None:
    watch = Watch()
    names = [
        Attempt("192.0.2.9", str(name), LoginFailure.UNKNOWN_DEVICE) for name in range(MOST_FAILURES + 1)
    ]
    assert max(watch.failed(name, NOON) for name in names) == MOST_FAILURES
    watch.forget("192.0.2.9")
    assert watch.failed(names[0], NOON) == 1


def test_forged_addresses_fill_no_memory() -> None:
    watch = Watch()
    for number in range(MOST_ADDRESSES + 500):
        watch.failed(Attempt(f"10.{number}", "x", LoginFailure.UNKNOWN_DEVICE), NOON)
    assert len(watch._recent) == MOST_ADDRESSES


def test_thousands_of_names_become_few_rows() -> None:
    many = [
        Failures("192.0.2.9", str(name), LoginFailure.UNKNOWN_DEVICE, 2, NOON, NOON) for name in range(5000)
    ]
    told = gathered(many)
    assert len(told) <= MOST_NEW_ROWS
    assert sum(one.count for one in told) == 10000
    assert [one.username for one in told if one.count > 2] == [OTHERS]


TOLD = {
    "via_addr": "192.0.2.5",
    "via_port": "33374",
    "uri": "sip:1001@192.0.2.5:33374",
    "user_agent": "MicroSIP/3.21.3",
    "expiration_time": "1795530056",
    "endpoint": "1001",
}


def test_a_contact() -> None:
    contact = contact_of("1001;@59aac5cca7d6c1d7", json.dumps(TOLD))
    assert contact is not None
    assert (contact.username, contact.address) == ("1001", "192.0.2.5:33374")
    assert contact.expires_at == datetime(2026, 11, 24, 14, 20, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("1001", json.dumps(TOLD)),
        ("1001;@a", "{"),
        ("1001;@a", "[]"),
        ("1001;@a", "{}"),
        ("1001;@a", json.dumps({**TOLD, "expiration_time": "never"})),
        ("1001;@a", json.dumps({**TOLD, "expiration_time": "9" * 30})),
    ],
)
def test_what_is_no_contact(key: str, value: str) -> None:
    assert contact_of(key, value) is None


@pytest.mark.parametrize(
    ("status", "roundtrip", "expected"),
    [
        ("Reachable", "12345", Answer(True, 12.345)),
        ("Reachable", "0", Answer(True, None)),
        ("Unreachable", "777", Answer(False, None)),
        ("NonQualified", "N/A", Answer()),
        ("", "", Answer()),
    ],
)
def test_answers(status: str, roundtrip: str, expected: Answer) -> None:
    assert answer_of(status, roundtrip) == expected


def test_newcomers_are_asked_first_and_then_everybody_in_turn() -> None:
    assert next_to_ask(["a", "b", "c"], {"a": 2.0, "c": 1.0}, 2) == ["b", "c"]


LOGIN = Login("127.0.0.1", 5060, "1001", "secret")


@pytest.mark.parametrize("qop", ["", ', qop="auth"'])
def test_the_answer_to_a_challenge_is_what_phones_give(qop: str) -> None:
    header = f'Digest realm="asterisk", nonce="1/ab", opaque="9", algorithm=MD5{qop}'
    packet = (
        f"SIP/2.0 401 Unauthorized\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nWWW-Authenticate: {header}\r\n\r\n"
    )
    response = parse_response(packet.encode(), "c", 1)
    assert response is not None
    ours = authorization(LOGIN, response.challenge, "n0")
    theirs = as_phones_do(
        parse_challenge(header), Credentials("1001", "secret"), "REGISTER", "sip:127.0.0.1:5060", "n0"
    )
    assert set(ours.removeprefix("Digest ").split(", ")) == set(theirs.removeprefix("Digest ").split(", "))


def test_only_the_right_response_counts() -> None:
    packet = b"SIP/2.0 200 OK\r\nCall-ID: c\r\nCSeq: 2 REGISTER\r\n\r\n"
    assert parse_response(packet, "c", 2) is not None
    for wrong in (
        parse_response(packet, "d", 2),
        parse_response(packet, "c", 1),
        parse_response(b"", "c", 2),
    ):
        assert wrong is None
    assert parse_response(packet.replace(b"200 OK", b"junk"), "c", 2) is None


def test_a_request_is_sip() -> None:
    everything = parse(request(LOGIN, f"{PROBE}12345678", 1, "127.0.0.1:4000"))
    assert isinstance(everything, Request)
    assert (everything.headers.get("Contact"), everything.headers.get("Expires")) == ("*", "0")
    nothing = parse(request(LOGIN, f"{PROBE}12345678", 2, "127.0.0.1:4000", "Digest x", all_out=False))
    assert not nothing.headers.get("Contact")
    assert nothing.headers.get("Authorization") == "Digest x"
