"""Users: who signs in, what they may do, and the second factor they sign in with."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store import accounts, one_time_codes
from store.errors import Conflict, NotFound, Unusable
from store.models import Device, Role, Token, User, UserDevice, now
from store.pages import Page, PageRequest, read_page
from store.sealing import seal, unseal
from store.tokens import end_sessions


class UserFields(TypedDict, total=False):
    """What of a user may be changed."""

    role: Role
    name: str
    enabled: bool
    device_ids: Sequence[str]


async def list_users(session: AsyncSession, account_id: str | None, request: PageRequest) -> Page[User]:
    """Give a page of the account's users, oldest first; of the operators where it is None."""
    whose = User.account_id.is_(None) if account_id is None else User.account_id == account_id
    key = (User.created_at, User.id)
    return await read_page(session, select(User).where(whose), key, request, newest_first=False)


async def get_user(session: AsyncSession, account_id: str | None, user_id: str) -> User:
    """Give the account's user, or the operator where `account_id` is None. Raises NotFound."""
    user = await session.get(User, user_id)
    if user is None or user.account_id != account_id:
        raise NotFound(user_id)
    return user


async def devices_of(session: AsyncSession, *user_ids: str) -> dict[str, list[str]]:
    """Give the ids of the devices that each user uses."""
    found: dict[str, list[str]] = {user_id: [] for user_id in user_ids}
    rows = select(UserDevice.user_id, UserDevice.device_id).where(UserDevice.user_id.in_(user_ids))
    for user_id, device_id in await session.execute(rows.order_by(UserDevice.device_id)):
        found[user_id].append(device_id)
    return found


async def create_user(
    session: AsyncSession,
    account_id: str | None,
    role: Role,
    login: str,
    password_hash: str,
    name: str = "",
    device_ids: Sequence[str] = (),
) -> User:
    """Make a user. `login` is one space for all accounts, and case does not count in it.

    Raises Conflict `login_taken`, Unusable for the account, the role or a device.
    """
    if account_id is not None:
        await accounts.refuse_unknown(session, account_id)
    login = login.casefold()
    if await session.scalar(select(User.id).where(User.login == login)):
        raise Conflict("login_taken")
    _refuse_unfit_role(account_id, role)
    user = User(account_id=account_id, role=role, login=login, name=name, password_hash=password_hash)
    session.add(user)
    await session.flush()
    await _bind(session, user, device_ids)
    return user


async def change_user(
    session: AsyncSession, account_id: str | None, user_id: str, **changes: Unpack[UserFields]
) -> User:
    """Set what is given and leave the rest. Raises NotFound, Unusable.

    What a user may do is looked up at every request, so it takes effect at once.
    """
    user = await get_user(session, account_id, user_id)
    if "role" in changes:
        _refuse_unfit_role(account_id, changes["role"])
        user.role = changes["role"]
    user.name = changes.get("name", user.name)
    user.enabled = changes.get("enabled", user.enabled)
    if "device_ids" in changes:
        await _bind(session, user, changes["device_ids"])
    await session.flush()
    return user


async def delete_user(session: AsyncSession, account_id: str | None, user_id: str) -> None:
    """Delete the user with all tokens and sessions. Raises NotFound."""
    user = await get_user(session, account_id, user_id)
    await session.execute(delete(Token).where(Token.user_id == user_id))
    await session.execute(delete(UserDevice).where(UserDevice.user_id == user_id))
    await session.delete(user)


async def set_password(
    session: AsyncSession, user_id: str, password_hash: str, but_session: str | None = None
) -> None:
    """Set the password and sign the user out everywhere, except from the session `but_session`."""
    changed = update(User).where(User.id == user_id)
    await session.execute(changed.values(password_hash=password_hash, password_changed_at=now()))
    await end_sessions(session, user_id, but_session)


async def begin_second_factor(session: AsyncSession, secret_key: str, user_id: str) -> tuple[User, str]:
    """Give the user a secret for one-time codes, which counts once a code of it was shown.

    Raises Conflict `second_factor_on`.
    """
    user = await _locked(session, user_id)
    if user.totp_since is not None:
        raise Conflict("second_factor_on")
    secret = one_time_codes.new_secret()
    user.sealed_totp_secret = seal(secret, secret_key)
    return user, secret


async def finish_second_factor(session: AsyncSession, secret_key: str, user_id: str, code: str) -> list[str]:
    """Have one-time codes asked for from now on, and give the recovery codes, shown this once.

    Raises Conflict `second_factor_on` or `second_factor_not_begun`, Unusable `wrong` for the code.
    """
    user = await _locked(session, user_id)
    if user.totp_since is not None:
        raise Conflict("second_factor_on")
    if user.sealed_totp_secret is None:
        raise Conflict("second_factor_not_begun")
    at = now()
    step = one_time_codes.step_of(code, unseal(user.sealed_totp_secret, secret_key), at, 0)
    if step is None:
        raise Unusable("code", "wrong")
    user.totp_since, user.totp_step = at, step
    return _new_recovery_codes(user)


async def remake_recovery_codes(session: AsyncSession, user_id: str) -> list[str]:
    """Make new recovery codes; the old ones are worthless. Raises Conflict `second_factor_off`."""
    user = await _locked(session, user_id)
    if user.totp_since is None:
        raise Conflict("second_factor_off")
    return _new_recovery_codes(user)


async def end_second_factor(session: AsyncSession, account_id: str | None, user_id: str) -> None:
    """Ask for no one-time codes any more. That none were asked for is no error. Raises NotFound."""
    user = await get_user(session, account_id, user_id)
    user.sealed_totp_secret, user.totp_since, user.recovery_digests = None, None, []


async def passes_second_factor(
    session: AsyncSession, secret_key: str, user_id: str, code: str, at: datetime
) -> bool:
    """Whether `code` is the user's one-time code or a recovery code that is left; each works once."""
    user = await _locked(session, user_id)
    if user.totp_since is None or user.sealed_totp_secret is None:
        return True
    step = one_time_codes.step_of(code, unseal(user.sealed_totp_secret, secret_key), at, user.totp_step)
    if step is not None:
        user.totp_step = step
        return True
    digest = one_time_codes.recovery_digest(code)
    if digest not in user.recovery_digests:
        return False
    user.recovery_digests = [one for one in user.recovery_digests if one != digest]
    return True


async def _locked(session: AsyncSession, user_id: str) -> User:
    # A write first: on both databases whoever else is at this user's codes waits, then sees ours.
    await session.execute(update(User).where(User.id == user_id).values(id=User.id))
    user = await session.get(User, user_id, populate_existing=True)
    if user is None:
        raise NotFound(user_id)
    return user


def _new_recovery_codes(user: User) -> list[str]:
    codes = one_time_codes.new_recovery_codes()
    user.recovery_digests = [one_time_codes.recovery_digest(code) for code in codes]
    return codes


def _refuse_unfit_role(account_id: str | None, role: Role) -> None:
    if (role is Role.OPERATOR) != (account_id is None):
        raise Unusable("role", "of_operators" if role is Role.OPERATOR else "not_of_operators")


async def _bind(session: AsyncSession, user: User, device_ids: Sequence[str]) -> None:
    wanted = sorted(set(device_ids))
    ours = select(func.count()).where(Device.id.in_(wanted), Device.account_id == user.account_id)
    if await session.scalar(ours.select_from(Device)) != len(wanted):
        raise Unusable("device_ids", "not_found")
    await session.execute(delete(UserDevice).where(UserDevice.user_id == user.id))
    session.add_all(UserDevice(user_id=user.id, device_id=device_id) for device_id in wanted)
    await session.flush()
