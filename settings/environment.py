"""The settings of every process of one instance.

A process reads them once, in its `main`, and hands on what each part needs. Nothing else reads the
environment. `docs/settings.md` lists every variable; a test keeps the two alike.
"""

import ipaddress
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from settings.access import AccessSettings
from settings.api import ApiSettings
from settings.billing import DEMO_ISSUER, BillingSettings
from settings.notifications import NotificationSettings

Mode = Literal["embedded", "production"]
FaxAsterisk = Literal["shared", "own"]
T = TypeVar("T")

SHORTEST_SECRET = 16
PASSWORD_SIGNS = "-_.~+/=@:!*"
UNFIT_IN_PATHS = set(",;&|${}[]()<>\"'`\\\n\r\t")
"""Signs with a meaning of their own in a dialplan, an ARI media list or a configuration file."""

CURRENT_MODEL = "current"
VOSK_MODELS_URL = "https://alphacephei.com/vosk/models"
EXAMPLE_TARIFF = Path(__file__).resolve().parent.parent / "billing" / "tariff.toml"
LOOPBACK_ONLY: tuple[str, ...] = ("127.0.0.0/8",)


class SettingsRefused(Exception):
    """The settings cannot be used; `problems` says what is wrong, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("the settings cannot be used:\n" + "\n".join(f"  - {line}" for line in problems))


@dataclass(frozen=True)
class PortRange:
    """Inclusive UDP port range, written `first-last`."""

    first: int
    last: int


@dataclass(frozen=True)
class Settings:
    """One instance of the switch. Times in seconds, ports as numbers, folders absolute."""

    mode: Mode
    node: str
    var: Path
    bind: str
    sip_port: int
    sip_tls_port: int | None
    sip_wss_port: int | None
    tls_certificate: Path | None
    tls_key: Path | None
    rtp_ports: PortRange
    udptl_ports: PortRange
    ari_port: int
    ari_connect_port: int
    ami_port: int
    agi_port: int
    api_port: int
    database_url: str
    trunk_uri: str
    trunk_accept: tuple[str, ...]
    trunk_t38: bool
    """Whether the trunk takes faxes over T.38; else all go as audio."""

    dialplan_extra: Path | None
    vosk_model: Path
    vosk_models_url: str
    transcribe_processes: int
    fax_channels: int
    fax_retry_s: float
    log_level: str
    ari_password: str
    ami_password: str
    secret_key: str
    portal_url: str | None = None
    tariff: Path | None = None
    """The operator's tariff; None: none is published, and calls that cost are refused."""

    sip_host: str | None = None
    fax_asterisk: FaxAsterisk = "shared"
    """Whether faxes run in the Asterisk of the voice calls, or in one of their own."""

    fax_sip_port: int = 5062
    own_fax_ami_port: int = 5039
    """These two on loopback, of an Asterisk of the faxes' own."""

    notifications: NotificationSettings = field(default_factory=NotificationSettings)
    billing: BillingSettings = field(default_factory=BillingSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    access: AccessSettings = field(default_factory=AccessSettings)

    @property
    def embedded(self) -> bool:
        """True for the default set-up with a demo account, everything on loopback."""
        return self.mode == "embedded"

    @property
    def recording_spool(self) -> Path:
        """Where Asterisk writes recordings; a message leaves it only once it is in the store."""
        return self.var / "asterisk" / "spool" / "recording"

    @property
    def fax_spool(self) -> Path:
        """Where Asterisk leaves faxes and their slips, and finds those that go out (`out/`)."""
        return self.var / "asterisk" / "spool" / "fax"

    @property
    def has_fax_asterisk(self) -> bool:
        return self.fax_asterisk == "own"

    @property
    def fax_ami_port(self) -> int:
        """The manager interface of the Asterisk that runs faxes."""
        return self.own_fax_ami_port if self.has_fax_asterisk else self.ami_port

    @property
    def call_spool(self) -> Path:
        """Where Asterisk writes recordings of calls that people talk on, as above."""
        return self.var / "asterisk" / "spool" / "calls"

    @property
    def channel_events(self) -> Path:
        """What Asterisk notes of every channel (CEL), a JSON object per line; older files lie beside it."""
        return self.var / "asterisk" / "cel" / "events.json"

    @property
    def sounds(self) -> Path:
        """The switch's own sounds: `asterisk-conf/sounds/` of this checkout."""
        return Path(__file__).resolve().parent.parent / "asterisk-conf" / "sounds"

    @property
    def heartbeat_file(self) -> Path:
        """Touched by the control plane every second while it works; needs neither database nor network."""
        return self.var / "controller.alive"

    @property
    def demo_file(self) -> Path:
        """The demo account's tokens, numbers and devices, embedded default only."""
        return self.var / "demo.json"

    @property
    def media(self) -> Path:
        """Prompts and accepted messages."""
        return self.var / "media"

    @property
    def models(self) -> Path:
        """Models for speech recognition that were fetched; `current` links to the one in use."""
        return self.var / "models"

    @property
    def bind_host(self) -> str:
        """The address as it stands before a port: IPv6 in brackets."""
        return f"[{self.bind}]" if ":" in self.bind else self.bind

    @property
    def public_sip_host(self) -> str:
        """Where telephones are told to register, as it stands in a URI."""
        portal = urlsplit(self.portal_url).hostname if self.portal_url else None
        unspecified = ipaddress.ip_address(self.bind).is_unspecified
        return self.sip_host or (unspecified and portal) or self.local_host

    @property
    def loopback_host(self) -> str:
        """Loopback in the family of `bind`, as it stands before a port."""
        return "[::1]" if ":" in self.bind else "127.0.0.1"

    @property
    def local_host(self) -> str:
        """Where this machine itself reaches what listens on `bind`, as it stands in a URI."""
        reachable = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
        return reachable.get(self.bind_host, self.bind_host)

    @property
    def api_url(self) -> str:
        return f"http://{self.local_host}:{self.api_port}"


class _Reader:
    """Reads variables and collects every problem, so that a person sees them all at once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.problems: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self.environment.get(f"DENWABAN_{name}", "").strip() or default

    def parsed(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        raw = self.text(name, "")
        if not raw:
            return default
        try:
            return parse(raw)
        except ValueError as wrong:
            self.problems.append(f"DENWABAN_{name}={raw!r}: {wrong}")
            return default

    def secret(self, name: str, parse: Callable[[str], str]) -> str | None:
        """As `parsed`, and the value is in no problem's text."""
        raw = self.text(name, "")
        try:
            return parse(raw) if raw else None
        except ValueError as wrong:
            self.problems.append(f"DENWABAN_{name}: {wrong}")
            return None


def read_settings(environment: Mapping[str, str], folder: Path) -> Settings:
    """Read `DENWABAN_*` from `environment`, then from `folder/.env`, then defaults.

    Raises SettingsRefused with every problem found. In embedded mode missing secrets are made once and
    kept in `var/secrets.json` (mode 0600); in production they must be given.
    """
    reader = _Reader({**_dotenv(folder / ".env"), **environment})
    mode: Mode = reader.parsed("MODE", "embedded", _mode)
    var = reader.parsed("VAR", folder / "var", lambda raw: (folder / raw).resolve())
    bind = reader.parsed("BIND", "127.0.0.1", _address)
    accept = reader.parsed("TRUNK_ACCEPT", LOOPBACK_ONLY, _networks)
    given = {name: reader.text(name, "") for name in ("ARI_PASSWORD", "AMI_PASSWORD", "SECRET_KEY")}
    if mode == "embedded":
        _require_loopback(bind, accept, reader.problems)
    else:
        reader.problems += [
            f"DENWABAN_{name} is missing or too short: a production start takes no default secret, "
            f"give {SHORTEST_SECRET} characters or more"
            for name, value in given.items()
            if len(value) < SHORTEST_SECRET
        ]
    reader.problems += [
        f"DENWABAN_{name}: only letters, digits and {PASSWORD_SIGNS} can stand in Asterisk's configuration"
        for name in ("ARI_PASSWORD", "AMI_PASSWORD")
        if not _plain(given[name])
    ]
    if set(str(var)) & UNFIT_IN_PATHS:
        reader.problems.append(f"DENWABAN_VAR={str(var)!r}: Asterisk's dialplan cannot take such a path")
    ari_port = reader.parsed("ARI_PORT", 8088, _port)
    settings = Settings(
        mode=mode,
        node=reader.parsed("NODE", "denwaban", _node),
        var=var,
        bind=bind,
        sip_port=reader.parsed("SIP_PORT", 5060, _port),
        sip_tls_port=reader.parsed("SIP_TLS_PORT", None, _port),
        sip_wss_port=reader.parsed("SIP_WSS_PORT", None, _port),
        tls_certificate=reader.parsed("TLS_CERT", None, _file),
        tls_key=reader.parsed("TLS_KEY", None, _file),
        rtp_ports=reader.parsed("RTP_PORTS", PortRange(10000, 19999), _port_range),
        udptl_ports=reader.parsed("UDPTL_PORTS", PortRange(4000, 4999), _port_range),
        ari_port=ari_port,
        ari_connect_port=reader.parsed("ARI_CONNECT_PORT", ari_port, _port),
        ami_port=reader.parsed("AMI_PORT", 5038, _port),
        agi_port=reader.parsed("AGI_PORT", 4573, _port),
        api_port=reader.parsed("API_PORT", 8080, _port),
        database_url=reader.parsed("DATABASE_URL", f"sqlite+aiosqlite:///{var}/denwaban.db", _database_url),
        trunk_uri=reader.parsed("TRUNK_URI", "sip:127.0.0.1:5080", _sip_uri),
        trunk_accept=accept,
        trunk_t38=reader.parsed("TRUNK_T38", True, _switch),
        dialplan_extra=reader.parsed("DIALPLAN_EXTRA", None, _file),
        vosk_model=reader.parsed("VOSK_MODEL", var / "models" / CURRENT_MODEL, lambda raw: folder / raw),
        vosk_models_url=reader.parsed("VOSK_MODELS_URL", VOSK_MODELS_URL, _http_url),
        transcribe_processes=reader.parsed("TRANSCRIBE_PROCESSES", _processors(), _few),
        fax_channels=reader.parsed("FAX_CHANNELS", 20, _few),
        fax_retry_s=reader.parsed("FAX_RETRY_S", 60.0, _wait),
        log_level=reader.parsed("LOG_LEVEL", "INFO", _log_level),
        ari_password=given["ARI_PASSWORD"],
        ami_password=given["AMI_PASSWORD"],
        secret_key=given["SECRET_KEY"],
        portal_url=reader.parsed("PORTAL_URL", None, _base_url),
        tariff=reader.parsed("TARIFF", EXAMPLE_TARIFF if mode == "embedded" else None, _file),
        sip_host=reader.parsed("SIP_HOST", None, _host),
        fax_asterisk=reader.parsed("FAX_ASTERISK", "shared", _fax_asterisk),
        fax_sip_port=reader.parsed("FAX_SIP_PORT", 5062, _port),
        own_fax_ami_port=reader.parsed("FAX_AMI_PORT", 5039, _port),
        notifications=_notifications(reader),
        billing=_billing(reader, DEMO_ISSUER if mode == "embedded" else {}),
        api=ApiSettings(
            cors_origins=reader.parsed("CORS_ORIGINS", (), _origins),
            require_if_match=reader.parsed("REQUIRE_IF_MATCH", False, _switch),
        ),
        access=_access(reader),
    )
    if (settings.sip_tls_port or settings.sip_wss_port) and not (
        settings.tls_certificate and settings.tls_key
    ):
        reader.problems.append("DENWABAN_SIP_TLS_PORT and _SIP_WSS_PORT need DENWABAN_TLS_CERT and _TLS_KEY")
    reader.problems += _clashes(settings)
    if reader.problems:
        raise SettingsRefused(reader.problems)
    return _with_kept_secrets(settings) if settings.embedded else settings


def _notifications(reader: _Reader) -> NotificationSettings:
    plain = NotificationSettings()
    return NotificationSettings(
        slack_url=reader.parsed("SLACK_URL", plain.slack_url, _base_url),
        chatwork_url=reader.parsed("CHATWORK_URL", plain.chatwork_url, _base_url),
        line_url=reader.parsed("LINE_URL", plain.line_url, _base_url),
        lineworks_url=reader.parsed("LINEWORKS_URL", plain.lineworks_url, _base_url),
        lineworks_auth_url=reader.parsed("LINEWORKS_AUTH_URL", plain.lineworks_auth_url, _base_url),
        teams_hosts=reader.parsed("TEAMS_HOSTS", plain.teams_hosts, _hosts),
        google_chat_hosts=reader.parsed("GOOGLE_CHAT_HOSTS", plain.google_chat_hosts, _hosts),
        webhook_networks=reader.parsed("WEBHOOK_NETWORKS", (), _networks),
        smtp_url=reader.secret("SMTP_URL", _smtp_url),
        mail_from=reader.parsed("MAIL_FROM", plain.mail_from, _mail_address),
    )


def _billing(reader: _Reader, issuer: Mapping[str, str]) -> BillingSettings:
    plain = BillingSettings()
    return BillingSettings(
        issuer_name=reader.text("ISSUER_NAME", issuer.get("issuer_name", "")),
        issuer_number=reader.parsed("ISSUER_NUMBER", issuer.get("issuer_number", ""), _issuer_number),
        issuer_address=reader.text("ISSUER_ADDRESS", issuer.get("issuer_address", "")),
        issuer_contact=reader.text("ISSUER_CONTACT", issuer.get("issuer_contact", "")),
        bank_account=reader.text("BANK_ACCOUNT", issuer.get("bank_account", "")),
        stripe_url=reader.parsed("STRIPE_URL", plain.stripe_url, _base_url),
        stripe_key=reader.secret("STRIPE_KEY", _stripe_key),
    )


def _access(reader: _Reader) -> AccessSettings:
    plain = AccessSettings()
    return AccessSettings(
        session_hours=reader.parsed("SESSION_HOURS", plain.session_hours, _hours),
        requests_per_s=reader.parsed("API_REQUESTS_PER_S", plain.requests_per_s, _rate),
        trusted_proxies=reader.parsed("TRUSTED_PROXIES", plain.trusted_proxies, _networks),
        audit_days=reader.parsed("AUDIT_DAYS", plain.audit_days, _days),
    )


def _with_kept_secrets(settings: Settings) -> Settings:
    """Fill missing secrets from `var/secrets.json`, which is made on the first start."""
    from dataclasses import replace

    path = settings.var / "secrets.json"
    names = ("ari_password", "ami_password", "secret_key")
    if not path.exists():
        settings.var.mkdir(parents=True, exist_ok=True)
        made = {name: secrets.token_urlsafe(32) for name in names}
        draft = path.with_suffix(".new")
        draft.touch(mode=0o600)
        with draft.open("w") as file:
            file.write(json.dumps(made))
            file.flush()
            # Without the key nobody reads the devices' passwords again.
            os.fsync(file.fileno())
        draft.rename(path)
    try:
        read = json.loads(path.read_text())
        kept = {name: str(read[name]) for name in names}
    except (ValueError, KeyError, TypeError):
        raise SettingsRefused([f"{path} is damaged: put back its copy, or set all secrets"]) from None
    return replace(
        settings,
        ari_password=settings.ari_password or kept["ari_password"],
        ami_password=settings.ami_password or kept["ami_password"],
        secret_key=settings.secret_key or kept["secret_key"],
    )


def _dotenv(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def _require_loopback(bind: str, accept: tuple[str, ...], problems: list[str]) -> None:
    if not ipaddress.ip_address(bind).is_loopback:
        problems.append(
            f"DENWABAN_BIND={bind}: the embedded demo stays on loopback; set DENWABAN_MODE=production"
        )
    outside = [net for net in accept if not _within_loopback(net)]
    if outside:
        problems.append(
            f"DENWABAN_TRUNK_ACCEPT={','.join(outside)}: the embedded demo takes calls from loopback only"
        )


def _within_loopback(network: str) -> bool:
    return ipaddress.ip_network(network).network_address.is_loopback


def _plain(password: str) -> bool:
    return all(sign.isascii() and (sign.isalnum() or sign in PASSWORD_SIGNS) for sign in password)


def _clashes(settings: Settings) -> list[str]:
    """Ports that two parts of one instance would want."""
    tcp: dict[int, list[str]] = {}
    ports = {
        "SIP_PORT": settings.sip_port,
        "SIP_TLS_PORT": settings.sip_tls_port,
        "SIP_WSS_PORT": settings.sip_wss_port,
        "ARI_PORT": settings.ari_port,
        "AMI_PORT": settings.ami_port,
        "AGI_PORT": settings.agi_port,
        "API_PORT": settings.api_port,
    }
    if settings.has_fax_asterisk:
        ports |= {"FAX_SIP_PORT": settings.fax_sip_port, "FAX_AMI_PORT": settings.own_fax_ami_port}
    for name, port in ports.items():
        if port is not None:
            tcp.setdefault(port, []).append(f"DENWABAN_{name}")
    found = [f"{' and '.join(names)} are both {port}" for port, names in tcp.items() if len(names) > 1]
    rtp, udptl = settings.rtp_ports, settings.udptl_ports
    if rtp.first <= udptl.last and udptl.first <= rtp.last:
        found.append("DENWABAN_RTP_PORTS and DENWABAN_UDPTL_PORTS overlap")
    return found


def _origins(raw: str) -> tuple[str, ...]:
    origins = tuple(one.strip() for one in raw.split(",") if one.strip())
    for origin in origins:
        parts = urlsplit(origin)
        if origin != "*" and (
            parts.scheme not in {"http", "https"} or origin != f"{parts.scheme}://{parts.netloc}"
        ):
            raise ValueError("must be origins such as https://example.jp, with commas, or *")
    return origins


def _switch(raw: str) -> bool:
    switches = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
    if raw.lower() not in switches:
        raise ValueError("must be 1 or 0 (or true or false, on or off)")
    return switches[raw.lower()]


def _mode(raw: str) -> Mode:
    modes: dict[str, Mode] = {"embedded": "embedded", "production": "production"}
    if raw not in modes:
        raise ValueError("must be embedded or production")
    return modes[raw]


def _fax_asterisk(raw: str) -> FaxAsterisk:
    kinds: dict[str, FaxAsterisk] = {"shared": "shared", "own": "own"}
    if raw not in kinds:
        raise ValueError("must be shared or own")
    return kinds[raw]


def _port(raw: str) -> int:
    if not raw.isdecimal() or not 0 < int(raw) < 65536:
        raise ValueError("must be a port, 1 to 65535")
    return int(raw)


def _port_range(raw: str) -> PortRange:
    first, dash, last = raw.partition("-")
    if not dash:
        raise ValueError("must be a range of ports, as 10000-19999")
    ports = PortRange(_port(first.strip()), _port(last.strip()))
    if ports.last - ports.first < 3:
        raise ValueError("the range is too small")
    return ports


def _node(raw: str) -> str:
    if not raw.isascii() or not raw.isalnum() or len(raw) > 20:
        raise ValueError("must be up to 20 letters and digits: it begins every call id")
    return raw


def _address(raw: str) -> str:
    return str(ipaddress.ip_address(raw))


def _networks(raw: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(part.strip(), strict=False)) for part in raw.split(","))


def _file(raw: str) -> Path:
    path = Path(raw).resolve()
    if not path.is_file():
        raise ValueError("there is no such file")
    return path


def _database_url(raw: str) -> str:
    if not raw.startswith(("sqlite+aiosqlite:///", "postgresql+asyncpg://")):
        raise ValueError("must start with sqlite+aiosqlite:/// or postgresql+asyncpg://")
    return raw


def _sip_uri(raw: str) -> str:
    scheme, _, rest = raw.partition(":")
    if scheme not in {"sip", "sips"} or not rest or not raw.isprintable() or set(raw) & set(' "<>\\'):
        raise ValueError("must be a SIP URI, as sip:192.0.2.1:5060")
    return raw


def _base_url(raw: str) -> str:
    if not re.fullmatch(r"https?://[^\s?#@]+", raw):
        raise ValueError("must be a URL without query, as https://api.example.com/v2")
    return raw.rstrip("/")


def _hosts(raw: str) -> tuple[str, ...]:
    hosts = tuple(part.strip().lower() for part in raw.split(","))
    if not all(re.fullmatch(r"(\*\.)?[a-z0-9.-]+(:[0-9]{1,5})?", host) for host in hosts):
        raise ValueError("must be host names with commas, as *.example.com or example.com:8443")
    return hosts


def _host(raw: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]+\]", raw):
        raise ValueError("must be a host name or an address, IPv6 in brackets")
    return raw


