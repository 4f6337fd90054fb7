"""`/sessions`: signing in and out."""

from datetime import datetime, timedelta
from typing import Self

from aiohttp import web
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from portal_api.access import Who
from portal_api.passwords import PasswordGiven, matching
from portal_api.problems import Problem
from portal_api.resources.users import Login, User
from portal_api.routing import IDENTITY, Ask, Resource
from portal_api.schemas import Body, Label, PageOf, PageQuery, Timestamp
from store import audit, sign_in, tokens, users
from store.errors import NotFound
from store.models import ActorKind, AuditAction, TokenKind, now
from store.models import Token as TokenRow
from store.models import User as UserRow

resource = Resource("サインイン")

CURRENT = "current"
LONGEST_AGENT = 200


class SignIn(Body):
    login: Login
    password: PasswordGiven
    code: Label | None = Field(
        default=None, description="2段階認証の6桁のコード、またはリカバリーコード。ONのユーザーで必要"
    )


class SignedIn(BaseModel):
    token: str = Field(description="この応答でしか見られない。Authorization: Bearer に付ける")
    session_id: str
    expires_at: Timestamp
    user: User


class Session(BaseModel):
    id: str
    client: str = Field(description="サインインしたアプリ(User-Agent)")
    current: bool = Field(description="この要求をしたセッション")
    created_at: Timestamp
    last_used_at: Timestamp | None
    expires_at: Timestamp | None

    @classmethod
    def of(cls, token: TokenRow, current: str) -> Self:
        return cls(
            id=token.id,
            client=token.label,
            current=token.id == current,
            created_at=token.created_at,
            last_used_at=token.last_used_at,
            expires_at=token.expires_at,
        )


class Sessions(PageOf[Session]):
    """自分のサインイン中のセッションの1ページ。古い順"""


class EndAll(Body):
    keep_current: bool = Field(default=False, description="trueなら、この要求をしたセッションは残す")


class Ended(BaseModel):
    ended: int = Field(description="サインアウトしたセッションの数")


@resource.post(
    "/sessions",
    "サインインする。失敗が続くと429(too_many_tries)",
    status=201,
    who=Who.PUBLIC,
    answers=SignedIn,
)
async def sign_in_user(ask: Ask, body: SignIn) -> web.Response:
    at = now()
    user = await matching(ask, body.login, body.password)
    if user is None:
        await _note_refusal(ask, body.login, "password")
        raise Problem("sign_in_failed")
    if user.totp_since is not None and not body.code:
        raise Problem("code_required")
    async with ask.session() as session:
        passed = await users.passes_second_factor(session, ask.parts.secret_key, user.id, body.code or "", at)
        if passed:
            signed_in = await _open(ask, session, user, at)
    if not passed:
        await _note_refusal(ask, body.login, "code")
        raise Problem("code_wrong")
    # A token in a cache is a token given away.
    return web.Response(
        status=201,
        body=signed_in.model_dump_json().encode(),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


async def _open(ask: Ask, session: AsyncSession, user: UserRow, at: datetime) -> SignedIn:
    lasts = timedelta(hours=ask.parts.access.session_hours)
    client = ask.request.headers.get("User-Agent", "").encode("utf-8", "replace").decode()[:LONGEST_AGENT]
    token, secret = await sign_in.open_session(session, user, at, lasts, client)
    device_ids = (await users.devices_of(session, user.id))[user.id]
    told = audit.Change(AuditAction.SIGNED_IN, "sessions", token.id, client, user.account_id, None, None)
    await audit.note(session, _actor(ask, user), told)
    return SignedIn(token=secret, session_id=token.id, expires_at=at + lasts, user=User.of(user, device_ids))


@resource.get("/sessions", "自分のサインイン中のセッションの一覧", who=Who.SIGNED_IN)
async def list_sessions(ask: Ask, query: PageQuery) -> Sessions:
    async with ask.session() as session:
        page = await tokens.list_sessions(session, _user_id(ask), query.page())
    items = [Session.of(row, ask.identity.token_id) for row in page.items]
    return Sessions(items=items, next=page.next_text)


@resource.delete("/sessions/{session_id}", "サインアウトする。currentはこのセッション", who=Who.SIGNED_IN)
async def end_session(ask: Ask, session_id: str) -> None:
    ended = ask.identity.token_id if session_id == CURRENT else session_id
    async with ask.session() as session:
        await tokens.revoke_token(session, None, ended, _user_id(ask), TokenKind.SESSION)


@resource.post("/sessions:end-all", "すべての場所でサインアウトする", who=Who.SIGNED_IN)
async def end_all_sessions(ask: Ask, body: EndAll) -> Ended:
    kept = ask.identity.token_id if body.keep_current else None
    async with ask.session() as session:
        return Ended(ended=await tokens.end_sessions(session, _user_id(ask), kept))


async def _note_refusal(ask: Ask, login: str, wrong: str) -> None:
    async with ask.session() as session:
        user = await sign_in.find(session, login)
        # Who has no such user has nobody to tell; the count of tries has seen it.
        if user is not None:
            told = audit.Change(
                AuditAction.SIGN_IN_REFUSED,
                "users",
                user.id,
                user.login,
                user.account_id,
                None,
                {"wrong": wrong},
            )
            await audit.note(session, _actor(ask, user), told)


def _actor(ask: Ask, user: UserRow) -> audit.Actor:
    return audit.Actor(ActorKind.USER, user.id, user.login, user.account_id, ask.address, ask.request_id)


def _user_id(ask: Ask) -> str:
    user_id = ask.request[IDENTITY].user_id
    if user_id is None:
        raise NotFound("no user")
    return user_id
