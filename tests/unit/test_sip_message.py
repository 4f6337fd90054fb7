"""SIP text to message and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sip.dialog import Dialog
from tests.sip.message import (
    Address,
    Malformed,
    Request,
    Response,
    StreamParser,
    Uri,
    parse,
    parse_address,
    parse_uri,
    respond,
)

pytestmark = pytest.mark.unit

INVITE = (
    b"INVITE sip:100@192.0.2.1 SIP/2.0\r\n"
    b"v: SIP/2.0/UDP 192.0.2.9:5062;rport;branch=z9hG4bKabc\r\n"
    b"Record-Route: <sip:a.example;lr>\r\n"
    b"record-route: <sip:b.example;lr>\r\n"
    b'f: "A \\"B\\" <c>" <sip:090@192.0.2.9:5062>;tag=x1\r\n'
    b"t: <sip:100@192.0.2.1>\r\n"
    b"i: call-1\r\n"
    b"CSeq: 7 INVITE\r\n"
    b"m: <sip:090@192.0.2.9:5062>\r\n"
    b"Subject: folded\r\n  over lines\r\n"
    b"l: 4\r\n"
    b"\r\n"
    b"v=0\n"
)


def invite() -> Request:
    message = parse(INVITE)
    assert isinstance(message, Request)
    return message


def test_reads_a_request() -> None:
    message = invite()
    assert (message.method, message.uri, message.body) == ("INVITE", "sip:100@192.0.2.1", b"v=0\n")
    assert (message.call_id, message.branch) == ("call-1", "z9hG4bKabc")
    assert (message.sequence, message.cseq_method) == (7, "INVITE")
    assert message.sender == Address(Uri("090", "192.0.2.9", 5062), 'A "B" <c>', "tag=x1")
    assert message.headers.get("subject") == "folded over lines"
    assert message.headers.all("Record-Route") == ["<sip:a.example;lr>", "<sip:b.example;lr>"]


def test_packs_what_it_read() -> None:
    assert parse(invite().pack()) == invite()


def test_a_response_mirrors_its_request() -> None:
    response = respond(invite(), 180, to_tag="y2")
    assert response.start_line == "SIP/2.0 180 Ringing"
    assert response.addressee.tag == "y2"
    assert response.branch == "z9hG4bKabc"
    assert not response.final
    assert parse(response.pack()) == response


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"hello",
        INVITE[:60],
        INVITE.replace(b"SIP/2.0\r\nv:", b"HTTP/1.1\r\nv:"),
        INVITE.replace(b"CSeq: 7 INVITE\r\n", b""),
        INVITE.replace(b"Subject: folded", b"Subject folded"),
        b"\xff" + INVITE,
    ],
)
def test_refuses_what_is_no_message(broken: bytes) -> None:
    with pytest.raises(Malformed):
        parse(broken)


@given(st.lists(st.integers(1, 60)))
def test_a_stream_is_cut_anywhere(cuts: list[int]) -> None:
    stream = b"\r\n\r\n" + INVITE + respond(invite(), 200).pack() + INVITE[:50]
    parser, messages = StreamParser(), []
    for length in [*cuts, len(stream)]:
        messages += parser.feed(stream[:length])
        stream = stream[length:]
    assert [type(message) for message in messages] == [Request, Response]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:100@192.0.2.1", Uri("100", "192.0.2.1")),
        ("sip:192.0.2.1:5080", Uri("", "192.0.2.1", 5080)),
        ("sips:a@h:1;transport=tcp;lr?x=y", Uri("a", "h", 1, "transport=tcp;lr", "sips")),
        ("sip:a@[::1]:5062", Uri("a", "[::1]", 5062)),
    ],
)
def test_reads_uris(text: str, expected: Uri) -> None:
    assert parse_uri(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:a@h;tag=1", Address(Uri("a", "h"), "", "tag=1")),
        ("<sip:a@h;lr>;tag=1", Address(Uri("a", "h", parameters="lr"), "", "tag=1")),
        (
            "Anonymous <sip:anonymous@anonymous.invalid>",
            Address(Uri("anonymous", "anonymous.invalid"), "Anonymous"),
        ),
    ],
)
def test_reads_addresses(text: str, expected: Address) -> None:
    assert parse_address(text) == expected


def test_refuses_what_is_no_uri() -> None:
    with pytest.raises(Malformed):
        parse_uri("tel:+81312345678")


@given(st.text('ab \\"<>;日本', max_size=8).map(str.strip))
def test_any_display_name_survives(name: str) -> None:
    address = Address(Uri("a", "h", 5060), name, "tag=1")
    assert parse_address(str(address)) == address


def test_a_dialog_of_an_incoming_call_asks_back_along_the_route() -> None:
    dialog = Dialog.answering(invite(), "y2")
    bye = dialog.request("BYE", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKbye")
    assert bye.uri == "sip:090@192.0.2.9:5062"
    assert (bye.sender.tag, bye.addressee.tag) == ("y2", "x1")
    assert bye.headers.all("Route") == ["<sip:a.example;lr>", "<sip:b.example;lr>"]
    assert dialog.next_hop == ("a.example", 5060)
