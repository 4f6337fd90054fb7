"""Fetching models: `python -m transcribe.models` lists them, `... fetch small` brings one.

A model is downloaded (an interrupted download goes on where it stopped), checked against what its site
publishes, unpacked, loaded once for proof, and only then put where the service looks. Whatever stops it
half-way, the model in use stays in use.
"""

import argparse
import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import aiohttp

from settings import SettingsRefused, read_settings
from settings.environment import CURRENT_MODEL
from store.models import now
from transcribe.engine import ModelRefused
from transcribe.recognisers import Listening

MEGABYTE = 1_000_000
LIST_LIMIT = 4 * MEGABYTE
MOST_FILES = 1000
PIECE = 1 << 20
TRIES = 5
WAIT_S = 2.0
QUIET_LIMIT_S = 60.0


@dataclass(frozen=True)
class Offer:
    """A published model. Limits are for what may come in its name, in bytes."""

    name: str
    size: str
    accuracy: str
    download_limit: int
    unpacked_limit: int


OFFERS = {
    "small": Offer(
        "vosk-model-small-ja-0.22",
        "48 MB",
        "9.52 % / 17.07 % of characters wrong (CSJ / TED10k), one core is enough",
        100 * MEGABYTE,
        500 * MEGABYTE,
    ),
    "large": Offer(
        "vosk-model-ja-0.22",
        "about 1 GB",
        "8.40 % / 13.91 % of characters wrong (CSJ / TED10k), several GB of memory",
        2000 * MEGABYTE,
        6000 * MEGABYTE,
    ),
}
CAVEAT = "Published figures for wide-band speech; expect 5 to 15 points more on the telephone."


class CannotFetch(Exception):
    """Why there is no model; for the person at the terminal."""


Say = Callable[[str], None]


async def fetch(offer: Offer, site: str, folder: Path, say: Say, sha256: str | None = None) -> Path:
    """Bring `offer` into `folder` and make it the current one. Raises CannotFetch."""
    with _alone(folder):
        placed = folder / offer.name
        if not placed.is_dir():
            await _bring(offer, site, folder, say, sha256)
        make_current(placed)
    say(f"{offer.name} is in use: {folder / CURRENT_MODEL}")
    return placed


async def _bring(offer: Offer, site: str, folder: Path, say: Say, sha256: str | None) -> None:
    download = folder / f"{offer.name}.zip.part"
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=QUIET_LIMIT_S, sock_read=QUIET_LIMIT_S)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as http:
        md5 = await _published_md5(http, site, offer.name)
        url = f"{site}/{offer.name}.zip"
        await _download(http, url, download, offer.download_limit, say)
    say("checking ...")
    sums = await asyncio.to_thread(_sums, download)
    if (md5 and md5 != sums["md5"]) or (sha256 and sha256.lower() != sums["sha256"]):
        download.unlink()
        raise CannotFetch("what came is not what was published (checksum); it is deleted, try again")
    if not md5 and not sha256:
        say("no checksum is published for it; its SHA-256 is " + sums["sha256"])
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as unpacked:
        model = await asyncio.to_thread(unpack, download, Path(unpacked), offer)
        say("loading it once for proof ...")
        await _prove(model)
        told = {"url": url, "fetched_at": now().isoformat(), **sums}
        (folder / f"{offer.name}.json").write_text(json.dumps(told, indent=1))
        await asyncio.to_thread(_sync_files, model)
        model.rename(folder / offer.name)
    download.unlink()
    _tag_of(download).unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else fetches meanwhile; what one that was killed was unpacking goes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotFetch("another fetch is under way") from None
        for left in folder.glob(".unpacking-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


async def _published_md5(http: aiohttp.ClientSession, site: str, name: str) -> str | None:
    """What the site's list of models says; None where it says nothing."""
    try:
        async with http.get(f"{site}/model-list.json") as answer:
            if answer.status != 200:
                return None
            models = json.loads(await answer.content.read(LIST_LIMIT))
        found = [model.get("md5") for model in models if model.get("name") == name]
    except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError, TypeError):
        return None
    return str(found[0]).lower() if found and found[0] else None


async def _download(http: aiohttp.ClientSession, url: str, part: Path, limit: int, say: Say) -> None:
    for attempt in range(TRIES):
        try:
            await _download_rest(http, url, part, limit, say)
            return
        except (aiohttp.ClientError, TimeoutError) as broken:
            reason = str(broken) or type(broken).__name__
            if attempt == TRIES - 1:
                raise CannotFetch(f"{url}: {reason}; what came so far is kept") from None
            say(f"interrupted ({reason}), going on ...")
            await asyncio.sleep(WAIT_S)
        except OSError as refused:
            raise CannotFetch(f"cannot write {part}: {refused.strerror}") from None


