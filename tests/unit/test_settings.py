import json
import os
import re
import stat
from pathlib import Path

import pytest

from settings import Settings, SettingsRefused, read_settings
from settings.environment import LOOPBACK_ONLY, PortRange

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
SECRETS = {
    f"DENWABAN_{name}": f"{name.lower().replace('_', '-')}-of-a-test"
    for name in ("ARI_PASSWORD", "AMI_PASSWORD", "SECRET_KEY")
}


def refused(environment: dict[str, str], folder: Path) -> list[str]:
    with pytest.raises(SettingsRefused) as refusal:
        read_settings(environment, folder)
    assert all(problem in str(refusal.value) for problem in refusal.value.problems)
    return refusal.value.problems


def production(folder: Path, **changes: str) -> Settings:
    given = {f"DENWABAN_{name}": value for name, value in changes.items()}
    return read_settings({"DENWABAN_MODE": "production", **SECRETS, **given}, folder)


def test_nothing_need_be_set(tmp_path: Path) -> None:
    settings = read_settings({}, tmp_path)
    assert settings.embedded
    assert settings.var == tmp_path / "var"
    assert settings.trunk_accept == LOOPBACK_ONLY
    assert settings.api_url == "http://127.0.0.1:8080"
    assert settings.ari_connect_port == settings.ari_port == 8088
    assert settings.rtp_ports == PortRange(10000, 19999)
    assert settings.database_url == f"sqlite+aiosqlite:///{tmp_path}/var/denwaban.db"


def test_secrets_are_made_once_and_kept_for_us_alone(tmp_path: Path) -> None:
    first, second = read_settings({}, tmp_path), read_settings({}, tmp_path)
    assert first == second
    assert len({first.ari_password, first.ami_password, first.secret_key}) == 3
    assert min(len(first.ari_password), len(first.ami_password), len(first.secret_key)) >= 32
    assert stat.S_IMODE((tmp_path / "var" / "secrets.json").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["secrets.json"]


def test_a_given_secret_goes_before_the_kept_one(tmp_path: Path) -> None:
    kept = read_settings({}, tmp_path)
    settings = read_settings({"DENWABAN_ARI_PASSWORD": "given"}, tmp_path)
    assert settings.ari_password == "given"
    assert settings.secret_key == kept.secret_key


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ari_password": "x"}'])
def test_damaged_secrets_are_told_and_not_made_anew(tmp_path: Path, content: str) -> None:
    read_settings({}, tmp_path)
    (tmp_path / "var" / "secrets.json").write_text(content)
    (problem,) = refused({}, tmp_path)
    assert "secrets.json is damaged" in problem
    assert (tmp_path / "var" / "secrets.json").read_text() == content


def test_production_makes_no_secret(tmp_path: Path) -> None:
    problems = refused({"DENWABAN_MODE": "production"}, tmp_path)
    assert [re.search(r"DENWABAN_\w+", problem)[0] for problem in problems] == list(SECRETS)  # type: ignore[index]
    assert not (tmp_path / "var").exists()


def test_production_refuses_short_secrets(tmp_path: Path) -> None:
    problems = refused({"DENWABAN_MODE": "production", **SECRETS, "DENWABAN_SECRET_KEY": "short"}, tmp_path)
    assert len(problems) == 1
    assert "too short" in problems[0]


def test_production_may_listen_to_the_world(tmp_path: Path) -> None:
    settings = production(tmp_path, BIND="0.0.0.0", TRUNK_ACCEPT="192.0.2.1, 198.51.100.0/24")
    assert settings.trunk_accept == ("192.0.2.1/32", "198.51.100.0/24")
    assert settings.api_url == "http://127.0.0.1:8080"
    assert not settings.embedded


@pytest.mark.parametrize(
    ("bind", "url"),
    [("::1", "http://[::1]:8080"), ("::", "http://[::1]:8080"), ("192.0.2.1", "http://192.0.2.1:8080")],
)
def test_the_api_is_reached_where_it_listens(tmp_path: Path, bind: str, url: str) -> None:
    assert production(tmp_path, BIND=bind).api_url == url


BAD = {
    "MODE": "staging",
    "NODE": "my node",
    "VAR": "a,b",
    "BIND": "localhost",
    "SIP_PORT": "0",
    "SIP_TLS_PORT": "sip",
    "SIP_WSS_PORT": "70000",
    "TLS_CERT": "missing.pem",
    "TLS_KEY": "missing.key",
    "RTP_PORTS": "10000",
    "UDPTL_PORTS": "5000-4000",
    "ARI_PORT": "-1",
    "ARI_CONNECT_PORT": "8088.5",
    "AMI_PORT": "x",
    "AGI_PORT": "65536",
    "API_PORT": "http",
    "DATABASE_URL": "mysql://x",
    "TRUNK_URI": "tel:0312345678",
    "TRUNK_ACCEPT": "192.0.2.0/33",
    "DIALPLAN_EXTRA": "missing.conf",
    "LOG_LEVEL": "LOUD",
    "ARI_PASSWORD": "semi;colon-in-a-password",
    "AMI_PASSWORD": "line\nbreak-in-a-password",
    "SLACK_URL": "slack.com/api",
    "CHATWORK_URL": "ftp://chatwork.example",
    "LINE_URL": "https://line.example/?x=1",
    "LINEWORKS_URL": "https://user:password@works.example",
    "LINEWORKS_AUTH_URL": "https://",
    "TEAMS_HOSTS": "https://teams.example",
    "GOOGLE_CHAT_HOSTS": "*",
    "WEBHOOK_NETWORKS": "localhost",
    "SMTP_URL": "http://user:password@mail.example",
    "MAIL_FROM": "denwaban",
    "SESSION_HOURS": "0",
    "API_REQUESTS_PER_S": "-1",
    "TRUSTED_PROXIES": "proxy.example",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_named(tmp_path: Path, name: str) -> None:
    problems = refused({f"DENWABAN_{name}": BAD[name]}, tmp_path)
    assert len(problems) == 1
    assert problems[0].startswith(f"DENWABAN_{name}")
    assert not (tmp_path / "var").exists()


def test_all_bad_values_are_told_at_once(tmp_path: Path) -> None:
    problems = refused({f"DENWABAN_{name}": value for name, value in BAD.items()}, tmp_path)
    told = {found for problem in problems for found in re.findall(r"^DENWABAN_(\w+)", problem)}
    assert told == set(BAD)


def test_the_mail_servers_password_is_neither_told_nor_shown(tmp_path: Path) -> None:
    (problem,) = refused({"DENWABAN_SMTP_URL": "smtp://user:hush@mail.example:port"}, tmp_path)
    assert "hush" not in problem
    settings = read_settings({"DENWABAN_SMTP_URL": "smtp://user:hush@mail.example"}, tmp_path)
    assert settings.notifications.smtp_url == "smtp://user:hush@mail.example"
    assert "hush" not in repr(settings)


def test_notifications_go_where_the_operator_says(tmp_path: Path) -> None:
    given = {"SLACK_URL": "http://127.0.0.1:9000/api/", "TEAMS_HOSTS": "127.0.0.1:9001, *.Teams.example"}
    settings = read_settings({f"DENWABAN_{name}": value for name, value in given.items()}, tmp_path)
    assert settings.notifications.slack_url == "http://127.0.0.1:9000/api"
    assert settings.notifications.teams_hosts == ("127.0.0.1:9001", "*.teams.example")
    assert settings.notifications.webhook_networks == ()


@pytest.mark.parametrize("uri", ["sip:", "sips", "sip:a b", "sip:a\tb", "<sip:a>", 'sip:"a"', "http://a"])
def test_what_is_no_sip_uri(tmp_path: Path, uri: str) -> None:
    assert len(refused({"DENWABAN_TRUNK_URI": uri}, tmp_path)) == 1


@pytest.mark.parametrize("accept", ["0.0.0.0/0", "::/0", "126.0.0.0/7", "127.0.0.0/8,192.0.2.1", "10.0.0.1"])
def test_the_demo_takes_calls_from_loopback_only(tmp_path: Path, accept: str) -> None:
    assert "loopback" in refused({"DENWABAN_TRUNK_ACCEPT": accept}, tmp_path)[0]


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1"])
def test_the_demo_listens_on_loopback_only(tmp_path: Path, bind: str) -> None:
    assert "loopback" in refused({"DENWABAN_BIND": bind}, tmp_path)[0]


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"API_PORT": "8088"}, ["ARI_PORT", "API_PORT"]),
        ({"AMI_PORT": "5060", "AGI_PORT": "5060"}, ["SIP_PORT", "AMI_PORT", "AGI_PORT"]),
        ({"UDPTL_PORTS": "19000-20000"}, ["RTP_PORTS", "UDPTL_PORTS"]),
        ({"SIP_TLS_PORT": "5061"}, ["SIP_TLS_PORT", "TLS_CERT"]),
    ],
)
def test_settings_that_do_not_go_together(
    tmp_path: Path, environment: dict[str, str], named: list[str]
) -> None:
    (problem,) = refused({f"DENWABAN_{name}": value for name, value in environment.items()}, tmp_path)
    assert all(name in problem for name in named)


