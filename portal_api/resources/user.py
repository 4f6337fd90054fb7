"""`/user`: what everybody who has signed in may do with the own user."""

from typing import Annotated

import segno
from pydantic import BaseModel, Field, StringConstraints

from portal_api.access import Who
from portal_api.passwords import NewPassword, PasswordGiven, hashed, prove
from portal_api.resources.users import User
from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, Label
from store import one_time_codes, users
from store.models import User as UserRow

resource = Resource("自分のユーザー")

Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$"), Field(examples=["123456"])]


class OwnChange(Body):
    name: Label


class NewOwnPassword(Body):
    password: PasswordGiven = Field(description="今のパスワード")
    new_password: NewPassword


class Proof(Body):
    password: PasswordGiven = Field(description="今のパスワード")


class SecondFactorBegun(BaseModel):
    """認証アプリに登録するもの。コードを1度確かめるまでは、サインインに必要にならない"""

    secret: str = Field(description="手で入力するときの鍵(BASE32)")
    uri: str = Field(description="otpauth://totp/…")
    qr_svg: str = Field(description="uriのQRコード(SVG)")


class Confirmation(Body):
    code: Code = Field(description="認証アプリに表示された6桁のコード")


class RecoveryCodes(BaseModel):
    recovery_codes: list[str] = Field(
        description="認証アプリがないときに1つずつ使えるコード。この応答でしか見られない"
    )


@resource.get("/user", "自分のユーザー", who=Who.SIGNED_IN)
async def get_own_user(ask: Ask) -> User:
    async with ask.session() as session:
        user = await users.get_user(session, ask.identity.account_id, _id(ask))
        return User.of(user, (await users.devices_of(session, user.id))[user.id])


@resource.patch("/user", "自分の名前を変える", who=Who.SIGNED_IN)
async def change_own_user(ask: Ask, body: OwnChange) -> User:
    async with ask.session() as session:
        user = await users.change_user(session, ask.identity.account_id, _id(ask), name=body.name)
        return User.of(user, (await users.devices_of(session, user.id))[user.id])


@resource.post(
    "/user/password",
    "自分のパスワードを変える。ほかの場所ではサインアウトする",
    status=204,
    who=Who.SIGNED_IN,
)
async def change_own_password(ask: Ask, body: NewOwnPassword) -> None:
    user = await _proven(ask, body.password)
    password_hash = await hashed(ask, body.new_password, user.login)
    async with ask.session() as session:
        await users.set_password(session, user.id, password_hash, but_session=ask.identity.token_id)


@resource.post("/user/second-factor", "2段階認証の設定を始める", status=201, who=Who.SIGNED_IN)
async def begin_second_factor(ask: Ask, body: Proof) -> SecondFactorBegun:
    user = await _proven(ask, body.password)
    async with ask.session() as session:
        _, secret = await users.begin_second_factor(session, ask.parts.secret_key, user.id)
    uri = one_time_codes.uri(secret, user.login)
    return SecondFactorBegun(secret=secret, uri=uri, qr_svg=segno.make(uri).svg_inline(scale=4))


@resource.put("/user/second-factor", "認証アプリのコードを確かめ、2段階認証をONにする", who=Who.SIGNED_IN)
async def finish_second_factor(ask: Ask, body: Confirmation) -> RecoveryCodes:
    async with ask.session() as session:
        codes = await users.finish_second_factor(session, ask.parts.secret_key, _id(ask), body.code)
    return RecoveryCodes(recovery_codes=codes)


@resource.post("/user/second-factor:end", "2段階認証をOFFにする", status=204, who=Who.SIGNED_IN)
async def end_second_factor(ask: Ask, body: Proof) -> None:
    user = await _proven(ask, body.password)
    async with ask.session() as session:
        await users.end_second_factor(session, user.account_id, user.id)


@resource.post(
    "/user/recovery-codes", "リカバリーコードを作り直す。古いものは使えなくなる", who=Who.SIGNED_IN
)
async def remake_recovery_codes(ask: Ask, body: Proof) -> RecoveryCodes:
    user = await _proven(ask, body.password)
    async with ask.session() as session:
        return RecoveryCodes(recovery_codes=await users.remake_recovery_codes(session, user.id))


async def _proven(ask: Ask, password: str) -> UserRow:
    """Who leaves a screen unlocked does not give the account away."""
    return await prove(ask, ask.identity.name, password)


def _id(ask: Ask) -> str:
    return ask.identity.by
