"""SIP messages as values: text to message and back (RFC 3261). No socket, no clock."""

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

COMPACT = {
    "v": "Via",
    "f": "From",
    "t": "To",
    "i": "Call-ID",
    "m": "Contact",
    "l": "Content-Length",
    "c": "Content-Type",
    "k": "Supported",
    "s": "Subject",
}
REASONS = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    404: "Not Found",
    408: "Request Timeout",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    603: "Decline",
}
MIRRORED = ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq")
"""What a response repeats of its request."""

MAGIC_COOKIE = "z9hG4bK"

_URI = re.compile(
    r"(?P<scheme>sips?):(?:(?P<user>[^@;?]*)@)?(?P<host>\[[^]]*\]|[^:;?>]+)(?::(?P<port>\d+))?"
    r"(?:;(?P<parameters>[^?]*))?(?:\?.*)?"
)
_ADDRESS = re.compile(
    r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^<"]*?))\s*<(?P<uri>[^>]*)>(?P<parameters>.*)', re.DOTALL
)


class Malformed(ValueError):
    """These bytes are not a SIP message."""


@dataclass(frozen=True)
class Uri:
    """`sip:user@host:port;parameters`; the port is 5060 where none is written."""

    user: str
    host: str
    port: int = 5060
    parameters: str = ""
    scheme: str = "sip"

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        parameters = f";{self.parameters}" if self.parameters else ""
        return f"{self.scheme}:{user}{self.host}:{self.port}{parameters}"


def parse_uri(text: str) -> Uri:
    """Raises Malformed."""
    found = _URI.fullmatch(text.strip())
    if not found:
        raise Malformed(f"not a SIP URI: {text!r}")
    port = int(found["port"] or 5060)
    return Uri(found["user"] or "", found["host"], port, found["parameters"] or "", found["scheme"])


@dataclass(frozen=True)
class Address:
    """The value of From, To, Contact and their like: `"name" <uri>;tag=...`."""

    uri: Uri
    display_name: str = ""
    parameters: str = ""

    @property
    def tag(self) -> str:
        return parameter(self.parameters, "tag")

    def __str__(self) -> str:
        escaped = self.display_name.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{escaped}" ' if escaped else ""
        return f"{name}<{self.uri}>{';' + self.parameters if self.parameters else ''}"


def parse_address(text: str) -> Address:
    """Raises Malformed."""
    found = _ADDRESS.fullmatch(text)
    if not found:
        # Without angle brackets every parameter belongs to the header, not to the URI.
        uri, _, parameters = text.strip().partition(";")
        return Address(parse_uri(uri), "", parameters)
    name = found["bare"] if found["quoted"] is None else re.sub(r"\\(.)", r"\1", found["quoted"])
    return Address(parse_uri(found["uri"]), name.strip(), found["parameters"].strip().lstrip(";"))


def parameter(parameters: str, name: str) -> str:
    """The value of one of `a=1;b=2`, or an empty text."""
    pairs = (pair.partition("=") for pair in parameters.split(";"))
    return next((value.strip() for key, _, value in pairs if key.strip().lower() == name), "")


@dataclass
class Headers:
    """Headers in order; names are compared without regard to case."""

    items: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        """The first value of that name."""
        return next(self._values(name), default)

    def all(self, name: str) -> list[str]:
        """Every value of that name, in order."""
        return list(self._values(name))

    def add(self, name: str, value: str) -> None:
        self.items.append((name, value))

    def set(self, name: str, value: str) -> None:
        """Put `value` where the first of that name stood, or at the end, and drop the others."""
        kept = [item for item in self.items if item[0].lower() != name.lower()]
        places = [place for place, item in enumerate(self.items) if item[0].lower() == name.lower()]
        kept.insert(places[0] if places else len(kept), (name, value))
        self.items = kept

    def _values(self, name: str) -> Iterator[str]:
        wanted = name.lower()
        return (value for key, value in self.items if key.lower() == wanted)


