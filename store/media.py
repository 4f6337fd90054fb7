"""Media files: prompts, messages and recordings, under names such as `messages/2026/11/23/<id>.wav`."""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from uuid import uuid4

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES}


class BadMediaName(ValueError):
    """The name would leave the media folder, or is not one we would give."""


class Media:
    """Durable files below one folder. Every method blocks: call it through `asyncio.to_thread`.

    A name appears only with its whole content, and what a method wrote is on disk when it returns.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where `name` is or would be. Raises BadMediaName."""
        if not NAME.fullmatch(name):
            raise BadMediaName(name)
        return self.folder / name

    def take(self, source: Path, name: str) -> None:
        """Make `source`'s content appear as `name`, by a hard link where possible.

        `source` stays: its owner removes it once the row that names `name` is committed. Taking the same
        file twice is harmless. Raises FileNotFoundError where there is no `source`.
        """
        path = self.path(name)
        _make_folder(path.parent)
        try:
            os.link(source, path)
        except FileNotFoundError:
            raise
        except OSError:
            self._take_anew(source, name)
        else:
            # The bytes and, on every journalling file system, the name that was just given to them.
            _sync(path)

    def _take_anew(self, source: Path, name: str) -> None:
        """Where the name is there already, or cannot be a link."""

        def link_or_copy(draft: Path) -> None:
            try:
                os.link(source, draft)
            except OSError as refused:
                if refused.errno not in CANNOT_LINK:
                    raise
                shutil.copyfile(source, draft)

        self._publish(name, link_or_copy)

    def put(self, content: bytes, name: str) -> None:
        """Write `content` as `name`."""
        self._publish(name, lambda draft: draft.write_bytes(content))

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Have `write` fill a file that then appears as `name`: for what is too large to be in memory."""
        self._publish(name, write)

    def remove(self, *names: str) -> None:
        """Remove `names` for good. A name that is not there is fine."""
        paths = [path for path in map(self.path, names) if path.exists()]
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths}:
            _sync(folder)

    def missing(self, names: Iterable[str]) -> set[str]:
        """Those of `names` that are not there."""
        return {name for name in set(names) if not self.path(name).is_file()}

    def touch(self, name: str) -> None:
        """Note that `name` was needed until now. A name that is not there is fine."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path(name))

    def names_older(self, prefix: str, moment: datetime) -> list[str]:
        """The names below the folder `prefix` that were last written or touched before `moment`."""
        return [
            path.relative_to(self.folder).as_posix()
            for path in self.path(prefix).rglob("*")
            if NAME.fullmatch(path.relative_to(self.folder).as_posix())
            and path.is_file()
            and path.stat().st_mtime < moment.timestamp()
        ]

    def _publish(self, name: str, write: Callable[[Path], object]) -> None:
        path = self.path(name)
        _make_folder(path.parent)
        draft = path.with_name(f".{uuid4().hex}.new")
        try:
            write(draft)
            _sync(draft)
            draft.replace(path)
        finally:
            # rename(2) leaves the draft where both names are links to one file.
            draft.unlink(missing_ok=True)
        _sync(path.parent)


def _make_folder(folder: Path) -> None:
    """Make `folder` and its parents, each durably entered in its own parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
