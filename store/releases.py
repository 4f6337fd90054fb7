"""Logging a device out (解除): asked for here, done and proven by whoever speaks with Asterisk."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.devices import get_device, rotate_password
from store.errors import NotFound
from store.jobs import enqueue
from store.models import DeviceRelease, ReleaseState, now

RELEASE_DEVICE = "release_device"
"""Kind of job: log a device out; the subject is the release."""


async def ask_release(
    session: AsyncSession, secret_key: str, account_id: str, device_id: str, end_calls: bool
) -> DeviceRelease:
    """Give the device a new password that nobody has seen, and have all that is logged in logged out.

    Raises NotFound.
    """
    old = (await get_device(session, account_id, device_id)).sealed_password
    await rotate_password(session, secret_key, account_id, device_id)
    release = DeviceRelease(
        account_id=account_id, device_id=device_id, sealed_old_password=old, end_calls=end_calls
    )
    session.add(release)
    await session.flush()
    # One at a time for a device: each proves the death of the password before it.
    enqueue(session, RELEASE_DEVICE, release.id, account_id, lane=f"release.{device_id}")
    return release


async def get_release(
    session: AsyncSession, account_id: str, device_id: str, release_id: str
) -> DeviceRelease:
    """Raises NotFound."""
    release = await session.get(DeviceRelease, release_id)
    if release is None or (release.account_id, release.device_id) != (account_id, device_id):
        raise NotFound(release_id)
    return release


async def list_releases(session: AsyncSession, account_id: str, device_id: str) -> Sequence[DeviceRelease]:
    """The device's last fifty, newest first. Raises NotFound."""
    await get_device(session, account_id, device_id)
    rows = select(DeviceRelease).where(
        DeviceRelease.device_id == device_id, DeviceRelease.account_id == account_id
    )
    newest = rows.order_by(DeviceRelease.requested_at.desc(), DeviceRelease.id.desc()).limit(50)
    return (await session.scalars(newest)).all()


def settle_release(
    release: DeviceRelease,
    reason: str | None,
    contacts_removed: int | None = None,
    calls_ended: int | None = None,
    at: datetime | None = None,
) -> None:
    """It is proven done, or `reason` (a stable code) says why not. The old password is forgotten."""
    release.state = ReleaseState.FAILED if reason else ReleaseState.VERIFIED
    release.reason = reason
    release.contacts_removed, release.calls_ended = contacts_removed, calls_ended
    release.finished_at = at or now()
    release.sealed_old_password = None
