"""What both ends remember of a call (RFC 3261, 12). Pure."""

from dataclasses import dataclass, field

from tests.sip.message import Address, Headers, Message, Request, Uri, parse_address, parse_uri


@dataclass
class Dialog:
    """A call as SIP sees it, from our side."""

    call_id: str
    local: Address
    remote: Address
    target: Uri
    """Where requests of this dialog are addressed."""

    route: list[str] = field(default_factory=list)
    sequence: int = 1

    @classmethod
    def answering(cls, invite: Request, local_tag: str) -> "Dialog":
        """The dialog that an INVITE from the far end opens."""
        to = invite.addressee
        return cls(
            invite.call_id,
            Address(to.uri, to.display_name, f"tag={local_tag}"),
            invite.sender,
            parse_address(invite.headers.get("Contact")).uri,
            invite.headers.all("Record-Route"),
        )

    def learn(self, message: Message) -> None:
        """Take the far end's tag, contact and route from its answer to our INVITE."""
        self.remote = message.addressee
        if contact := message.headers.get("Contact"):
            self.target = parse_address(contact).uri
        if routes := message.headers.all("Record-Route"):
            self.route = routes[::-1]

    def request(self, method: str, via: str, sequence: int | None = None) -> Request:
        """A request within the dialog: the next in number, or `sequence` for ACK and CANCEL."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        headers = Headers(
            [
                ("Via", via),
                ("Max-Forwards", "70"),
                *(("Route", route) for route in self.route),
                ("From", str(self.local)),
                ("To", str(self.remote)),
                ("Call-ID", self.call_id),
                ("CSeq", f"{sequence} {method}"),
            ]
        )
        return Request(headers, b"", method, str(self.target))

    @property
    def next_hop(self) -> tuple[str, int]:
        """Host and port that requests of this dialog are sent to."""
        uri = parse_address(self.route[0]).uri if self.route else self.target
        return uri.host, uri.port


def destination(uri: str) -> tuple[str, int]:
    """Host and port of a URI."""
    parsed = parse_uri(uri)
    return parsed.host, parsed.port
