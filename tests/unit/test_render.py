"""Rendered configuration against golden files; `DENWABAN_GOLDEN=write` writes them anew."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pbx.dialplan import names
from pbx.dialplan.devices import device_objects
from pbx.dialplan.fax_asterisk import render_fax_asterisk
from pbx.dialplan.render import AsteriskFolders, render_all
from settings import NotificationSettings, Settings
from settings.environment import PortRange
from store.provisioning import WantedDevice

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parent / "golden"
CONF = Path(__file__).parents[2] / "asterisk-conf"

FOLDERS = AsteriskFolders(
    etc=Path("/srv/denwaban/var/asterisk/etc"),
    modules=Path("/opt/asterisk/modules"),
    data=Path("/opt/asterisk/data"),
    state=Path("/srv/denwaban/var/asterisk"),
    sounds=Path("/srv/denwaban/asterisk-conf/sounds"),
)
DEFAULT = Settings(
    mode="embedded",
    node="denwaban",
    var=Path("/srv/denwaban/var"),
    bind="127.0.0.1",
    sip_port=5060,
    sip_tls_port=None,
    sip_wss_port=None,
    tls_certificate=None,
    tls_key=None,
    rtp_ports=PortRange(10000, 19999),
    udptl_ports=PortRange(4000, 4999),
    ari_port=8088,
    ari_connect_port=8088,
    ami_port=5038,
    agi_port=4573,
    api_port=8080,
    database_url="sqlite+aiosqlite:////srv/denwaban/var/denwaban.db",
    trunk_uri="sip:127.0.0.1:5080",
    trunk_accept=("127.0.0.0/8",),
    trunk_t38=True,
    fax_channels=40,
    fax_retry_s=60.0,
    dialplan_extra=None,
    vosk_model=Path("/srv/denwaban/var/models/current"),
    vosk_models_url="https://models.example",
    transcribe_processes=2,
    log_level="INFO",
    ari_password="ari-password-of-a-test",
    ami_password="ami-password-of-a-test",
    secret_key="secret-key-of-a-test",
)


def moved(extra: Path) -> Settings:
    """Everything elsewhere than by default, with TLS and WSS."""
    return Settings(
        mode="production",
        node="tokyo2",
        var=Path("/data/pbx"),
        bind="2001:db8::5",
        sip_port=15060,
        sip_tls_port=15061,
        sip_wss_port=18089,
        tls_certificate=Path("/etc/tls/pbx.pem"),
        tls_key=Path("/etc/tls/pbx.key"),
        rtp_ports=PortRange(20000, 20999),
        udptl_ports=PortRange(21000, 21099),
        ari_port=18088,
        ari_connect_port=28088,
        ami_port=15038,
        agi_port=14573,
        api_port=18080,
        database_url="postgresql+asyncpg://db/denwaban",
        trunk_uri="sip:trunk.example:5061;transport=tls",
        trunk_accept=("192.0.2.0/24", "198.51.100.7/32"),
        trunk_t38=False,
        fax_channels=10,
        fax_retry_s=30.0,
        dialplan_extra=extra,
        vosk_model=Path("/data/models/large"),
        vosk_models_url="https://mirror.example",
        transcribe_processes=3,
        log_level="DEBUG",
        ari_password="another-ari-password",
        ami_password="another-ami-password",
        secret_key="another-secret-key",
        notifications=NotificationSettings(slack_url="https://slack.example/api"),
        fax_asterisk="own",
        fax_sip_port=15062,
        own_fax_ami_port=15039,
    )


def rendered(which: str, tmp_path: Path) -> str:
    """All files in one text, as the golden file holds it."""
    extra = tmp_path / "extra.conf"
    extra.write_text("[of-the-operator]\nexten => 1,1,Hangup()\n")
    match which:
        case "default":
            files = render_all(DEFAULT, FOLDERS)
        case "moved":
            files = render_all(moved(extra), FOLDERS)
        case _:
            files = render_fax_asterisk(moved(extra), FOLDERS)
    return "".join(f"; ======== {name}\n{text}" for name, text in sorted(files.items()))


@pytest.mark.parametrize("which", ["default", "moved", "faxes"])
def test_rendered_files_are_as_they_were(which: str, tmp_path: Path) -> None:
    text, golden = rendered(which, tmp_path), GOLDEN / f"{which}.conf"
    if os.environ.get("DENWABAN_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_rendered_files_and_those_that_are_copied_do_not_clash(tmp_path: Path) -> None:
    assert not set(render_all(DEFAULT, FOLDERS)) & {path.name for path in CONF.glob("*.conf")}
    of_faxes = {path.name for path in (CONF / "fax").glob("*.conf")}
    assert not set(render_fax_asterisk(DEFAULT, FOLDERS)) & of_faxes
    # Those stand where the switch's own would.
    assert of_faxes <= {path.name for path in CONF.glob("*.conf")}


def test_the_two_asterisks_know_each_other_by_one_key() -> None:
    settings = moved(Path("extra"))
    voice, faxes = (render(settings, FOLDERS) for render in (_with_no_extra, render_fax_asterisk))
    (key,) = set(re.findall(r"X-Denwaban-Link: (\w{64})", voice["pjsip.conf"] + faxes["pjsip.conf"]))
    for files in (voice, faxes):
        assert f"FAX_LINK = {key}\n" in files["globals.conf"]
        assert settings.ami_password not in files["pjsip.conf"]
    assert "FAX_LINK = \n" in render_all(DEFAULT, FOLDERS)["globals.conf"]


def _with_no_extra(settings: Settings, folders: AsteriskFolders) -> dict[str, str]:
    return render_all(replace(settings, dialplan_extra=None), folders)


def test_no_line_of_a_value_becomes_a_comment(tmp_path: Path) -> None:
    """An unescaped semicolon would cut a URI short without a word."""
    for line in rendered("moved", tmp_path).splitlines():
        assert line.startswith(";") or not re.search(r"(?<!\\);", line)


def test_every_setting_is_moved() -> None:
    """So that the second golden file shows each of them that Asterisk could know of."""
    same = {
        "access",
        "api",
        "fax_channels",
        "fax_retry_s",
        "vosk_model",
        "vosk_models_url",
        "transcribe_processes",
        "notifications",
        "portal_url",
        "sip_host",
        "tariff",
        "billing",
    }
    for name, value in vars(moved(Path("extra"))).items():
        assert name in same or value != getattr(DEFAULT, name), name


def test_what_asterisk_opens_for_us_is_on_loopback() -> None:
    files = render_all(DEFAULT, FOLDERS)
    assert "bindaddr = 127.0.0.1\nbindport = 8088" in files["http.conf"]
    assert "bindaddr = 127.0.0.1" in files["manager.conf"]


def test_a_device_is_made_in_order_and_bound_to_its_own_password() -> None:
    device = WantedDevice("1001", "account", "sealed", "d", 'The "front" desk', "21")
    objects = device_objects(DEFAULT, device, "s3cret")
    assert [kind for kind, _ in objects] == ["auth", "aor", "endpoint"]
    auth, _, endpoint = (fields for _, fields in objects)
    assert (auth["username"], auth["password"]) == ("1001", "s3cret")
    assert endpoint["callerid"] == '"The front desk" <21>'
    assert endpoint["mailboxes"] == "account@lamp"
    assert (endpoint["auth"], endpoint["aors"], endpoint["context"]) == ("1001", "1001", names.CONTEXT_DEVICE)
