"""What a call needs of the phone it belongs to."""

from typing import Protocol

from tests.sip.message import Request, Response
from tests.sip.transactions import ClientTransaction
from tests.sip.transport import Peer


class Phone(Protocol):
    """The sending side of a user agent."""

    def via(self) -> str:
        """A Via of ours with a new branch."""

    def contact(self, user: str) -> str:
        """Where we can be reached."""

    def send(self, request: Request, peer: Peer) -> None:
        """Send once, expecting no response (ACK)."""

    def respond(self, response: Response, peer: Peer) -> None: ...

    def start(self, request: Request, peer: Peer) -> ClientTransaction:
        """Send, and again until something is heard of it."""

    async def transact(self, request: Request, peer: Peer, timeout_s: float) -> Response:
        """Send and wait for the final response; 408 of our own when none comes in time."""

    def authorize(self, request: Request, response: Response) -> Request | None:
        """The request once more, with what the challenge wants; None where we cannot or did already."""
