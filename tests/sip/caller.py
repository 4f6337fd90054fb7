"""A SIP phone for tests: places calls, registers and takes calls, speaks and listens in real time.

async with SipCaller() as caller:
    call = await caller.invite("sip:0312345678@127.0.0.1:5060", caller_number="0901234567")
    await call.answered(timeout_s=5)
    await call.hear(until=silence_of(0.3), timeout_s=20)
    await call.speak(speech_like(3))
    await call.press("#")
    ending = await call.ended(timeout_s=10)
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from tests.sip.call import ALLOW, Call, IncomingCall, OutgoingCall, describe_headers
from tests.sip.dialog import Dialog, destination
from tests.sip.digest import Credentials, authorization, is_authorized, parse_challenge
from tests.sip.errors import Refused
from tests.sip.media import Media
from tests.sip.message import (
    Address,
    Headers,
    Request,
    Response,
    Uri,
    new_branch,
    new_tag,
    parse_address,
    parse_uri,
    respond,
)
from tests.sip.sdp import PCMA, PCMU
from tests.sip.transactions import ClientTransaction, TransactionKey, key_of
from tests.sip.transport import Peer, TcpTransport, Transport, UdpTransport

CHALLENGES = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
ANONYMOUS = Uri("anonymous", "anonymous.invalid")
REGISTER_S = 5.0


class SipCaller:
    """One phone with one SIP port and any number of calls; an RTP port each."""

    def __init__(
        self,
        local_host: str = "127.0.0.1",
        transport: Literal["udp", "tcp"] = "udp",
        local_port: int = 0,
        user_agent: str = "",
        lets_in: Credentials | None = None,
    ) -> None:
        """`lets_in`: who may register here, after a challenge; anybody without one."""
        self.host = local_host
        self._user_agent = user_agent
        self._lets_in = lets_in
        self.registered_as: Address | None = None
        """Where whoever has registered here last wants its calls."""

        self.deaf = False
        """While it is, nothing that comes is answered."""

        self._local_port = local_port
        self._udp = UdpTransport(self._receive)
        self._tcp = TcpTransport(self._receive)
        self._transport: Transport = self._udp if transport == "udp" else self._tcp
        self._transactions: dict[TransactionKey, ClientTransaction] = {}
        self._answers: dict[TransactionKey, bytes] = {}
        self._calls: dict[str, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._arriving: asyncio.Queue[IncomingCall] = asyncio.Queue()
        self._received: defaultdict[str, asyncio.Queue[Request]] = defaultdict(asyncio.Queue)
        self._credentials: Credentials | None = None
        self._registration: Dialog | None = None

    async def __aenter__(self) -> Self:
        await (self._udp if self._transport is self._udp else self._tcp).open(self.host, self._local_port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up what is left and close."""
        await asyncio.gather(*(call.hang_up() for call in self.calls), return_exceptions=True)
        for transaction in self._transactions.values():
            transaction.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._transport.close()

    @property
    def port(self) -> int:
        """Our SIP port."""
        return self._transport.port

    @property
    def calls(self) -> list[Call]:
        """Every call of this phone, ended ones too."""
        return list(self._calls.values())

    async def invite(
        self,
        uri: str,
        caller_number: str | None = None,
        *,
        display_name: str = "",
        to: str | None = None,
        headers: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        codecs: tuple[int, ...] = (PCMU,),
        send_rtp: bool = True,
    ) -> OutgoingCall:
        """Place a call; returns at once.

        `caller_number` None means the registered name, or anonymous; `to` is whom To names, if not
        `uri`. `headers` adds what the trunk would
        send: `{"Privacy": "id", "P-Asserted-Identity": "<sip:...>"}`. `send_rtp=False` never sends a packet.
        """
        peer = destination(uri)
        await self._transport.connect(peer)
        self._credentials = credentials or self._credentials
        media = Media(self.host, send_rtp)
        await media.open()
        dialog = Dialog(
            secrets.token_hex(12),
            Address(self._identity(caller_number), display_name, f"tag={new_tag()}"),
            Address(parse_uri(to or uri)),
            parse_uri(uri),
        )
        call = OutgoingCall(self, dialog, media, codecs, peer)
        self._calls[dialog.call_id] = call
        request = dialog.request("INVITE", self.via())
        request.headers.add("Contact", self.contact(dialog.local.uri.user))
        request.headers.add("Allow", ALLOW)
        request.headers.add("Content-Type", "application/sdp")
        describe_headers((headers or {}).items(), request)
        request.body = call.offer
        self._keep(call.follow(request))
        return call

    async def register(self, username: str, password: str, registrar: str, expires_s: int = 300) -> Response:
        """Register as a device; 0 seconds ends it. Raises Refused.

        Calls made afterwards are in this name, and a challenge to them is answered.
        """
        self._credentials = Credentials(username, password)
        peer = destination(registrar)
        await self._transport.connect(peer)
        to = parse_uri(registrar)
        address = Uri(username, to.host, to.port)
        if self._registration is None:
            self._registration = Dialog(
                secrets.token_hex(12), Address(address, "", f"tag={new_tag()}"), Address(address), to
            )
        request = self._registration.request("REGISTER", self.via())
        request.headers.add("Contact", self.contact(username))
        request.headers.add("Expires", str(expires_s))
        if self._user_agent:
            request.headers.add("User-Agent", self._user_agent)
        response = await self._transact_authorized(request, peer)
        if response.status >= 300:
            raise Refused(response.status, response.reason)
        return response

    async def request(
        self,
        method: str,
        uri: str,
        caller_number: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Response:
        """A request outside any call (OPTIONS, MESSAGE); 408 of our own when nobody answers."""
        peer = destination(uri)
        await self._transport.connect(peer)
        local = Address(self._identity(caller_number), "", f"tag={new_tag()}")
        dialog = Dialog(secrets.token_hex(12), local, Address(parse_uri(uri)), parse_uri(uri))
        request = dialog.request(method, self.via())
        describe_headers((headers or {}).items(), request)
        request.body = body
        return await self._transact_authorized(request, peer, timeout_s)

    async def incoming(self, timeout_s: float = 10.0) -> IncomingCall:
        """The next call that comes to us. Raises TimeoutError."""
        return await asyncio.wait_for(self._arriving.get(), timeout_s)

    async def received(self, method: str, timeout_s: float = 10.0) -> Request:
        """The next request outside any call (MESSAGE, NOTIFY), already answered 200. Raises TimeoutError."""
        return await asyncio.wait_for(self._received[method].get(), timeout_s)

    # ---- what calls need of their phone (Phone)

    def via(self) -> str:
        return f"SIP/2.0/{self._transport.name} {self.host}:{self.port};branch={new_branch()};rport"

    def contact(self, user: str) -> str:
        transport = ";transport=tcp" if self._transport.reliable else ""
        return f"<sip:{user}@{self.host}:{self.port}{transport}>"

    def send(self, request: Request, peer: Peer) -> None:
        self._transport.send(request.pack(), peer)

    def respond(self, response: Response, peer: Peer) -> None:
        data = response.pack()
        self._answers[key_of(response)] = data
        self._transport.send(data, peer)

    def start(self, request: Request, peer: Peer) -> ClientTransaction:
        transaction = ClientTransaction(request, lambda: self.send(request, peer), self._transport.reliable)
        self._transactions[key_of(request)] = transaction
        transaction.start()
        return transaction

    async def transact(self, request: Request, peer: Peer, timeout_s: float) -> Response:
        transaction = self.start(request, peer)
        try:
            return await asyncio.wait_for(transaction.final(), timeout_s)
        except TimeoutError:
            return respond(request, 408)
        finally:
            transaction.stop()

    def authorize(self, request: Request, response: Response) -> Request | None:
        names = CHALLENGES.get(response.status)
        if names is None or self._credentials is None or request.headers.get(names[1]):
            return None
        challenge = parse_challenge(response.headers.get(names[0]))
        value = authorization(challenge, self._credentials, request.method, request.uri, secrets.token_hex(8))
        headers = Headers(list(request.headers.items))
        headers.set("Via", self.via())
        headers.set("CSeq", f"{request.sequence + 1} {request.method}")
        headers.add(names[1], value)
        return Request(headers, request.body, request.method, request.uri)

    # ---- what comes in

    def _receive(self, message: Request | Response, peer: Peer) -> None:
        if self.deaf:
            return
        if isinstance(message, Response):
            if transaction := self._transactions.get(key_of(message)):
                transaction.take(message)
            return
        call = self._calls.get(message.call_id)
        if call and call.vanished:
            return
        answer = None if message.method == "ACK" else self._answers.get(key_of(message))
        if answer:
            self._transport.send(answer, peer)
        else:
            self._take_request(message, call, peer)

    def _take_request(self, request: Request, call: Call | None, peer: Peer) -> None:
        if call:
            if response := call.take_request(request):
                self.respond(response, peer)
        elif request.method == "INVITE":
            self.respond(respond(request, 100), peer)
            self._keep(self._take_call(request, peer))
        elif request.method != "ACK":
            known = request.method in ("OPTIONS", "MESSAGE", "NOTIFY", "REGISTER")
            response = respond(request, 200 if known else 481, to_tag=new_tag())
            if request.method == "REGISTER":
                response = self._registration_of(request)
            response.headers.add("Allow", ALLOW)
            self.respond(response, peer)
            self._received[request.method].put_nowait(request)

    def _registration_of(self, request: Request) -> Response:
        given = request.headers.get("Authorization")
        if self._lets_in is not None and not given:
            response = respond(request, 401, to_tag=new_tag())
            challenge = f'Digest realm="carrier", nonce="{secrets.token_hex(8)}", algorithm=MD5, qop="auth"'
            response.headers.add("WWW-Authenticate", challenge)
            return response
        if self._lets_in is not None and not is_authorized(given, self._lets_in, request.method):
            return respond(request, 403, to_tag=new_tag())
        response = respond(request, 200, to_tag=new_tag())
        contact = request.headers.get("Contact")
        self.registered_as = parse_address(contact)
        response.headers.add("Contact", f"{contact};expires=300")
        return response

    async def _take_call(self, invite: Request, peer: Peer) -> None:
        media = Media(self.host)
        call = IncomingCall(self, invite, media, (PCMU, PCMA), peer)
        self._calls[invite.call_id] = call
        await media.open()
        self._arriving.put_nowait(call)

    # ---- the rest

    def _identity(self, caller_number: str | None) -> Uri:
        if caller_number is not None:
            return Uri(caller_number, self.host, self.port)
        if self._registration:
            return self._registration.local.uri
        return ANONYMOUS

    async def _transact_authorized(
        self, request: Request, peer: Peer, timeout_s: float = REGISTER_S
    ) -> Response:
        response = await self.transact(request, peer, timeout_s)
        again = self.authorize(request, response)
        if again is None:
            return response
        if self._registration and again.call_id == self._registration.call_id:
            self._registration.sequence = again.sequence
        return await self.transact(again, peer, timeout_s)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
