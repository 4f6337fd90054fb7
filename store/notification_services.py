"""The notification services (通知サービス): the fields of each, and what is wrong with what a customer gave.

Every refusal has a stable code and a Japanese reason that says what to do instead. What is refused is not
repeated: it may be a secret.
"""

import ipaddress
import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from settings import NotificationSettings
from store.public_addresses import reachable

Kind = Literal["slack", "chatwork", "teams", "line", "line_works", "google_chat", "webhook", "mail"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WITH_AUDIO: frozenset[Kind] = frozenset({"slack", "chatwork", "line_works", "mail"})

MASK = "••••"
TAIL = 4
SHORTEST_WITH_TAIL = 16
"""Of a shorter secret, four characters would tell too much."""

SMALLEST_RSA_KEY = 2048
INVISIBLE = str.maketrans("", "", "\u200b\u200c\u200d\u2060\ufeff")


def _pasted(value: Any) -> Any:
    """What comes along when something is copied from a page is no part of it."""
    return value.translate(INVISIBLE).strip() if isinstance(value, str) else value


def _shaped(pattern: str, code: str, reason: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise PydanticCustomError(code, reason)
        return text

    return AfterValidator(check)


def _slack_token(token: str) -> str:
    if token.startswith("xoxp-"):
        raise PydanticCustomError(
            "slack_user_token",
            "これはユーザーのトークン(xoxp-)です。Slack Appの「OAuth & Permissions」にある"
            "「Bot User OAuth Token」(xoxb-)を入力してください。",
        )
    if not re.fullmatch(r"xoxb-[!-~]+", token):
        raise PydanticCustomError("slack_token", "xoxb- で始まる「Bot User OAuth Token」を入力してください。")
    return token


def _slack_channel(text: str) -> str:
    found = re.fullmatch(r"(?:https://\S+/)?([CGDZ][A-Z0-9]{2,30})/?", text)
    if not found:
        raise PydanticCustomError(
            "slack_channel",
            "チャンネル名ではなく、チャンネル詳細の一番下にあるチャンネルID(C0123ABCDなど)を入力してください。",
        )
    return found[1]


def _chatwork_room(text: str) -> str:
    found = re.fullmatch(r"(?:https://\S*?#!)?(?:rid)?([0-9]{1,20})(?:-[0-9]*)?", text)
    if not found:
        raise PydanticCustomError(
            "chatwork_room",
            "ルームIDの数字、またはチャットルームのURL(https://www.chatwork.com/#!rid123456789)を入力してください。",
        )
    return found[1]


def _line_token(token: str) -> str:
    # Tokens of LINE Notify had 43 letters and digits; those of the Messaging API have other lengths.
    if re.fullmatch(r"[A-Za-z0-9]{43}", token):
        raise PydanticCustomError(
            "line_notify_ended",
            "LINE Notifyは2025年3月31日に終了しました。LINE公式アカウントでMessaging APIを有効にし、"
            "LINE Developersで発行した「チャネルアクセストークン(長期)」を入力してください。",
        )
    return token


def _private_key(pasted: str) -> str:
    """Mend a PEM whose line breaks became spaces or `\\n` on the way; RSA, without a password."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = re.sub(r"\\[rn]", "\n", pasted)
    found = re.search(r"-+BEGIN ((?:RSA )?PRIVATE KEY)-+([A-Za-z0-9+/=\s]+)-+END \1-+", text)
    if not found:
        raise _not_a_key()
    body = re.sub(r"\s", "", found[2])
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    pem = "\n".join([f"-----BEGIN {found[1]}-----", *lines, f"-----END {found[1]}-----", ""])
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        raise _not_a_key() from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < SMALLEST_RSA_KEY:
        raise _not_a_key()
    return pem


def _not_a_key() -> PydanticCustomError:
    return PydanticCustomError(
        "private_key",
        "Private Keyとして読み取れません。LINE WORKS Developersでダウンロードしたファイルの中身を、"
        "-----BEGIN PRIVATE KEY----- から -----END PRIVATE KEY----- まですべて貼り付けてください。",
    )


def _url_parts(url: str) -> SplitResult:
    """Take a URL apart. What two readers might read differently is refused."""
    wrong = PydanticCustomError("url", "URLとして読み取れません。表示されたURLをそのまま貼り付けてください。")
    if not re.fullmatch(r"[a-z]+://[A-Za-z0-9.\-:\[\]]+(?:[/?][!-~]*)?", url) or set(url) & set(
        '\\"<>^`{|}#'
    ):
        raise wrong
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0
    except ValueError:
        raise wrong from None
    if not named:
        raise wrong
    return parts


def _settings(info: ValidationInfo) -> NotificationSettings:
    return info.context if isinstance(info.context, NotificationSettings) else NotificationSettings()


def _loopback(host: str | None) -> bool:
    try:
        return bool(host) and ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _listed(parts: SplitResult, hosts: tuple[str, ...]) -> bool:
    """Whether a URL is at one of `hosts`: over TLS, except on loopback, which only an operator can list."""
    default = 443 if parts.scheme == "https" else 80
    for listed in hosts:
        name, _, port = listed.partition(":")
        named = parts.hostname == name or (name.startswith("*.") and str(parts.hostname).endswith(name[1:]))
        at_port = int(port or 443) == (parts.port or default) or (not port and _loopback(name))
        if named and at_port and (parts.scheme == "https" or (parts.scheme == "http" and _loopback(name))):
            return True
    return False


def _teams_url(url: str, info: ValidationInfo) -> str:
    parts = _url_parts(url)
    host = str(parts.hostname)
    if host.endswith(("webhook.office.com", "outlook.office.com", "outlook.office365.com")):
        raise PydanticCustomError(
            "teams_connector_ended",
            "Teamsのコネクタ(Incoming Webhook)は廃止されました。Teamsの「ワークフロー」で"
            "「Webhook 要求を受信したらチャネルに投稿する」を作成し、そのURLを入力してください。",
        )
    if host.endswith(".logic.azure.com"):
        raise PydanticCustomError(
            "teams_url_ended",
            "この形式のURL(logic.azure.com)は2025年11月30日に使えなくなりました。"
            "Teamsの「ワークフロー」を開き、新しいURLをコピーして入力してください。",
        )
    if not _listed(parts, _settings(info).teams_hosts):
        raise PydanticCustomError(
            "teams_url",
            "Teamsの「ワークフロー」で発行されたURL(api.powerplatform.com)をそのまま貼り付けてください。",
        )
    return url


def _google_chat_url(url: str, info: ValidationInfo) -> str:
    parts = _url_parts(url)
    complete = re.fullmatch(r"/v1/spaces/[\w-]+/messages", parts.path) and all(
        re.search(rf"(?:^|&){name}=[^&]+", parts.query) for name in ("key", "token")
    )
    if not complete or not _listed(parts, _settings(info).google_chat_hosts):
        raise PydanticCustomError(
            "google_chat_url",
            "スペースの「アプリと統合」→「Webhook を管理」に表示されたURL"
            "(https://chat.googleapis.com/v1/spaces/…/messages?key=…&token=…)をそのまま貼り付けてください。",
        )
    return url


def _webhook_url(url: str, info: ValidationInfo) -> str:
    parts = _url_parts(url)
    networks = _settings(info).webhook_networks
    permitted = _is_address(parts.hostname) and reachable(str(parts.hostname), networks)
    if _is_address(parts.hostname) and not permitted:
        raise PydanticCustomError("private_address", "このアドレスには通知できません。")
    inside = permitted and not reachable(str(parts.hostname))
    if parts.scheme != "https" and not (inside and parts.scheme == "http"):
        raise PydanticCustomError("https_required", "https:// で始まるURLを入力してください。")
    return url


def _is_address(host: str | None) -> bool:
    try:
        ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return True


def _mail_address(text: str) -> str:
    local, _, domain = text.rpartition("@")
    # Japanese mobile carriers once gave out addresses with .. or a dot before the @: they still exist.
    well_formed = (
        re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}", local)
        and re.fullmatch(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9-]{2,63}", domain)
        and len(text) <= 254
    )
    if not well_formed:
        raise PydanticCustomError("mail_address", "メールアドレスとして読み取れません(例: info@example.jp)。")
    return text


Pasted = Annotated[str, BeforeValidator(_pasted)]
PRINTABLE = _shaped(r"[!-~]{1,2000}", "token", "半角の文字だけで、空白や改行を入れずに入力してください。")
ID = _shaped(r"[A-Za-z0-9._@-]{1,200}", "id", "表示されたIDをそのまま貼り付けてください。")
MailAddress = Annotated[Pasted, AfterValidator(_mail_address)]


def _secret(description: str, **more: Any) -> Any:
    return Field(description=description, repr=False, json_schema_extra={"format": "password"}, **more)


class _Fields(BaseModel):
    """A field that is no part of the repr is a secret."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class SlackFields(_Fields):
    """Slack: 音声とテキスト"""

    kind: Literal["slack"] = "slack"
    token: Annotated[Pasted, PRINTABLE, AfterValidator(_slack_token)] = _secret(
        "Bot User OAuth Token(xoxb-)。スコープはchat:writeとfiles:write"
    )
    channel_id: Annotated[Pasted, AfterValidator(_slack_channel)] = Field(
        description="チャンネルID(C0123ABCDなど)。チャンネルのURLでもよい"
    )


class ChatworkFields(_Fields):
    """Chatwork: 音声とテキスト"""

    kind: Literal["chatwork"] = "chatwork"
    token: Annotated[Pasted, PRINTABLE] = _secret("APIトークン")
    room_id: Annotated[Pasted, AfterValidator(_chatwork_room)] = Field(
        description="ルームID。チャットルームのURLでもよい"
    )


class TeamsFields(_Fields):
    """Microsoft Teams: テキスト"""

    kind: Literal["teams"] = "teams"
    url: Annotated[Pasted, AfterValidator(_teams_url)] = _secret(
        "ワークフローのURL(api.powerplatform.com)", max_length=2000
    )


class LineFields(_Fields):
    """LINE(Messaging API): テキスト"""

    kind: Literal["line"] = "line"
    token: Annotated[Pasted, PRINTABLE, AfterValidator(_line_token)] = _secret(
        "チャネルアクセストークン(長期)"
    )
    to: Annotated[
        Pasted,
        _shaped(
            r"[UCR][0-9a-f]{32}",
            "line_to",
            "送信先は、U(ユーザー)、C(グループ)、R(複数人トーク)で始まる33文字のIDを入力してください。"
            "LINE IDや表示名ではありません。",
        ),
    ] = Field(description="送信先のユーザーID(U…)、グループID(C…)、トークルームID(R…)")


class LineWorksFields(_Fields):
    """LINE WORKS: 音声とテキスト"""

    kind: Literal["line_works"] = "line_works"
    client_id: Annotated[Pasted, ID] = Field(description="Client ID")
    client_secret: Annotated[Pasted, PRINTABLE] = _secret("Client Secret")
    service_account: Annotated[
        Pasted,
        _shaped(
            r"[A-Za-z0-9._+-]{1,100}@[A-Za-z0-9.-]{1,100}",
            "service_account",
            "Service Account(xxxxx.serviceaccount@ドメイン)をそのまま貼り付けてください。",
        ),
    ] = Field(description="Service Account")
    private_key: Annotated[Pasted, AfterValidator(_private_key)] = _secret(
        "Private Keyのファイルの中身(PEM)", max_length=20_000
    )
    bot_id: Annotated[Pasted, ID] = Field(description="Bot ID")
    channel_id: Annotated[Pasted, ID] = Field(description="トークルームのチャンネルID")


class GoogleChatFields(_Fields):
    """Google Chat: テキスト"""

    kind: Literal["google_chat"] = "google_chat"
    url: Annotated[Pasted, AfterValidator(_google_chat_url)] = _secret(
        "スペースのWebhookのURL", max_length=2000
    )


class WebhookFields(_Fields):
    """Webhook: 署名付きのJSON"""

    kind: Literal["webhook"] = "webhook"
    url: Annotated[Pasted, AfterValidator(_webhook_url)] = _secret(
        "通知を受け取るURL(https)", max_length=2000
    )
    secret: Annotated[
        Pasted,
        _shaped(r"[!-~]{16,200}", "webhook_secret", "半角16文字以上で、空白を入れずに入力してください。"),
    ] = _secret("署名の鍵。省略すると自動で作られる", default_factory=lambda: secrets.token_urlsafe(32))


class MailFields(_Fields):
    """メール: 音声とテキスト"""

    kind: Literal["mail"] = "mail"
    address: MailAddress = Field(description="通知を受け取るメールアドレス")


Fields = (
    SlackFields
    | ChatworkFields
    | TeamsFields
    | LineFields
    | LineWorksFields
    | GoogleChatFields
    | WebhookFields
    | MailFields
)
_MODELS: dict[Kind, type[Fields]] = dict(zip(KINDS, get_args(Fields), strict=True))


def parse_fields(
    kind: Kind,
    given: Mapping[str, Any],
    allowed: NotificationSettings,
    kept: Fields | None = None,
) -> Fields:
    """Read the fields of a service as a customer gave them.

    In an edit, `kept` is what was there: a secret that is absent, null or masked stays. Raises pydantic's
    ValidationError, whose errors name the field and have a code and a Japanese reason.
    """
    model = _MODELS[kind]
    fields = {
        "kind": kind,
        **{name: value for name, value in given.items() if not _withheld(model, name, value)},
    }
    if isinstance(kept, model):
        fields = {name: getattr(kept, name) for name in secret_fields(kept)} | fields
    return model.model_validate(fields, context=allowed)


def dump_fields(fields: Fields) -> str:
    """Give all fields as JSON, secrets in clear: for `store.sealing` only."""
    return fields.model_dump_json()


def load_fields(text: str, allowed: NotificationSettings) -> Fields:
    """Read what `dump_fields` wrote; as strict as `parse_fields`, for the settings may have changed."""
    kind: Kind = _OfKind.model_validate_json(text).kind
    return _MODELS[kind].model_validate_json(text, context=allowed)


def secret_fields(fields: Fields | type[Fields]) -> frozenset[str]:
    model = fields if isinstance(fields, type) else type(fields)
    return frozenset(name for name, field in model.model_fields.items() if not field.repr)


def masked(fields: Fields) -> dict[str, str]:
    """Give the fields, without `kind`, for showing: of a secret its last characters, of a URL its host."""
    hidden = secret_fields(fields)
    shown = fields.model_dump(exclude={"kind"})
    return {name: _mask(value) if name in hidden else value for name, value in shown.items()}


class _OfKind(BaseModel):
    kind: Kind


def _withheld(model: type[Fields], name: str, value: Any) -> bool:
    """Whether a secret was not given: null, or what we showed of it."""
    return name in secret_fields(model) and (value is None or (isinstance(value, str) and MASK in value))


def _mask(secret: str) -> str:
    text = secret.strip()
    host = f"https://{urlsplit(text).hostname}/" if "://" in text else ""
    # The end of a PEM is the same for everybody.
    tail = text[-TAIL:] if len(text) >= SHORTEST_WITH_TAIL and not text.endswith("-----") else ""
    return f"{host}{MASK}{tail}"