@dataclass
class Message:
    """What requests and responses have in common."""

    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def call_id(self) -> str:
        return self.headers.get("Call-ID")

    @property
    def branch(self) -> str:
        return parameter(self.headers.get("Via"), "branch")

    @property
    def sequence(self) -> int:
        """The number in CSeq."""
        return int(self.headers.get("CSeq").split()[0])

    @property
    def cseq_method(self) -> str:
        return self.headers.get("CSeq").split()[-1]

    @property
    def sender(self) -> Address:
        return parse_address(self.headers.get("From"))

    @property
    def addressee(self) -> Address:
        return parse_address(self.headers.get("To"))

    @property
    def start_line(self) -> str:
        raise NotImplementedError

    def pack(self) -> bytes:
        """The message as it goes over the wire, with its Content-Length."""
        lines = [self.start_line, *(f"{name}: {value}" for name, value in self.headers.items)]
        return "\r\n".join([*lines, f"Content-Length: {len(self.body)}", "", ""]).encode() + self.body


@dataclass
class Request(Message):
    method: str = ""
    uri: str = ""

    @property
    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"


@dataclass
class Response(Message):
    status: int = 0
    reason: str = ""

    @property
    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    @property
    def final(self) -> bool:
        return self.status >= 200


def parse(data: bytes) -> Request | Response:
    """Read one whole message. Raises Malformed."""
    head, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        raise Malformed("no blank line ends the headers")
    try:
        first, *lines = head.decode().lstrip("\r\n").split("\r\n")
    except UnicodeDecodeError as wrong:
        raise Malformed(str(wrong)) from None
    headers = _parse_headers(lines)
    # It is written anew by `pack`, so that a changed body cannot contradict it.
    length = headers.get("Content-Length")
    headers.items = [item for item in headers.items if item[0] != "Content-Length"]
    body = rest[: int(length)] if length.strip().isdecimal() else rest
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        if not headers.get(name).strip():
            raise Malformed(f"no {name}")
    return _with_start_line(first, headers, body)


def _with_start_line(line: str, headers: Headers, body: bytes) -> Request | Response:
    words = line.split(" ", 2)
    if len(words) < 2 or (words[0] == "SIP/2.0") != words[1].isdecimal():
        raise Malformed(f"not the first line of a message: {line!r}")
    if words[0] == "SIP/2.0":
        return Response(headers, body, int(words[1]), words[2] if len(words) > 2 else "")
    if words[-1] != "SIP/2.0":
        raise Malformed(f"not SIP 2.0: {line!r}")
    return Request(headers, body, words[0], words[1])


def _parse_headers(lines: Iterable[str]) -> Headers:
    headers = Headers()
    for line in lines:
        if line[:1] in (" ", "\t") and headers.items:
            name, value = headers.items[-1]
            headers.items[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed(f"not a header: {line!r}")
        name = name.strip()
        name = COMPACT.get(name.lower(), name)
        headers.add("Content-Length" if name.lower() == "content-length" else name, value.strip())
    return headers


class StreamParser:
    """Messages out of a TCP stream, by their Content-Length."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[Request | Response]:
        """Take what arrived, give every message that is now whole. Raises Malformed."""
        self._pending += data
        messages = []
        while (whole := self._first_length()) and len(self._pending) >= whole:
            messages.append(parse(self._pending[:whole]))
            self._pending = self._pending[whole:]
        return messages

    def _first_length(self) -> int:
        """Length of the first message in bytes; 0 while its headers are not whole."""
        # Empty lines between messages keep a connection alive.
        self._pending = self._pending.lstrip(b"\r\n")
        head, blank, _ = self._pending.partition(b"\r\n\r\n")
        if not blank:
            return 0
        found = re.search(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*(\d+)", head)
        return len(head) + 4 + (int(found[1]) if found else 0)


def respond(request: Request, status: int, reason: str = "", to_tag: str = "") -> Response:
    """A response to `request`; `to_tag` is added where the request has none."""
    headers = Headers([item for item in request.headers.items if item[0] in MIRRORED])
    to = headers.get("To")
    if to_tag and not request.addressee.tag:
        headers.set("To", f"{to};tag={to_tag}")
    return Response(headers, b"", status, reason or REASONS.get(status, "Unknown"))


def acknowledge_refusal(invite: Request, response: Response) -> Request:
    """The ACK that a final response other than 2xx wants, which is part of the INVITE's transaction."""
    kept = ("via", "max-forwards", "route", "from", "call-id")
    headers = Headers([item for item in invite.headers.items if item[0].lower() in kept])
    headers.add("To", response.headers.get("To"))
    headers.add("CSeq", f"{invite.sequence} ACK")
    return Request(headers, b"", "ACK", invite.uri)


def new_branch() -> str:
    return MAGIC_COOKIE + secrets.token_hex(8)


def new_tag() -> str:
    return secrets.token_hex(5)