async def _download_rest(http: aiohttp.ClientSession, url: str, part: Path, limit: int, say: Say) -> None:
    have, tag = _so_far(part)
    # If-Range: a file that was changed meanwhile comes whole, and never as two halves of two.
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
    async with http.get(url, headers=headers) as answer:
        if answer.status == 416:
            if have and answer.headers.get("Content-Range") == f"bytes */{have}":
                return  # All of it is there.
            _remember_tag(part, "")
            raise aiohttp.ClientPayloadError("it was changed on the site")
        if answer.status not in (200, 206):
            raise CannotFetch(f"{url} answers {answer.status}")
        went_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(
            f"bytes {have}-"
        )
        if answer.status == 206 and not went_on:
            raise CannotFetch(f"{url} sends another part than was asked for")
        have = have if went_on else 0
        total = have + (answer.content_length or 0)
        if total > limit:
            raise CannotFetch(f"{url} is larger than {limit // MEGABYTE} MB: not what it should be")
        if total - have > shutil.disk_usage(part.parent).free:
            raise CannotFetch(f"not enough disk for {total // MEGABYTE} MB in {part.parent}")
        _remember_tag(part, answer.headers.get("ETag", ""))
        with part.open("ab" if went_on else "wb") as file:
            shown = have // (10 * MEGABYTE)
            async for piece in answer.content.iter_chunked(PIECE):
                have += len(piece)
                if have > limit:
                    raise CannotFetch(f"{url} is larger than {limit // MEGABYTE} MB: not what it should be")
                file.write(piece)
                if have // (10 * MEGABYTE) > shown:
                    shown = have // (10 * MEGABYTE)
                    say(f"{have // MEGABYTE} of {total // MEGABYTE or '?'} MB")


def _tag_of(part: Path) -> Path:
    """Where we keep which version of the file a part is of."""
    return part.with_suffix(".tag")


def _so_far(part: Path) -> tuple[int, str]:
    """How much there is of which version; nothing where the version is not known."""
    try:
        return part.stat().st_size, _tag_of(part).read_text()
    except FileNotFoundError:
        return 0, ""


def _remember_tag(part: Path, tag: str) -> None:

    if tag and not tag.startswith("W/"):
        _tag_of(part).write_text(tag)
    else:
        _tag_of(part).unlink(missing_ok=True)


def _sums(path: Path) -> dict[str, str]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            md5.update(piece)
            sha256.update(piece)
    return {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}


def unpack(archive: Path, target: Path, offer: Offer) -> Path:
    """Unpack a model into `target` and give its folder. Raises CannotFetch for a hostile archive."""
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
            _check_members(members, offer)
            for member in members:
                _unpack_one(packed, member, target)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as wrong:
        archive.unlink()
        raise CannotFetch(f"what came is no sound ZIP file ({wrong}); it is deleted") from None
    except OSError as refused:
        raise CannotFetch(f"cannot unpack: {refused.strerror}") from None
    return target / offer.name


def _check_members(members: list[zipfile.ZipInfo], offer: Offer) -> None:
    for member in members:
        path = PurePosixPath(member.filename)
        inside = path.parts[:1] == (offer.name,) and ".." not in path.parts and "\\" not in member.filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not inside or kind not in (0, stat.S_IFREG) or not member.filename.isprintable():
            raise ValueError(f"it holds {member.filename[:80]!r}")
    if len(members) > MOST_FILES or sum(member.file_size for member in members) > offer.unpacked_limit:
        raise ValueError("it would unpack to more than such a model is")


def _unpack_one(packed: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """What is written is never more than the size that was checked, and its CRC is right."""
    path = target / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    with packed.open(member) as source, path.open("xb") as file:
        shutil.copyfileobj(source, file, PIECE)


async def _prove(model: Path) -> None:
    try:
        listening = await Listening.start("vosk", model)
    except ModelRefused as refused:
        raise CannotFetch(f"the model that came cannot be loaded: {refused}") from None
    await listening.stop()


def _sync_files(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_current(model: Path) -> None:
    """Let `current` mean this model, from one moment to the next."""
    draft = model.parent / f".{CURRENT_MODEL}.new"
    draft.unlink(missing_ok=True)
    draft.symlink_to(model.name)
    draft.replace(model.parent / CURRENT_MODEL)


def described() -> str:
    """What there is to fetch."""
    lines = [f"  {key:<6} {offer.name}, {offer.size}: {offer.accuracy}" for key, offer in OFFERS.items()]
    return "\n".join(["Models for Japanese:", *lines, CAVEAT])


def main() -> int:
    """The command; 1 with a reason when there is no model at the end."""
    parser = argparse.ArgumentParser(prog="python -m transcribe.models", description="models for speech")
    parser.add_argument("action", nargs="?", choices=["list", "fetch"], default="list")
    parser.add_argument("which", nargs="?", choices=list(OFFERS), default="small")
    parser.add_argument("--sha256", help="refuse whatever has another SHA-256")
    given = parser.parse_args()
    if given.action == "list":
        _say(described())
        return 0
    try:
        settings = read_settings(os.environ, Path.cwd())
        offer = OFFERS[given.which]
        _say(f"{offer.name}, {offer.size}: {offer.accuracy}. {CAVEAT}")
        asyncio.run(fetch(offer, settings.vosk_models_url, settings.models, _say, given.sha256))
        if settings.vosk_model != settings.models / CURRENT_MODEL:
            _say(f"DENWABAN_VOSK_MODEL says otherwise: {settings.vosk_model} is used")
    except (CannotFetch, SettingsRefused) as reason:
        _complain(f"no model: {reason}")
        return 1
    except KeyboardInterrupt:
        _complain("stopped; the next fetch goes on where this one was")
        return 130
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