def _smtp_url(raw: str) -> str:
    try:
        parts = urlsplit(raw)
        usable = parts.scheme in {"smtp", "smtps"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be smtp://user:password@host:port or smtps://…")
    return raw


def _mail_address(raw: str) -> str:
    if not re.fullmatch(r"[!-~]+@[A-Za-z0-9.-]+", raw):
        raise ValueError("must be a mail address")
    return raw


def _issuer_number(raw: str) -> str:
    if not re.fullmatch(r"T[0-9]{13}", raw):
        raise ValueError("must be T and 13 digits")
    return raw


def _stripe_key(raw: str) -> str:
    if not re.fullmatch(r"(sk|rk)_[A-Za-z0-9_]{8,}", raw):
        raise ValueError("must be a secret key of Stripe's, as sk_live_…")
    return raw


def _http_url(raw: str) -> str:
    if not raw.startswith(("http://", "https://")) or not raw.isprintable() or " " in raw:
        raise ValueError("must start with http:// or https://")
    return raw.rstrip("/")


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def _few(raw: str) -> int:
    if not raw.isdecimal() or not 0 < int(raw) <= 64:
        raise ValueError("must be a number from 1 to 64")
    return int(raw)


def _hours(raw: str) -> int:
    if not raw.isdecimal() or not 0 < int(raw) <= 720:
        raise ValueError("must be a number of hours from 1 to 720")
    return int(raw)


def _days(raw: str) -> int:
    if not raw.isdecimal() or not (int(raw) == 0 or 30 <= int(raw) <= 3650):
        raise ValueError("must be a number of days from 30 to 3650, or 0 (for good)")
    return int(raw)


def _rate(raw: str) -> int:
    if not raw.isdecimal() or int(raw) > 100_000:
        raise ValueError("must be a number from 0 (no limit) to 100000")
    return int(raw)


def _wait(raw: str) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9])?", raw) or not 0.1 <= float(raw) <= 3600:
        raise ValueError("must be a number of seconds from 0.1 to 3600")
    return float(raw)


def _log_level(raw: str) -> str:
    if raw.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
    return raw.upper()
