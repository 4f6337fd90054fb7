"""`/softphone/phonebook.*`: the phonebook as softphones fetch it, with the device's own credentials."""

import base64
from collections.abc import AsyncIterator, Sequence

from aiohttp import web
from pydantic import Field

from portal_api.problems import Problem
from portal_api.resources.phonebook import csv_chunks, pages_of
from portal_api.routing import Ask, Resource
from portal_api.schemas import Query
from portal_api.softphone_phonebook import (
    LINPHONE_HEAD,
    LINPHONE_TAIL,
    linphone_friend,
    linphone_settings,
    vcard,
)
from portal_api.streaming import send_chunks
from store.models import Device
from store.phonebook import Entry
from store.phonebook_devices import device_of_link, device_of_password, standby_of

resource = Resource("ソフトフォンの電話帳", prefix="/softphone")

Pages = AsyncIterator[Sequence[Entry]]


class FeedQuery(Query):
    """`link` stands in the query, which no log holds."""

    link: str | None = Field(
        default=None,
        max_length=100,
        description="1回だけ使えるリンクの値。ないときはBasic認証(端末のusernameとpassword)",
    )


@resource.get("/phonebook.vcf", "電話帳(vCard 4)。端末のBasic認証か1回だけのリンク", produces="text/vcard")
async def get_phonebook_vcards(ask: Ask, query: FeedQuery) -> web.StreamResponse:
    _, pages, first = await _opened(ask, query)

    async def chunks() -> AsyncIterator[bytes]:
        yield "".join(map(vcard, first)).encode()
        async for entries in pages:
            yield "".join(map(vcard, entries)).encode()

    return await _send(ask, chunks(), "text/vcard; charset=utf-8", "phonebook.vcf")


@resource.get("/phonebook.csv", "電話帳(CSV)。端末のBasic認証か1回だけのリンク", produces="text/csv")
async def get_phonebook_table(ask: Ask, query: FeedQuery) -> web.StreamResponse:
    _, pages, first = await _opened(ask, query)
    return await _send(ask, csv_chunks(first, pages, "utf-8"), "text/csv; charset=utf-8", "phonebook.csv")


@resource.get(
    "/phonebook.xml", "電話帳(Linphoneの設定)。端末のBasic認証か1回だけのリンク", produces="application/xml"
)
async def get_phonebook_friends(ask: Ask, query: FeedQuery) -> web.StreamResponse:
    device, pages, first = await _opened(ask, query)
    async with ask.session() as session:
        standby = await standby_of(session, device.account_id, device.id)
    request = ask.request
    host = request.url.host or "localhost"
    settings = linphone_settings(standby, f"{request.scheme}://{request.host}/softphone/phonebook.vcf")

    async def chunks() -> AsyncIterator[bytes]:
        yield (LINPHONE_HEAD + settings).encode()
        place = 0
        async for entry in _one_by_one(first, pages):
            yield linphone_friend(place, entry, host).encode()
            place += len(entry.numbers)
        yield LINPHONE_TAIL.encode()

    return await _send(ask, chunks(), "application/xml; charset=utf-8", "phonebook.xml")


async def _opened(ask: Ask, query: FeedQuery) -> tuple[Device, Pages, Sequence[Entry]]:
    """Whose phonebook it is, and its pages, the first of them read: what is wrong shows before any answer."""
    device = await _device(ask, query.link)
    pages = pages_of(ask, device.account_id)
    return device, pages, await anext(pages)


async def _device(ask: Ask, link: str | None) -> Device:
    async with ask.session() as session:
        if link is not None:
            device = await device_of_link(session, link, use_up=ask.request.method == "GET")
        else:
            given = _credentials(ask.request.headers.get("Authorization", ""))
            key = ask.parts.secret_key
            device = await device_of_password(session, key, *given) if given else None
    if device is None:
        challenge = {"WWW-Authenticate": 'Basic realm="denwaban", charset="UTF-8"'}
        raise Problem("device_unauthorized", headers=challenge)
    return device


def _credentials(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:
        return None
    username, colon, password = given.partition(":")
    return (username, password) if scheme.lower() == "basic" and colon else None


async def _one_by_one(first: Sequence[Entry], pages: Pages) -> AsyncIterator[Entry]:
    for entry in first:
        yield entry
    async for entries in pages:
        for entry in entries:
            yield entry


async def _send(ask: Ask, chunks: AsyncIterator[bytes], content_type: str, name: str) -> web.StreamResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return await send_chunks(ask.request, chunks, content_type, headers)
