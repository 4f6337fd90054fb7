"""What is written fits, is whole signs, and calls nobody, whatever was said."""

import json
import re
from collections.abc import Callable
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notify.service import Attachment, Notice
from notify.services import chatwork, google_chat, line, line_works, mail, slack, teams, webhook
from notify.wording import OMITTED, as_text, ascii_file_name, fitted, tidy, utf16_units

pytestmark = pytest.mark.unit

# No deadline: a busy machine is no fault of the text.
few = settings(max_examples=40, deadline=None)

SIGNS = st.one_of(
    st.characters(),
    st.sampled_from("<>&[]*_~`|\\#-+.()!@\"'\n\r\t\x00\u202e😀がｶﾞ\u0301\u200d\ud800"),
    st.sampled_from(["<!channel>", "[toall]", "[To:1]", "<users/all>", "\r\nBcc: x@y.example", "&amp;"]),
)
TEXT = st.lists(SIGNS, max_size=60).map("".join)
LONG = st.tuples(TEXT, st.integers(1, 3000)).map(lambda pair: (pair[0] * pair[1])[:30_000])
NOTICES = st.builds(
    Notice,
    title=LONG,
    facts=st.lists(st.tuples(TEXT, TEXT), max_size=12).map(tuple),
    body=LONG,
    link=st.none() | TEXT | st.just("https://portal.example/messages/1?a=1&b=_2_"),
)
Written = str | bytes


def fitting(
    written: Callable[[Notice], Written], size: Callable[[Notice], int], limit: int
) -> Callable[[Notice], Written]:
    """As the service does it: cut until `size` is within `limit`, then write."""

    def write(notice: Notice) -> Written:
        cut = fitted(notice, lambda shorter: size(shorter) <= limit)
        assert size(cut) <= limit
        return written(cut)

    return write


WRITERS = {
    "slack": fitting(slack.written, lambda notice: len(as_text(notice)), slack.LONGEST_TEXT),
    "chatwork": fitting(
        chatwork.written, lambda notice: utf16_units(chatwork.written(notice)), chatwork.LONGEST_TEXT
    ),
    "line": fitting(as_text, lambda notice: utf16_units(as_text(notice)), line.LONGEST_TEXT),
    "line_works": fitting(
        line_works.written, lambda notice: utf16_units(line_works.written(notice)), line_works.LONGEST_TEXT
    ),
    "teams": fitting(teams.request, lambda notice: len(teams.request(notice)), teams.LARGEST_REQUEST),
    "google_chat": fitting(
        google_chat.request, lambda notice: len(google_chat.request(notice)), google_chat.LARGEST_REQUEST
    ),
}
HARD_LIMITS: dict[str, Callable[[Written], bool]] = {
    "slack": lambda text: len(text) <= 40_000,
    "chatwork": lambda text: len(text) <= 65_535,
    "line": lambda text: len(str(text).encode("utf-16-le")) <= 10_000,
    "line_works": lambda text: len(text) <= 2000,
    "teams": lambda text: len(text) <= 28 * 1024,
    "google_chat": lambda text: len(text) <= 32_000,
}


@pytest.mark.parametrize("service", WRITERS)
@few
@given(notice=NOTICES)
def test_never_over_the_limit_and_always_encodable(service: str, notice: Notice) -> None:
    text = WRITERS[service](notice)
    assert HARD_LIMITS[service](text)
    decoded = text.decode() if isinstance(text, bytes) else text
    decoded.encode()
    assert "\x00" not in decoded
    assert "\u202e" not in decoded


@pytest.mark.parametrize("service", WRITERS)
@pytest.mark.parametrize("sign", ["&", "<", "[", "\\", "😀", '"', "あ"])
def test_the_longest_head_leaves_room_for_a_body(service: str, sign: str) -> None:
    notice = Notice(
        sign * 500, ((sign * 50, sign * 500),) * 20, "用件" * 40_000, f"https://x.example/{'a' * 470}"
    )
    text = WRITERS[service](notice)
    assert HARD_LIMITS[service](text)
    assert re.search("用件.*省略", text.decode() if isinstance(text, bytes) else text, re.S)


@few
@given(notice=NOTICES)
def test_slack_has_whole_escapes_and_no_mention(notice: Notice) -> None:
    text = str(WRITERS["slack"](notice))
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text)


