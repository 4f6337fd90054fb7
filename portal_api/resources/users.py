"""`/users`: who signs in. An administrator sees and makes those of its own account only."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from portal_api.passwords import NewPassword, hashed
from portal_api.problems import Problem
from portal_api.routing import ACCOUNT, Ask, Resource
from portal_api.schemas import Body, IdGiven, Label, PageOf, PageQuery, Query, Timestamp
from store import accounts, passwords, tokens, users
from store.errors import NotFound
from store.models import Role
from store.models import User as UserRow

resource = Resource("ユーザー")

LOGIN = "サインインに使うID(メールアドレスなど)。大文字と小文字は区別しない"
Login = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9@._+-]{3,100}$"),
    Field(description=LOGIN, examples=["hanako@example.jp"]),
]
ROLE = "administrator: すべて、read_only: 見るだけ、member: 自分の端末のもの、operator: 運用者"
Devices = Annotated[
    list[IdGiven],
    Field(max_length=100, description="メンバーが使う端末のID。メンバーはこの端末の通話だけが見える"),
]


class User(BaseModel):
    id: str
    account_id: str | None
    role: Role = Field(description=ROLE)
    login: str
    name: str
    enabled: bool = Field(description="falseの間はサインインもトークンの使用もできない")
    device_ids: list[str]
    second_factor: bool = Field(description="サインインに認証アプリのコードも必要か")
    signed_in_at: Timestamp | None
    password_changed_at: Timestamp
    created_at: Timestamp

    @classmethod
    def of(cls, user: UserRow, device_ids: list[str]) -> Self:
        return cls(
            id=user.id,
            account_id=user.account_id,
            role=user.role,
            login=user.login,
            name=user.name,
            enabled=user.enabled,
            device_ids=device_ids,
            second_factor=user.totp_since is not None,
            signed_in_at=user.signed_in_at,
            password_changed_at=user.password_changed_at,
            created_at=user.created_at,
        )


class UserWithPassword(User):
    password: str | None = Field(
        description="自動で決めたパスワード。この応答でしか見られない。指定したときはnull"
    )


class Users(PageOf[User]):
    """ユーザーの1ページ。作成順"""


class NewUser(Body):
    login: Login
    role: Role = Field(strict=False, description=ROLE)
    name: Label = ""
    password: NewPassword | None = Field(default=None, description="省略すると自動で決まる")
    device_ids: Devices = Field(default_factory=list)


class UserChange(Body):
    """指定した項目だけを変える"""

    # The made-up defaults are never used: only the fields that were sent are read.
    role: Role = Field(default=Role.MEMBER, strict=False, description=ROLE)
    name: Label = ""
    enabled: bool = True
    device_ids: Devices = Field(default_factory=list)


class PasswordReset(Body):
    password: NewPassword | None = Field(default=None, description="省略すると自動で決まる")


class WhoseQuery(Query):
    account_id: IdGiven | None = Field(
        default=None, description="対象のアカウント。運用者が省略すると、運用者自身のユーザー"
    )


class UserQuery(PageQuery, WhoseQuery):
    pass


@resource.get("/users", "ユーザーの一覧")
async def list_users(ask: Ask, query: UserQuery) -> Users:
    account_id = await _whose(ask, query)
    async with ask.session() as session:
        page = await users.list_users(session, account_id, query.page())
        device_ids = await users.devices_of(session, *(row.id for row in page.items))
    return Users(items=[User.of(row, device_ids[row.id]) for row in page.items], next=page.next_text)


@resource.post("/users", "ユーザーを作る", status=201)
async def create_user(ask: Ask, query: WhoseQuery, body: NewUser) -> UserWithPassword:
    account_id = await _whose(ask, query)
    password = body.password or passwords.made_up()
    password_hash = await hashed(ask, password, body.login)
    async with ask.session() as session:
        user = await users.create_user(
            session, account_id, body.role, body.login, password_hash, body.name, body.device_ids
        )
        told = await _told(session, user)
    return UserWithPassword(**told, password=None if body.password else password)


@resource.get("/users/{user_id}", "ユーザー")
async def get_user(ask: Ask, user_id: str, query: WhoseQuery) -> User:
    account_id = await _whose(ask, query)
    async with ask.session() as session:
        return User(**await _told(session, await users.get_user(session, account_id, user_id)))


@resource.patch("/users/{user_id}", "ユーザーの権限・名前・端末を変える、使用を止める。すぐに効く")
async def change_user(ask: Ask, user_id: str, query: WhoseQuery, body: UserChange) -> User:
    account_id = await _whose(ask, query)
    changes = body.model_dump(exclude_unset=True)
    if user_id == ask.identity.user_id and changes.keys() & {"role", "enabled"}:
        raise Problem("own_user")
    async with ask.session() as session:
        return User(**await _told(session, await users.change_user(session, account_id, user_id, **changes)))


@resource.delete("/users/{user_id}", "ユーザーをトークンごと削除する")
async def delete_user(ask: Ask, user_id: str, query: WhoseQuery) -> None:
    account_id = await _whose(ask, query)
    if user_id == ask.identity.user_id:
        raise Problem("own_user")
    async with ask.session() as session:
        await users.delete_user(session, account_id, user_id)


@resource.post("/users/{user_id}/password", "パスワードを設定し直し、すべての場所でサインアウトさせる")
async def reset_password(ask: Ask, user_id: str, query: WhoseQuery, body: PasswordReset) -> UserWithPassword:
    account_id = await _whose(ask, query)
    async with ask.session() as session:
        login = (await users.get_user(session, account_id, user_id)).login
    password = body.password or passwords.made_up()
    password_hash = await hashed(ask, password, login)
    async with ask.session() as session:
        user = await users.get_user(session, account_id, user_id)
        await users.set_password(session, user_id, password_hash)
        told = await _told(session, user)
    return UserWithPassword(**told, password=None if body.password else password)


@resource.delete("/users/{user_id}/second-factor", "2段階認証をOFFにする(認証アプリをなくしたとき)")
async def reset_second_factor(ask: Ask, user_id: str, query: WhoseQuery) -> None:
    account_id = await _whose(ask, query)
    async with ask.session() as session:
        await users.end_second_factor(session, account_id, user_id)


@resource.delete("/users/{user_id}/sessions", "すべての場所でサインアウトさせる")
async def end_users_sessions(ask: Ask, user_id: str, query: WhoseQuery) -> None:
    account_id = await _whose(ask, query)
    async with ask.session() as session:
        await users.get_user(session, account_id, user_id)
        await tokens.end_sessions(session, user_id)


async def _whose(ask: Ask, query: WhoseQuery) -> str | None:
    """The account that is meant; None for the operators' own users. Raises NotFound."""
    own = ask.identity.account_id
    if not ask.is_operator:
        if query.account_id not in (None, own):
            raise NotFound(query.account_id)
        return own
    if query.account_id is not None:
        async with ask.session() as session:
            ask.request[ACCOUNT] = (await accounts.get_account(session, query.account_id)).id
    return query.account_id


async def _told(session: AsyncSession, user: UserRow) -> dict[str, Any]:
    device_ids = (await users.devices_of(session, user.id))[user.id]
    return User.of(user, device_ids).model_dump(mode="python")
