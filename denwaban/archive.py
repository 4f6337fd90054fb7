"""A back-up's file: a tar with the rows of every table, every media file, and a manifest at its end.

tables/<table>.jsonl   a JSON object per row; times in UTC, binary as base64
media/<name>           as they lie in the media folder
manifest.json          what it is, when it was made, and the size and SHA-256 of every member
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

FORMAT = 1
MANIFEST = "manifest.json"
TABLES, MEDIA = "tables/", "media/"
CHUNK = 1024 * 1024


class BackupRefused(Exception):
    """A back-up that cannot be made, read or restored; the message says why."""


@dataclass
class Manifest:
    """What a back-up says of itself. `key_check` opens with the key that seals its secrets."""

    made_at: str
    revision: str
    key_check: str
    format: int = FORMAT
    rows: dict[str, int] = field(default_factory=dict)
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """Media files that went while it was made: their rows were being deleted."""


class Writer:
    """Adds members to a back-up and remembers their SHA-256."""

    def __init__(self, tar: tarfile.TarFile, manifest: Manifest) -> None:
        self._tar = tar
        self.manifest = manifest

    def add(self, name: str, path: Path) -> None:
        """Add the file at `path`. Raises FileNotFoundError."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = size, int(path.stat().st_mtime), 0o600
            reading = _Hashing(file)
            self._tar.addfile(member, reading)  # type: ignore[arg-type]
        self.manifest.members[name] = {"bytes": size, "sha256": reading.sha256.hexdigest()}

    def finish(self) -> None:
        content = json.dumps(asdict(self.manifest), ensure_ascii=False, indent=1).encode()
        member = tarfile.TarInfo(MANIFEST)
        member.size, member.mode = len(content), 0o600
        self._tar.addfile(member, io.BytesIO(content))


class _Hashing:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        chunk = self._file.read(size)
        self.sha256.update(chunk)
        return chunk


@contextmanager
def writing(target: Path, manifest: Manifest) -> Iterator[Writer]:
    """A new back-up at `target`, which appears only when it is whole and on disk. Raises BackupRefused."""
    if target.exists():
        raise BackupRefused(f"{target} is there already")
    draft = target.with_name(f".{target.name}.part")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                writer = Writer(tar, manifest)
                yield writer
                writer.finish()
            file.flush()
            os.fsync(file.fileno())
        draft.rename(target)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def verified(path: Path) -> Manifest:
    """Read all of a back-up, and give its manifest if every member is as it says. Raises BackupRefused."""
    found: dict[str, dict[str, Any]] = {}
    manifest: Manifest | None = None
    with readable(path):
        for name, content in members(path):
            if name == MANIFEST:
                manifest = _parsed(content.read())
            else:
                found[name] = _measured(content)
    if manifest is None:
        raise BackupRefused(f"{path} is no back-up, or breaks off: it has no manifest")
    names = sorted(found.keys() | manifest.members.keys())
    wrong = [name for name in names if found.get(name) != manifest.members.get(name)]
    if wrong:
        raise BackupRefused(f"{path} is damaged: {len(wrong)} members differ, the first is {wrong[0]}")
    return manifest


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Around whatever reads a back-up. Raises BackupRefused where that is impossible."""
    try:
        yield
    except (tarfile.TarError, OSError, EOFError) as trouble:
        raise BackupRefused(f"{path} cannot be read: {trouble}") from None


def members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The members of a back-up in their order, each to be read before the next."""
    with tarfile.open(path, mode="r:") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is None:
                raise BackupRefused(f"{path}: {member.name} is no file")
            yield member.name, content


def _measured(content: IO[bytes]) -> dict[str, Any]:
    sha256, size = hashlib.sha256(), 0
    while chunk := content.read(CHUNK):
        sha256.update(chunk)
        size += len(chunk)
    return {"bytes": size, "sha256": sha256.hexdigest()}


def _parsed(content: bytes) -> Manifest:
    try:
        told = json.loads(content)
        if told["format"] != FORMAT:
            raise BackupRefused(f"the back-up has format {told['format']}, this release reads {FORMAT}")
        return Manifest(**told)
    except (ValueError, KeyError, TypeError):
        raise BackupRefused("the back-up's manifest cannot be read") from None
