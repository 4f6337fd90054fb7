"""Judging an uploaded file before anything reads it: by its first bytes. Its name is for showing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_api.forms import LONGEST_FILE_NAME, shown_file_name
from voices.formats import format_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"RIFF\x24\0\0\0WAVEfmt ", "wav"),
        (b"RIFF\x24\0\0\0AVI LIST", None),
        (b"fLaC\0\0\0\x22", "flac"),
        (b"OggS\0\x02", "ogg"),
        (b"\0\0\0\x20ftypM4A ", "mov"),
        (b"ID3\x04\0\0", "mp3"),
        (b"\xff\xfb\x90\x64", "mp3"),
        (b"\xff\xf3\x44\xc4", "mp3"),
        (b"\xff\xf1\x50\x80", None),  # AAC without a container
        (b"\xff\xff\xff\xff", None),
        (b"%PDF-1.7", None),
        (b"PK\x03\x04", None),
        (b"#EXTM3U\n#EXTINF", None),
        (b"ffconcat version 1.0", None),
        (b"<?xml version", None),
        (b"\x1aE\xdf\xa3", None),  # Matroska
        (b"\xff", None),
        (b"", None),
    ],
)
def test_a_file_is_what_it_begins_with(head: bytes, kind: str | None) -> None:
    assert format_of(head) == kind


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("案内.wav", "案内.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\太郎\\案内.mp3", "案内.mp3"),
        ("<b>太字</b>.wav", "b.wav"),
        ("a\x00b\r\nc\u202e.wav", "abc.wav"),
        ("%E6%A1%88%E5%86%85.wav", "案内.wav"),
        ("..%2F..%2Fetc%2Fpasswd%00", "passwd"),
        ("50%引き.wav", "50%引き.wav"),
        ("..", None),
        ("", None),
        ("長" * 300, "長" * LONGEST_FILE_NAME),
    ],
)
def test_file_names_are_for_showing(given_name: str, shown: str | None) -> None:
    assert shown_file_name(given_name) == shown


@given(st.text())
def test_no_file_name_leads_anywhere(given_name: str) -> None:
    shown = shown_file_name(given_name) or ""
    assert not set(shown) & set('/\\<>"\0\n') and not shown.startswith(".")