@few
@given(notice=NOTICES)
def test_chatwork_has_no_tag_but_ours(notice: Notice) -> None:
    text = str(WRITERS["chatwork"](notice))
    assert re.findall(r"\[[^\]]*\]?", text) == ["[info]", "[title]", "[/title]", "[/info]"]


@few
@given(notice=NOTICES)
def test_google_chat_and_line_works_have_no_tag(notice: Notice) -> None:
    link = tidy(notice).link or ""
    assert not set(json.loads(WRITERS["google_chat"](notice))["text"].removesuffix(link)) & set("<>*_~`")
    assert not set(str(WRITERS["line_works"](notice))) & set("<>")


@few
@given(text=TEXT)
def test_teams_escapes_mean_what_was_said(text: str) -> None:
    escaped = teams.escape(text)
    assert re.sub(r"\\([\\`*_\[\]{}<>~|#+.)-])", r"\1", escaped) == text
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_\[\]<>`]", escaped)


@pytest.mark.parametrize(
    ("said", "escaped"),
    [
        ("03-1234-5678", "03-1234-5678"),
        ("- 一つ\n1. 二つ\n# 三つ", "\\- 一つ\n1\\. 二つ\n\\# 三つ"),
        ("[押す](http://evil.example)", "\\[押す\\](http://evil.example)"),
        ("**大事** {{DATE(x)}}", "\\*\\*大事\\*\\* \\{\\{DATE(x)\\}\\}"),
        ("+819012345678", "+819012345678"),
    ],
)
def test_teams_takes_no_markdown(said: str, escaped: str) -> None:
    assert teams.escape(said) == escaped


@few
@given(notice=NOTICES)
def test_mail_has_our_headers_only(notice: Notice) -> None:
    message = mail.written(notice, str(uuid4()), "denwaban@switch.example", "info@customer.example")
    head, _, _ = message.as_bytes(policy=mail.ASCII_ONLY).partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert set(names) <= {
        b"subject",
        b"from",
        b"to",
        b"date",
        b"message-id",
        b"auto-submitted",
        b"mime-version",
        b"content-type",
        b"content-transfer-encoding",
    }
    assert len(names) == len(set(names))
    assert message.as_bytes(policy=mail.ASCII_ONLY).isascii()


@few
@given(notice=NOTICES)
def test_webhooks_are_json(notice: Notice) -> None:
    assert set(json.loads(webhook.request(notice, "k"))) == {"id", "title", "facts", "text", "link"}


@few
@given(body=TEXT.map(lambda text: text * 40), limit=st.integers(60, 400))
def test_a_cut_is_told_and_is_as_long_as_can_be(body: str, limit: int) -> None:
    notice = Notice("題", (), body)
    cut = fitted(notice, lambda shorter: len(shorter.body) <= limit)
    whole = tidy(notice).body
    if len(whole) <= limit:
        assert cut.body == whole
    else:
        assert cut.body.endswith(OMITTED)
        assert whole.startswith(cut.body.removesuffix(OMITTED).rstrip())


@pytest.mark.parametrize("link", ["javascript:alert(1)", "https://a b", "https://x/<y>", "x" * 600, ""])
def test_a_link_that_is_none_is_left_out(link: str) -> None:
    assert tidy(Notice("題", (), "本文", link)).link is None


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("rusurepo_20261123_101500.wav", "rusurepo_20261123_101500.wav"),
        ("留守.wav", "__.wav"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ('a"\r\nb.wav', "a___b.wav"),
        ("", "audio.wav"),
    ],
)
def test_file_names_are_plain(given_name: str, name: str) -> None:
    assert ascii_file_name(given_name) == name


def test_the_text_reads_well() -> None:
    notice = Notice(
        "留守番電話",
        (("発信者", "090-1234-5678"), ("録音時間", "12秒")),
        "折り返しお願いします。",
        "https://portal.example/messages/1",
        Attachment("a.wav", "audio/wav", b""),
    )
    assert as_text(tidy(notice)) == (
        "留守番電話\n発信者: 090-1234-5678\n録音時間: 12秒\n\n折り返しお願いします。\n\nhttps://portal.example/messages/1"
    )
