"""`/devices/{id}/registrations`: where a device is logged in, and logging it out (端末の解除)."""

from typing import Self

from pydantic import BaseModel, Field

from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, PageOf, Timestamp
from portal_api.user_agents import System, read_agent
from store import registrations, releases
from store.models import DeviceRelease, ReleaseState, now
from store.models import Registration as RegistrationRow

resource = Resource("端末の解除")


class Registration(BaseModel):
    id: str
    os: System
    os_name: str = Field(description="画面に出すOSの種類", examples=["Android"])
    app: str = Field(description="アプリの名前。名乗らないときは空", examples=["LinphoneAndroid"])
    user_agent: str
    address: str = Field(description="接続元のIPアドレスとポート", examples=["192.0.2.10:49152"])
    since: Timestamp = Field(description="最初に確認した日時")
    last_seen_at: Timestamp = Field(description="登録の更新か応答を最後に確認した日時")
    expires_at: Timestamp = Field(description="更新されないときに登録が切れる日時")
    latency_ms: float | None = Field(description="応答にかかった時間(ミリ秒)。まだ測れていないときはnull")
    reachable: bool | None = Field(description="応答があるか。まだ確かめていないときはnull")
    read_at: Timestamp = Field(description="この内容を確認した日時。数秒ごとに新しくなる")

    @classmethod
    def of(cls, row: RegistrationRow) -> Self:
        agent = read_agent(row.user_agent)
        return cls(
            id=row.id,
            os=agent.system,
            os_name=agent.label,
            app=agent.app,
            user_agent=row.user_agent,
            address=row.address,
            since=row.since,
            last_seen_at=row.seen_at,
            expires_at=row.expires_at,
            latency_ms=row.latency_ms,
            reachable=row.reachable,
            read_at=row.read_at,
        )


class Registrations(PageOf[Registration]):
    """ログイン中の端末すべて。古い順"""


class Release(BaseModel):
    id: str
    device_id: str
    state: ReleaseState = Field(
        description="pending: 処理中、verified: 登録が消え、古いパスワードでのログインが拒否されることまで"
        "確認した、failed: 確認できなかった(reasonに理由)"
    )
    reason: str | None = Field(
        description="確認できなかった理由: asterisk_unavailable, new_password_not_taken, contact_remains, "
        "call_remains, old_password_accepted, device_deleted"
    )
    end_calls: bool
    registrations_removed: int | None
    calls_ended: int | None
    requested_at: Timestamp
    finished_at: Timestamp | None

    @classmethod
    def of(cls, row: DeviceRelease) -> Self:
        return cls(
            id=row.id,
            device_id=row.device_id,
            state=row.state,
            reason=row.reason,
            end_calls=row.end_calls,
            registrations_removed=row.contacts_removed,
            calls_ended=row.calls_ended,
            requested_at=row.requested_at,
            finished_at=row.finished_at,
        )


class Releases(PageOf[Release]):
    """解除の履歴。新しい順に最大50件"""


class NewRelease(Body):
    end_calls: bool = Field(default=False, description="通話中の電話も切る")


@resource.get("/devices/{device_id}/registrations", "ログイン中の端末(OS、アプリ、接続元)")
async def list_registrations(ask: Ask, account_id: str, device_id: str) -> Registrations:
    async with ask.session() as session:
        rows = await registrations.list_registrations(session, account_id, device_id, now())
    return Registrations(items=[Registration.of(row) for row in rows], next=None)


@resource.post(
    "/devices/{device_id}/registrations:release",
    "端末を解除する。パスワードは新しくなり、古いものは使えなくなる",
    status=202,
)
async def release(ask: Ask, account_id: str, device_id: str, body: NewRelease) -> Release:
    async with ask.session() as session:
        asked = await releases.ask_release(
            session, ask.parts.secret_key, account_id, device_id, body.end_calls
        )
    return Release.of(asked)


@resource.get("/devices/{device_id}/releases", "解除の履歴")
async def list_releases(ask: Ask, account_id: str, device_id: str) -> Releases:
    async with ask.session() as session:
        rows = await releases.list_releases(session, account_id, device_id)
    return Releases(items=[Release.of(row) for row in rows], next=None)


@resource.get("/devices/{device_id}/releases/{release_id}", "解除の状態")
async def get_release(ask: Ask, account_id: str, device_id: str, release_id: str) -> Release:
    async with ask.session() as session:
        return Release.of(await releases.get_release(session, account_id, device_id, release_id))