def test_a_dotenv_file_comes_after_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# ports\n\nDENWABAN_SIP_PORT=15060\nDENWABAN_API_PORT = '18080'\nDENWABAN_NODE=\"file\"\n"
    )
    settings = read_settings({"DENWABAN_NODE": "environment"}, tmp_path)
    assert (settings.sip_port, settings.api_port, settings.node) == (15060, 18080, "environment")


def documented() -> set[str]:
    return set(re.findall(r"^\| `(DENWABAN_\w+)`", (ROOT / "docs" / "settings.md").read_text(), re.M))


def test_every_variable_stands_in_the_documentation() -> None:
    source = (ROOT / "settings" / "environment.py").read_text()
    read = {
        f"DENWABAN_{name}" for name in re.findall(r'reader\.(?:parsed|text|secret)\("([A-Z0-9_]+)"', source)
    }
    read |= set(SECRETS)
    scripts = "".join(path.read_text() for path in (ROOT / "scripts").glob("*.py"))
    by_set_up = set(re.findall(r'environ(?:\.get\(|\[)"(DENWABAN_\w+)"', scripts))
    assert read | by_set_up == documented()


def test_nothing_else_reads_the_environment() -> None:
    packages = ("pbx", "store", "transcribe", "portal_api", "launch", "denwaban")
    asks = re.compile(r"DENWABAN_\w+.*environ|environ.*DENWABAN_\w+|getenv")
    found = [
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if asks.search(path.read_text())
    ]
    assert found == []


def test_the_files_of_a_secret_are_json(tmp_path: Path) -> None:
    read_settings({}, tmp_path)
    assert set(json.loads((tmp_path / "var" / "secrets.json").read_text())) == {
        "ari_password",
        "ami_password",
        "secret_key",
    }


def test_a_stricter_umask_does_not_hurt(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        read_settings({}, tmp_path)
    finally:
        os.umask(before)
    assert read_settings({}, tmp_path).embedded
