"""What a customer may enter for each service, and what is said about the rest."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import ValidationError

from settings import NotificationSettings
from store.notification_services import (
    KINDS,
    MASK,
    Fields,
    Kind,
    dump_fields,
    load_fields,
    masked,
    parse_fields,
    secret_fields,
)
from tests.doubles.line_works import private_key_pem

pytestmark = pytest.mark.unit

REAL = NotificationSettings()
TEAMS = (
    "https://0123456789abcdef.01.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/"
    "abc/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=SECRET-teams_x"
)
GIVEN: dict[Kind, dict[str, Any]] = {
    "slack": {"token": "xoxb-SECRET-1234", "channel_id": "C0123ABCD"},
    "chatwork": {"token": "SECRET6789abcdef0123456789abcdef", "room_id": "123456789"},
    "teams": {"url": TEAMS},
    "line": {"token": "SECRET/token+" * 14 + "=", "to": "U0123456789abcdef0123456789abcdef"},
    "line_works": {
        "client_id": "client",
        "client_secret": "SECRETsecret",
        "service_account": "abcde.serviceaccount@works.example",
        "private_key": private_key_pem(),
        "bot_id": "2000001",
        "channel_id": "01234567-89ab-cdef-0123-456789abcdef",
    },
    "google_chat": {
        "url": "https://chat.googleapis.com/v1/spaces/AAAA-_1/messages?key=SECRET&token=SECRET%3D"
    },
    "webhook": {"url": "https://hooks.customer.example/in?token=SECRET-1", "secret": "SECRET-of-the-webhook"},
    "mail": {"address": "info@customer.example"},
}
all_kinds = pytest.mark.parametrize("kind", KINDS)


def parsed(kind: Kind, allowed: NotificationSettings = REAL, **changes: Any) -> Fields:
    return parse_fields(kind, GIVEN[kind] | changes, allowed)


def refused(kind: Kind, changes: Mapping[str, Any], allowed: NotificationSettings = REAL) -> list[str]:
    with pytest.raises(ValidationError) as wrong:
        parse_fields(kind, GIVEN[kind] | dict(changes), allowed)
    assert "SECRET" not in str(wrong.value)
    return [f"{error['loc'][0]}: {error['type']}" for error in wrong.value.errors()]


@all_kinds
def test_what_is_entered_is_kept_and_read_again(kind: Kind) -> None:
    fields = parsed(kind)
    assert fields.model_dump(exclude={"kind"}) == GIVEN[kind]
    assert load_fields(dump_fields(fields), REAL) == fields


@all_kinds
def test_no_secret_shows(kind: Kind) -> None:
    fields = parsed(kind)
    shown = masked(fields)
    assert set(shown) == set(GIVEN[kind])
    assert "SECRET" not in repr(fields) + str(fields) + str(shown)
    assert all(MASK in shown[name] for name in secret_fields(fields))
    assert "PRIVATE" not in str(shown) + repr(fields)


def test_what_helps_to_recognise_a_secret_shows() -> None:
    assert masked(parsed("slack"))["token"] == "••••1234"
    assert masked(parsed("google_chat"))["url"] == "https://chat.googleapis.com/••••T%3D"
    assert masked(parsed("line_works"))["client_secret"] == "••••"


@all_kinds
def test_in_an_edit_a_masked_or_absent_secret_stays(kind: Kind) -> None:
    kept = parsed(kind)
    assert parse_fields(kind, masked(kept), REAL, kept) == kept
    without = {name: value for name, value in GIVEN[kind].items() if name not in secret_fields(kept)}
    assert parse_fields(kind, without, REAL, kept) == kept
    nulls = without | dict.fromkeys(secret_fields(kept))
    assert parse_fields(kind, nulls, REAL, kept) == kept


@all_kinds
def test_a_mask_is_no_secret(kind: Kind) -> None:
    """Nothing was kept, or what was kept is of another kind."""
    shown = masked(parsed(kind))
    other = parsed("mail" if kind != "mail" else "slack")
    required = {name for name in secret_fields(parsed(kind)) if name != "secret"}
    for kept in (None, other):
        if required:
            with pytest.raises(ValidationError) as wrong:
                parse_fields(kind, shown, REAL, kept)
            assert {error["loc"][0] for error in wrong.value.errors()} == required


@all_kinds
def test_what_comes_along_in_pasting_goes(kind: Kind) -> None:
    padded = {name: f"\u3000\ufeff {value}\r\n" for name, value in GIVEN[kind].items()}
    assert parse_fields(kind, padded, REAL) == parsed(kind)


@all_kinds
def test_unknown_and_missing_fields(kind: Kind) -> None:
    assert refused(kind, {"colour": "red"}) == ["colour: extra_forbidden"]
    for name in GIVEN[kind]:
        if name != "secret":
            with pytest.raises(ValidationError):
                parse_fields(kind, {key: value for key, value in GIVEN[kind].items() if key != name}, REAL)
        assert refused(kind, {name: 5}) == [f"{name}: string_type"]


@pytest.mark.parametrize(
    ("kind", "changes", "refusal"),
    [
        ("slack", {"token": "xoxp-SECRET"}, "token: slack_user_token"),
        ("slack", {"token": "SECRET"}, "token: slack_token"),
        ("slack", {"token": "xoxb-SECRET and more"}, "token: token"),
        ("slack", {"channel_id": "#general"}, "channel_id: slack_channel"),
        ("slack", {"channel_id": "U0123ABCD"}, "channel_id: slack_channel"),
        ("chatwork", {"room_id": "営業部"}, "room_id: chatwork_room"),
        ("chatwork", {"token": "SECRET\nx"}, "token: token"),
        ("teams", {"url": "https://x.webhook.office.com/webhookb2/SECRET"}, "url: teams_connector_ended"),
        ("teams", {"url": "https://outlook.office.com/webhook/SECRET"}, "url: teams_connector_ended"),
        ("teams", {"url": "https://outlook.office365.com/webhook/SECRET"}, "url: teams_connector_ended"),
        ("teams", {"url": "https://prod-1.eu.logic.azure.com:443/SECRET"}, "url: teams_url_ended"),
        ("teams", {"url": "https://api.powerplatform.com.evil.example/SECRET"}, "url: teams_url"),
        ("teams", {"url": "https://evilapi.powerplatform.com/SECRET"}, "url: teams_url"),
        ("teams", {"url": "https://a.api.powerplatform.com:8443/SECRET"}, "url: teams_url"),
        ("teams", {"url": "http://a.api.powerplatform.com/SECRET"}, "url: teams_url"),
        ("teams", {"url": "https://a.api.powerplatform.com@evil.example/SECRET"}, "url: url"),
        ("teams", {"url": "https://evil.example\\.api.powerplatform.com/SECRET"}, "url: url"),
        ("teams", {"url": "https://evil.example#.api.powerplatform.com/SECRET"}, "url: url"),
        ("teams", {"url": "https://evil.example/SECRET?.api.powerplatform.com"}, "url: teams_url"),
        ("teams", {"url": f"{TEAMS} {TEAMS}"}, "url: url"),
        ("line", {"token": "SECRET" + "a" * 37}, "token: line_notify_ended"),
        ("line", {"to": "@taro"}, "to: line_to"),
        ("line", {"to": "U0123456789ABCDEF0123456789ABCDEF"}, "to: line_to"),
        ("line_works", {"private_key": "SECRET"}, "private_key: private_key"),
        ("line_works", {"service_account": "abcde"}, "service_account: service_account"),
        ("line_works", {"bot_id": "1/../2"}, "bot_id: id"),
        ("line_works", {"channel_id": "a/b"}, "channel_id: id"),
        (
            "google_chat",
            {"url": "https://chat.googleapis.com/v1/spaces/A/messages?key=SECRET"},
            "url: google_chat_url",
        ),
        (
            "google_chat",
            {"url": "https://chat.google.com/v1/spaces/A/messages?key=SECRET&token=b"},
            "url: google_chat_url",
        ),
        (
            "google_chat",
            {"url": "https://chat.googleapis.com/v1/media/A?key=SECRET&token=b"},
            "url: google_chat_url",
        ),
        ("webhook", {"url": "http://hooks.customer.example/SECRET"}, "url: https_required"),
        ("webhook", {"url": "https://127.0.0.1/SECRET"}, "url: private_address"),
        ("webhook", {"url": "https://[::ffff:10.0.0.1]/SECRET"}, "url: private_address"),
        ("webhook", {"url": "https://169.254.169.254/SECRET"}, "url: private_address"),
        ("webhook", {"url": "https://user:SECRET@hooks.customer.example/"}, "url: url"),
        ("webhook", {"url": "ftp://hooks.customer.example/SECRET"}, "url: https_required"),
        ("webhook", {"url": "https://hooks.customer.example:0/SECRET"}, "url: url"),
        ("webhook", {"url": "https://hooks.customer.example:99999/SECRET"}, "url: url"),
        ("webhook", {"url": "https://[::1/SECRET"}, "url: url"),
        ("webhook", {"url": f"https://hooks.customer.example/{'SECRET' * 400}"}, "url: string_too_long"),
        ("webhook", {"secret": "SECRET"}, "secret: webhook_secret"),
        ("mail", {"address": "info"}, "address: mail_address"),
        ("mail", {"address": "a@b.example\r\nBcc: c@d.example"}, "address: mail_address"),
        ("mail", {"address": "a@b.example, c@d.example"}, "address: mail_address"),
        ("mail", {"address": "<a@b.example>"}, "address: mail_address"),
        ("mail", {"address": "日本@b.example"}, "address: mail_address"),
        ("mail", {"address": f"{'a' * 65}@b.example"}, "address: mail_address"),
    ],
)
def test_what_is_refused(kind: Kind, changes: dict[str, str], refusal: str) -> None:
    assert refused(kind, changes) == [refusal]


def test_refusals_of_ours_are_in_japanese() -> None:
    with pytest.raises(ValidationError) as wrong:
        parsed("line", token="a" * 43, to="taro")
    assert all(not error["msg"].isascii() for error in wrong.value.errors())
    assert "Messaging API" in wrong.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "pasted",
    [
        "https://www.chatwork.com/#!rid123456789",
        "rid123456789",
        "https://kcw.kddi.ne.jp/#!rid123456789-98765",
    ],
)
def test_a_chatwork_room_by_its_url(pasted: str) -> None:
    assert parsed("chatwork", room_id=pasted).model_dump()["room_id"] == "123456789"


@pytest.mark.parametrize(
    "pasted", ["https://x.slack.com/archives/C0123ABCD", "https://app.slack.com/client/T0123/C0123ABCD/"]
)
def test_a_slack_channel_by_its_url(pasted: str) -> None:
    assert parsed("slack", channel_id=pasted).model_dump()["channel_id"] == "C0123ABCD"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pem: pem.replace("\n", " "),
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: pem.replace("\n", "\\r\\n"),
        lambda pem: pem.replace("\n", ""),
        lambda pem: re.sub("(?m)^", "    ", pem),
        lambda pem: f"Bag Attributes\n{pem}trailing",
    ],
)
def test_a_private_key_is_mended(spoil: Any) -> None:
    mended = parsed("line_works", private_key=spoil(private_key_pem())).model_dump()["private_key"]
    assert mended == private_key_pem()


def pem_of(key: Any, form: PrivateFormat, lock: KeySerializationEncryption | None = None) -> str:
    pem: bytes = key.private_bytes(Encoding.PEM, form, lock or NoEncryption())
    return pem.decode()


def test_the_older_form_of_a_key_is_taken() -> None:
    key = load_pem_private_key(private_key_pem().encode(), None)
    older = pem_of(key, PrivateFormat.TraditionalOpenSSL)
    assert parsed("line_works", private_key=older).model_dump()["private_key"] == older


def test_keys_that_cannot_sign_for_us() -> None:
    curve = pem_of(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8)
    short = pem_of(rsa.generate_private_key(65537, 1024), PrivateFormat.PKCS8)
    locked = pem_of(
        load_pem_private_key(private_key_pem().encode(), None),
        PrivateFormat.PKCS8,
        BestAvailableEncryption(b"x"),
    )
    half = private_key_pem()[:800] + "\n-----END PRIVATE KEY-----\n"
    for pem in (curve, short, locked, half, private_key_pem()[:800]):
        assert refused("line_works", {"private_key": pem}) == ["private_key: private_key"]


def test_a_webhook_gets_a_secret_of_its_own() -> None:
    made = [
        parse_fields("webhook", {"url": "https://hooks.customer.example/"}, REAL).model_dump()["secret"]
        for _ in range(2)
    ]
    assert made[0] != made[1]
    assert min(map(len, made)) >= 32


def test_where_the_operator_permits_more() -> None:
    inside = NotificationSettings(
        teams_hosts=("127.0.0.1:9001", "*.teams.example"), webhook_networks=("10.0.0.0/8",)
    )
    for url in ("http://127.0.0.1:9001/x", "https://127.0.0.1:9001/x", "https://a.teams.example/x"):
        parsed("teams", inside, url=url)
    for url in ("http://127.0.0.1:9002/x", "http://a.teams.example/x", TEAMS):
        assert refused("teams", {"url": url}, inside) == ["url: teams_url"]
    parsed("webhook", inside, url="http://10.1.2.3:8000/x")
    assert refused("webhook", {"url": "http://hooks.customer.example/"}, inside) == ["url: https_required"]
    assert refused("webhook", {"url": "http://8.8.8.8/"}, inside) == ["url: https_required"]


def test_what_was_kept_is_judged_by_the_settings_of_now() -> None:
    kept = dump_fields(
        parsed("webhook", NotificationSettings(webhook_networks=("10.0.0.0/8",)), url="https://10.1.2.3/")
    )
    with pytest.raises(ValidationError):
        load_fields(kept, REAL)


@pytest.mark.parametrize(
    "address", ["a..b@docomo.ne.jp", "a.@ezweb.ne.jp", "a+b@customer.example", "a@localhost"]
)
def test_mail_addresses_that_exist(address: str) -> None:
    assert masked(parsed("mail", address=address)) == {"address": address}
