"""Fetching a model from a site of our own: whole, interrupted, changed, wrong, hostile."""

import hashlib
import io
import stat
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.speech import MODELS
from transcribe.models import OFFERS, CannotFetch, fetch

pytestmark = pytest.mark.integration

OFFER = OFFERS["small"]


def packed(name: str = OFFER.name, without: str = "") -> bytes:
    """The small model for tests under a published model's name."""
    out = io.BytesIO()
    source = MODELS / "ja-words-16k"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(source.rglob("*")):
            if path.is_file() and path.name != without:
                archive.write(path, f"{name}/{path.relative_to(source)}")
    return out.getvalue()


@dataclass
class Site:
    """Serves one file in one version, and may break off."""

    content: bytes
    md5: str | None = "right"
    breaks: list[int] = field(default_factory=list)
    """After how many bytes each of the next answers ends."""

    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    async def models(self, _request: web.Request) -> web.Response:
        if self.md5 is None:
            raise web.HTTPNotFound
        right = hashlib.md5(self.content).hexdigest()
        told = [
            {"name": "another", "md5": "0"},
            {"name": OFFER.name, "md5": right if self.md5 == "right" else self.md5},
        ]
        return web.json_response(told)

    async def file(self, request: web.Request) -> web.StreamResponse:
        tag = f'"{hashlib.sha256(self.content).hexdigest()}"'
        asked = request.headers.get("Range")
        self.asked.append(asked)
        start = 0
        if asked and request.headers.get("If-Range") == tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(self.content):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(self.content)}"})
        rest = self.content[start:]
        answer = web.StreamResponse(status=206 if start else 200, headers={"ETag": tag})
        if start:
            whole = len(self.content)
            answer.headers["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}"
        answer.content_length = len(rest)
        await answer.prepare(request)
        if self.breaks:
            await answer.write(rest[: self.breaks.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return answer
        await answer.write(rest)
        return answer


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr("transcribe.models.WAIT_S", 0.01)
    site = Site(packed())
    app = web.Application()
    app.router.add_get("/model-list.json", site.models)
    app.router.add_get(f"/{OFFER.name}.zip", site.file)
    async with TestServer(app) as server:
        site.url = str(server.make_url("")).rstrip("/")
        yield site


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def said(_text: str) -> None:
    """Nobody reads along."""


async def refused(site: Site, folder: Path, offer: object = OFFER, **more: str) -> str:
    assert isinstance(offer, type(OFFER))
    with pytest.raises(CannotFetch) as refusal:
        await fetch(offer, site.url, folder, said, **more)
    assert not (folder / "current").is_symlink()
    assert not (folder / OFFER.name).exists()
    assert not any(name.startswith(".unpacking-") for name in names(folder))
    return str(refusal.value)


async def test_a_model_is_fetched_checked_and_made_current(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    placed = await fetch(OFFER, site.url, folder, said)
    assert (folder / "current").resolve() == placed
    original = (MODELS / "ja-words-16k" / "am" / "final.mdl").read_bytes()
    assert (folder / "current" / "am" / "final.mdl").read_bytes() == original
    digest = hashlib.sha256(site.content).hexdigest()
    assert digest in (folder / f"{OFFER.name}.json").read_text()
    assert f"{OFFER.name}.zip.part" not in names(folder)
    # Once it is there, nothing is fetched again.
    await fetch(OFFER, site.url, folder, said)
    assert len(site.asked) == 1


async def test_an_interrupted_download_goes_on(site: Site, tmp_path: Path) -> None:
    site.breaks = [300_000, 200_000]
    await fetch(OFFER, site.url, tmp_path, said)
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in site.asked if asked]
    assert len(site.asked) == 3
    assert 0 < starts[0] < starts[1] < len(site.content)


async def test_a_download_goes_on_in_another_run(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transcribe.models.TRIES", 1)
    site.breaks = [300_000]
    assert "what came so far is kept" in await refused(site, tmp_path)
    await fetch(OFFER, site.url, tmp_path, said)
    assert site.asked[0] is None
    assert site.asked[1] is not None


async def test_a_file_that_was_changed_meanwhile_is_fetched_anew(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transcribe.models.TRIES", 1)
    site.breaks = [300_000]
    await refused(site, tmp_path)
    site.content = packed() + b"\0"
    await fetch(OFFER, site.url, tmp_path, said)


async def test_a_download_that_was_whole_already_is_used(site: Site, tmp_path: Path) -> None:
    tag = f'"{hashlib.sha256(site.content).hexdigest()}"'
    (tmp_path / f"{OFFER.name}.zip.part").write_bytes(site.content)
    (tmp_path / f"{OFFER.name}.zip.tag").write_text(tag)
    await fetch(OFFER, site.url, tmp_path, said)
    assert (tmp_path / "current").is_dir()


async def test_another_checksum_is_refused_and_nothing_kept(site: Site, tmp_path: Path) -> None:
    site.md5 = "0" * 32
    assert "checksum" in await refused(site, tmp_path)
    assert f"{OFFER.name}.zip.part" not in names(tmp_path)
    site.md5 = None
    assert "checksum" in await refused(site, tmp_path, sha256="0" * 64)
    await fetch(OFFER, site.url, tmp_path, said, hashlib.sha256(site.content).hexdigest().upper())


async def test_too_large_a_download_is_refused_before_it_comes(site: Site, tmp_path: Path) -> None:
    assert "larger" in await refused(site, tmp_path, replace(OFFER, download_limit=100_000))


async def test_a_bomb_is_refused(site: Site, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{OFFER.name}/am/final.mdl", bytes(20_000_000))
    site.content = out.getvalue()
    assert "more than such a model" in await refused(
        site, tmp_path, replace(OFFER, unpacked_limit=10_000_000)
    )


def hostile(name: str, mode: int = stat.S_IFREG | 0o644) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, "/etc/passwd")
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        hostile("../evil"),
        hostile(f"{OFFER.name}/../../evil"),
        hostile("/tmp/evil"),
        hostile("elsewhere/evil"),
        hostile(f"{OFFER.name}\\..\\evil"),
        hostile(f"{OFFER.name}/link", stat.S_IFLNK | 0o777),
        hostile(f"{OFFER.name}/pipe", stat.S_IFIFO | 0o777),
        b"no zip at all",
        b"",
        packed()[:-100],
    ],
)
async def test_hostile_and_broken_archives(site: Site, tmp_path: Path, content: bytes) -> None:
    site.content = content
    if not content:
        site.md5 = None
    await refused(site, tmp_path / "models")
    assert names(tmp_path) <= {
        "models",
        ".lock",
        f"{OFFER.name}.zip.tag",
        f"{OFFER.name}.zip.part",
    }


async def test_a_model_that_cannot_be_loaded_is_not_placed(site: Site, tmp_path: Path) -> None:
    site.content = packed(without="HCLG.fst")
    assert "graph/HCLG.fst" in await refused(site, tmp_path)


async def test_a_site_without_the_model(site: Site, tmp_path: Path) -> None:
    site.url += "/elsewhere"
    assert "404" in await refused(site, tmp_path)


async def test_a_site_that_is_away(site: Site, tmp_path: Path) -> None:
    site.url = "http://127.0.0.1:9"
    await refused(site, tmp_path)


async def test_a_model_in_use_stays_when_another_cannot_be_fetched(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "current").symlink_to("mine")
    site.content = b"no zip"
    with pytest.raises(CannotFetch):
        await fetch(OFFER, site.url, tmp_path, said)
    assert (tmp_path / "current").resolve() == tmp_path / "mine"
