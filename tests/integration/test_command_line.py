"""`python -m denwaban`, as an operator types it."""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from denwaban.__main__ import main
from store.database import open_database
from store.media import Media
from store.models import AuditEntry, DidLocation, NotificationRule, NotificationService, Schedule, Trunk
from store.sealing import seal, unseal
from store.tokens import identify
from tests.furnishing import SECRET_KEY, furnish

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
WEBHOOK = {"url": "https://example.jp/very-secret"}


class Instance:
    """An instance of the switch that does not run, at a terminal."""

    def __init__(self, var: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.var = var
        self.database_url = f"sqlite+aiosqlite:///{var}/denwaban.db"
        self.media = Media(var / "media")
        self._patch = patch
        self._capsys = capsys

    def plain(self, *arguments: str) -> str:
        self._patch.setenv("DENWABAN_VAR", str(self.var))
        main(list(arguments))
        return self._capsys.readouterr().out

    def __call__(self, *arguments: str) -> dict[str, Any]:
        return dict(json.loads(self.plain(*arguments)))

    def refused(self, *arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            self.plain(*arguments)
        self._capsys.readouterr()
        return str(stopped.value.code)

    async def rows(self, of: Any) -> list[Any]:
        database = open_database(self.database_url)
        async with database.session() as session:
            found = list(await session.scalars(of))
        await database.close()
        return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Instance:
    for name in [name for name in os.environ if name.startswith("DENWABAN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DENWABAN_SECRET_KEY", SECRET_KEY)
    monkeypatch.chdir(tmp_path)
    return Instance(tmp_path / "here", monkeypatch, capsys)


@pytest.fixture
def there(here: Instance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Instance:
    """Another instance, on another machine."""
    return Instance(here.var.with_name("there"), monkeypatch, capsys)


def test_trunks(here: Instance, tmp_path: Path) -> None:
    """By the rules of the API; the password comes from a file and is shown nowhere."""
    (tmp_path / "password").write_text("s3cret!\n")
    uri = "sip:carrier.example;transport=tcp"
    login = ("--registers", "--username", "0312345678", "--password-file", str(tmp_path / "password"))
    made = here("trunk", "create", "回線1", "--uri", uri, "--accept", "192.0.2.7/24", "--did", "to", *login)
    (shown,) = here("trunk", "list")["trunks"]
    assert (shown["id"], shown["uri"], shown["registrations"]) == (made["id"], uri, [])
    (trunk,) = asyncio.run(here.rows(select(Trunk)))
    assert (trunk.accept, trunk.did_location, trunk.codecs) == (
        ["192.0.2.0/24"],
        DidLocation.TO,
        ["ulaw", "alaw"],
    )
    assert unseal(trunk.sealed_password, SECRET_KEY) == "s3cret!"
    assert "s3cret" not in here.plain("trunk", "list")
    assert here.refused("trunk", "create", "回線1", "--uri", uri) == "denwaban: name_taken"
    assert here.refused("trunk", "create", "回線2", "--uri", "sip:a b") == "denwaban: uri: sip_uri"
    bad_network = ("trunk", "create", "回線2", "--uri", uri, "--accept", "300.0.0.0/8")
    assert here.refused(*bad_network) == "denwaban: accept: network"
    assert here.refused("trunk", "create", "回線2", "--uri", uri, "--registers").endswith(": required")
    too_late = ("trunk", "create", "回線2", "--uri", uri, "--priority", "1000")
    assert here.refused(*too_late) == "denwaban: priority: out_of_range"
    assert here("trunk", "delete", "回線1") == {"id": made["id"], "deleted": True}
    assert here("trunk", "list")["trunks"] == []
    assert "no such thing" in here.refused("trunk", "delete", "回線1")


def test_a_month_without_calls_is_made_again(here: Instance) -> None:
    here("account", "create", "あさひ")
    told = here("calls", "recompute", "--month", "2026-11")
    assert (told["legs"], told["events_since"], told["differences"]) == (0, None, [])
    assert here.refused("calls", "recompute", "--month", "2026-13") == "2"


def test_a_customer_is_set_up(here: Instance) -> None:
    account = here("account", "create", "あさひ")["id"]
    number = here("number", "create", "03-1234-5678", "--account", "あさひ", "--name", "代表")
    assert (number["e164"], number["use"]) == ("+81312345678", "voice")
    device = here("device", "create", "--account", account, "--username", "desk1")
    assert len(device["password"]) == 24
    user = here("user", "create", "Taro", "--role", "member", "--account", account, "--device", device["id"])
    assert (user["login"], len(user["password"])) == ("taro", 16)
    token = here("token", "create", "--role", "read_only", "--account", account, "--scope", "messages:read")
    database = open_database(here.database_url)

    async def identified(secret: str) -> Any:
        async with database.session() as session:
            identity = await identify(session, secret)
        await database.close()
        return identity

    identity = asyncio.run(identified(token["token"]))
    assert (identity.account_id, identity.scopes) == (account, frozenset({"messages:read"}))
    assert here("account", "list")["accounts"] == [{"id": account, "name": "あさひ"}]
    assert [one["e164"] for one in here("number", "list", "--account", account)["numbers"]] == [
        "+81312345678"
    ]
    assert [one["username"] for one in here("device", "list", "--account", account)["devices"]] == ["desk1"]
    assert here("token", "revoke", token["id"][:8])["revoked"] is True
    assert asyncio.run(identified(token["token"])) is None
    assert here("user", "reset-password", "TARO")["password"] != user["password"]
    log = asyncio.run(here.rows(select(AuditEntry)))
    assert {entry.actor_kind.value for entry in log} == {"terminal"}
    assert {"accounts", "phone_numbers", "devices", "users", "tokens"} <= {entry.object_kind for entry in log}


def test_the_first_operators_token_stands_alone(here: Instance) -> None:
    secret = here.plain("token", "create", "--role", "operator", "--bare")
    assert secret.startswith("dwb_")
    assert secret.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["number", "create", "0312345678", "--account", "nobody"], "no such thing"),
        (["number", "create", "12", "--account", "あさひ"], "no phone number"),
        (["number", "create", "0398765432", "--account", "あさひ"], "number_taken"),
        (["token", "create", "--role", "administrator"], "account_id"),
        (["user", "create", "x-y-z", "--role", "operator", "--account", "あさひ"], "role"),
        (["user", "reset-password", "nobody"], "no such thing"),
        (["account", "export", "あさひ", "taken.json"], "there already"),
        (["account", "import", "taken.json"], "cannot be read"),
        (["check-backup", "taken.json"], "cannot be read"),
        (["restore", "none.tar"], "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(here: Instance, tmp_path: Path, arguments: list[str], said: str) -> None:
    here("account", "create", "あさひ")
    here("number", "create", "0398765432", "--account", "あさひ")
    (tmp_path / "taken.json").write_text("taken")
    refusal = here.refused(*arguments)
    assert refusal.startswith("denwaban: ")
    assert said in refusal


def test_status(here: Instance) -> None:
    assert here.refused("status") == "1"
    here("account", "create", "あさひ")
    here.refused("status")


async def furnished(here: Instance) -> str:
    """An account with everything; its id."""
    database = open_database(here.database_url)
    async with database.session() as session:
        account = await furnish(session, here.media, "株式会社あさひ", "+81312345678")
        rule = NotificationRule(account_id=account.account_id, name="営業", mail_addresses=["a@example.jp"])
        session.add(rule)
        plan = {"weekly": {}, "default_rule_id": account.rule_id}
        session.add(
            Schedule(account_id=account.account_id, number_id=account.number_id, enabled=True, plan=plan)
        )
        await session.flush()
        sealed = seal(json.dumps(WEBHOOK), SECRET_KEY)
        session.add(NotificationService(rule_id=rule.id, kind="webhook", label="窓口", sealed_config=sealed))
    await database.close()
    return account.account_id


def test_an_account_moves_with_its_secrets(here: Instance, there: Instance, tmp_path: Path) -> None:
    here("account", "list")
    account = asyncio.run(furnished(here))
    here("account", "export", account, "asahi.json", "--secrets")
    assert (tmp_path / "asahi.json").stat().st_mode & 0o777 == 0o600
    made = there("account", "import", "asahi.json")
    assert made["account_id"] != account
    assert (made["devices"], made["left_out"]) == ([], [])
    (service,) = asyncio.run(there.rows(select(NotificationService)))
    assert json.loads(unseal(service.sealed_config, SECRET_KEY)) == WEBHOOK
    # What stands in JSON refers to the new things too.
    (schedule,) = asyncio.run(there.rows(select(Schedule)))
    again = "again.json"
    there("account", "export", made["account_id"], again, "--secrets")
    moved = json.loads((tmp_path / again).read_text())
    assert schedule.plan["default_rule_id"] == moved["tables"]["rusurepo_rules"][0]["id"]
    before = json.loads((tmp_path / "asahi.json").read_text())
    assert moved["files"] == before["files"]
    assert len(before["files"]) == 2
    assert {name: len(rows) for name, rows in moved["tables"].items()} == {
        name: len(rows) for name, rows in before["tables"].items()
    }
    assert there.refused("account", "import", "asahi.json").endswith("number_taken")


def test_an_account_moves_without_its_secrets(here: Instance, there: Instance, tmp_path: Path) -> None:
    here("account", "list")
    account = asyncio.run(furnished(here))
    here("account", "export", account, "asahi.json")
    assert "very-secret" not in (tmp_path / "asahi.json").read_text()
    made = there("account", "import", "asahi.json")
    assert [len(one["password"]) for one in made["devices"]] == [24]
    assert made["left_out"] == [{"kind": "notification_services", "label": "窓口"}]


def test_back_up_and_restore(here: Instance, there: Instance) -> None:
    here("account", "list")
    asyncio.run(furnished(here))
    told = here("backup", "all.tar")
    assert (told["rows"]["voice_messages"], told["missing"]) == (1, [])
    assert there("check-backup", "all.tar")["rows"] == told["rows"]
    assert there("restore", "all.tar")["rows"] == told["rows"]
    assert there("account", "list") == here("account", "list")


def test_nothing_is_restored_under_a_running_instance(here: Instance, there: Instance) -> None:
    here("account", "create", "あさひ")
    here("backup", "all.tar")
    there.var.mkdir()
    with (there.var / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "stop it first" in there.refused("restore", "all.tar")
    assert there("restore", "all.tar")


def test_as_a_process(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DENWABAN_")}
    ran = subprocess.run(
        [sys.executable, "-m", "denwaban", "status"],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, json.loads(ran.stdout)["ready"]) == (1, False)
    assert "Traceback" not in ran.stderr
