"""`/devices/{id}/provisioning` and the link it makes: a telephone sets itself up, once."""

import re

import segno
from aiohttp import web
from pydantic import BaseModel, Field

from portal_api.linphone import MEDIA_TYPE, provisioning_document
from portal_api.problems import Problem
from portal_api.routing import Ask, Resource
from portal_api.schemas import Timestamp
from store import provisioning_links
from store.errors import NotFound

resource = Resource("端末")
public = Resource("端末", prefix="")

PATH = "/provisioning/"
SECRET = re.compile(r"[A-Za-z0-9_-]{20,100}")
QR_SCALE = 6


class ProvisioningLink(BaseModel):
    id: str
    url: str = Field(description="1回だけ使えるアドレス。この応答でしか見られない")
    qr: str = Field(description="urlのQRコード(PNG、data: URI)。Linphoneで読み取る")
    expires_at: Timestamp = Field(description="これより後は使えない(10分間有効)")


@resource.post("/devices/{device_id}/provisioning", "電話アプリを設定するリンクとQRコードを作る", status=201)
async def make_link(ask: Ask, account_id: str, device_id: str) -> ProvisioningLink:
    async with ask.session() as session:
        link, secret = await provisioning_links.make_link(session, account_id, device_id)
    url = f"{ask.parts.public_url or ask.request.url.origin()}{PATH}{secret}"
    code = segno.make_qr(url, error="m")
    return ProvisioningLink(
        id=link.id, url=url, qr=code.png_data_uri(scale=QR_SCALE), expires_at=link.expires_at
    )


@public.get(f"{PATH}{{secret}}", "電話アプリの設定(Linphone)。リンクは1回だけ使える", produces=MEDIA_TYPE)
async def use_link(ask: Ask, secret: str) -> web.Response:
    # Whoever only looks whether it is there must not use it up.
    if ask.request.method == "HEAD" or not SECRET.fullmatch(secret) or ask.parts.sip_server is None:
        raise _gone()
    try:
        async with ask.session() as session:
            device = await provisioning_links.use_link(session, ask.parts.secret_key, secret)
    except NotFound:
        raise _gone() from None
    return web.Response(
        body=provisioning_document(device, ask.parts.sip_server),
        content_type=MEDIA_TYPE,
        charset="utf-8",
        headers={"Cache-Control": "no-store"},
    )


def _gone() -> Problem:
    return Problem("not_found", "このリンクは使用済みか、期限が切れています。新しいリンクを作ってください。")
