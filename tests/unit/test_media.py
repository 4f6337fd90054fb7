import os
from pathlib import Path

import pytest

from store.media import BadMediaName, Media

pytestmark = pytest.mark.unit

NAME = "messages/2026/11/23/abc.wav"


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../x.wav",
        "a/../x",
        "a/./b",
        ".hidden",
        "a/.b",
        "a//b",
        "a/",
        "a\\b",
        "a\x00b",
        "あ",
        "a\n",
    ],
)
def test_names_that_leave_the_folder_are_refused(media: Media, name: str) -> None:
    with pytest.raises(BadMediaName):
        media.path(name)


def test_put_makes_whole_files_only(media: Media) -> None:
    media.put(b"one", NAME)
    media.put(b"two", NAME)
    assert media.path(NAME).read_bytes() == b"two"
    assert files_in(media.folder) == [NAME]


def test_take_links_and_leaves_the_source(media: Media, tmp_path: Path) -> None:
    source = tmp_path / "spool.wav"
    source.write_bytes(b"voice")
    media.take(source, NAME)
    media.take(source, NAME)
    assert source.read_bytes() == b"voice"
    assert media.path(NAME).samefile(source)
    assert files_in(media.folder) == [NAME]


def test_take_copies_where_it_cannot_link(
    media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_device(source: Path, target: Path) -> None:
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(os, "link", other_device)
    source = tmp_path / "spool.wav"
    source.write_bytes(b"voice")
    media.take(source, NAME)
    assert media.path(NAME).read_bytes() == b"voice"
    assert not media.path(NAME).samefile(source)


def test_take_without_a_source_leaves_nothing(media: Media, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        media.take(tmp_path / "absent.wav", NAME)
    assert files_in(media.folder) == []


def test_failed_write_leaves_the_old_file(media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    media.put(b"old", NAME)

    def disk_full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="space"):
        media.put(b"new", NAME)
    assert media.path(NAME).read_bytes() == b"old"
    assert files_in(media.folder) == [NAME]


def test_remove_twice_is_fine(media: Media) -> None:
    media.put(b"x", NAME)
    media.remove(NAME)
    media.remove(NAME)
    assert files_in(media.folder) == []
