"""LINE WORKS API 2.0: tokens for signed assertions, messages of a bot, attachments in three steps."""

import json
import time
from dataclasses import dataclass
from functools import cache

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.doubles.far_side import FarSide, bearer, content_of

CLIENT_ID = "client-id-of-a-test"
CLIENT_SECRET = "client-secret-of-a-test"
SERVICE_ACCOUNT = "abcde.serviceaccount@works.example"
BOT = "2000001"
CHANNEL = "01234567-89ab-cdef-0123-456789abcdef"
LONGEST_TEXT = 2000
LONGEST_ASSERTION_S = 3600
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_key_pem() -> str:
    """The service account's key, as its download has it."""
    return private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass
class Attachment:
    """A file on its way."""

    name: str
    content: bytes | None = None


class LineWorksDouble(FarSide):
    """`accepted` has a dict per message: its `text`, or the `name` and `content` of its file."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        """Every access token issued; those in `revoked` are refused."""
        self.revoked: set[str] = set()
        self.attachments: dict[str, Attachment] = {}
        super().__init__()

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1.0"

    @property
    def auth_url(self) -> str:
        return f"{self.url}/oauth2/v2.0"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/oauth2/v2.0/token", self._token)
        router.add_post("/v1.0/bots/{bot}/channels/{channel}/messages", self._message)
        router.add_post("/v1.0/bots/{bot}/attachments", self._announce)
        router.add_post("/upload/{file_id}", self._upload)

    def revoke_all(self) -> None:
        self.revoked |= set(self.tokens)

    async def _token(self, request: web.Request) -> web.Response:
        if request.content_type != "application/x-www-form-urlencoded":
            return _error(400, "invalid_request")
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form.get("grant_type") != GRANT or "bot" not in form.get("scope", "").replace(",", " ").split():
            return _error(400, "invalid_request")
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return _error(401, "invalid_client")
        if not _signed_by_us(form.get("assertion", "")):
            return _error(400, "invalid_grant")
        token = f"access-token-{len(self.tokens)}"
        self.tokens.append(token)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": "86400", "scope": "bot"}
        return web.json_response(answer)

    async def _message(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal:
            return refusal
        if request.match_info["channel"] != CHANNEL:
            return _error(403, "FORBIDDEN")
        try:
            content = json.loads(await request.read())["content"]
            match content:
                case {"type": "text", "text": str(text)} if 1 <= len(text) <= LONGEST_TEXT:
                    self.accepted.append({"text": text})
                case {"type": "file", "fileId": str(file_id)} if set(content) == {"type", "fileId"}:
                    attachment = self.attachments[file_id]
                    if attachment.content is None:
                        return _error(400, "INVALID_PARAMETER")
                    self.accepted.append({"name": attachment.name, "content": attachment.content})
                case _:
                    return _error(400, "INVALID_PARAMETER")
        except (ValueError, KeyError, TypeError):
            return _error(400, "INVALID_PARAMETER")
        return web.Response(status=201)

    async def _announce(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal:
            return refusal
        name = json.loads(await request.read()).get("fileName")
        if not name:
            return _error(400, "INVALID_PARAMETER")
        file_id = f"jp1.{len(self.attachments)}"
        self.attachments[file_id] = Attachment(name)
        return web.json_response({"fileId": file_id, "uploadUrl": f"{self.url}/upload/{file_id}"})

    async def _upload(self, request: web.Request) -> web.Response:
        if bearer(request) not in set(self.tokens) - self.revoked:
            return _error(401, "UNAUTHORIZED")
        if request.content_type != "multipart/form-data":
            return _error(400, "INVALID_PARAMETER")
        form = await request.post()
        attachment = self.attachments.get(request.match_info["file_id"])
        file = form.get("FileData")
        if attachment is None or attachment.content is not None:
            return _error(400, "INVALID_PARAMETER")
        if not isinstance(file, web.FileField) or form.get("resourceName") != attachment.name:
            return _error(400, "INVALID_PARAMETER")
        attachment.content = content_of(file)
        return web.json_response({"fileId": request.match_info["file_id"]})

    def _refusal(self, request: web.Request) -> web.Response | None:
        if bearer(request) not in set(self.tokens) - self.revoked:
            return _error(401, "UNAUTHORIZED")
        if request.content_type != "application/json":
            return _error(400, "INVALID_PARAMETER")
        return _error(404, "NOT_FOUND") if request.match_info["bot"] != BOT else None


def _signed_by_us(assertion: str) -> bool:
    try:
        claims = jwt.decode(
            assertion,
            private_key().public_key(),
            algorithms=["RS256"],
            options={"require": ["iss", "sub", "iat", "exp"]},
        )
    except jwt.InvalidTokenError:
        return False
    whole = isinstance(claims["iat"], int) and isinstance(claims["exp"], int)
    fresh = (
        whole and claims["exp"] - claims["iat"] <= LONGEST_ASSERTION_S and claims["iat"] <= time.time() + 1
    )
    return bool(fresh and claims["iss"] == CLIENT_ID and claims["sub"] == SERVICE_ACCOUNT)


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"code": code, "description": "refused"}, status=status)
