"""A REGISTER of our own, over UDP: as a telephone would send it, to see what our registrar says.

Digest as in RFC 2617 with MD5, which is what every telephone speaks; RFC 3261 section 10 for the rest.
"""

import asyncio
import hashlib
import re
import secrets
from dataclasses import dataclass

USER_AGENT = "Denwaban release check"
PROBE = "denwaban-release-"
"""Begins the Call-ID of ours, by which our own failed logins are told from others'."""

RESEND_S = 0.5


class NoAnswer(Exception):
    """The registrar did not answer in time."""


@dataclass(frozen=True)
class Login:
    """Who registers, where. `host` as it stands in a URI."""

    host: str
    port: int
    username: str
    password: str


@dataclass(frozen=True)
class Response:
    status: int
    challenge: dict[str, str]
    """Parameters of WWW-Authenticate; empty without one."""


def request(
    login: Login, call: str, sequence: int, local: str, answer: str = "", all_out: bool = True
) -> bytes:
    """One REGISTER. `all_out` removes every contact of the name; without it nothing is changed. Pure."""
    uri = f"sip:{login.host}:{login.port}"
    lines = [
        f"REGISTER {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {local};branch=z9hG4bK{secrets.token_hex(8)};rport",
        "Max-Forwards: 70",
        f"From: <sip:{login.username}@{login.host}>;tag={call[-8:]}",
        f"To: <sip:{login.username}@{login.host}>",
        f"Call-ID: {call}",
        f"CSeq: {sequence} REGISTER",
        f"User-Agent: {USER_AGENT}",
    ]
    if all_out:
        lines += ["Contact: *", "Expires: 0"]
    if answer:
        lines.append(f"Authorization: {answer}")
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()


def parse_response(packet: bytes, call: str, sequence: int) -> Response | None:
    """A response to that request; None for whatever else comes. Pure."""
    head = packet.decode(errors="replace").partition("\r\n\r\n")[0]
    first, *lines = head.split("\r\n")
    found = re.fullmatch(r"SIP/2\.0 (\d{3}) .*", first)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if (
        not found
        or headers.get("call-id") != call
        or headers.get("cseq", "").split() != [str(sequence), "REGISTER"]
    ):
        return None
    challenge = re.findall(
        r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', headers.get("www-authenticate", "")
    )
    return Response(int(found[1]), {name.lower(): quoted or bare for name, quoted, bare in challenge})


def authorization(login: Login, challenge: dict[str, str], client_nonce: str) -> str:
    """The value of Authorization that answers `challenge`. Pure."""
    uri = f"sip:{login.host}:{login.port}"
    realm, nonce = challenge.get("realm", ""), challenge.get("nonce", "")
    secret = _md5(f"{login.username}:{realm}:{login.password}")
    with_qop = "auth" in challenge.get("qop", "")
    middle = f"00000001:{client_nonce}:auth:" if with_qop else ""
    parts = {
        "username": login.username,
        "realm": realm,
        "nonce": nonce,
        "uri": uri,
        "response": _md5(f"{secret}:{nonce}:{middle}{_md5(f'REGISTER:{uri}')}"),
        **({"opaque": challenge["opaque"]} if "opaque" in challenge else {}),
        **({"cnonce": client_nonce} if with_qop else {}),
    }
    quoted = ", ".join(f'{name}="{value}"' for name, value in parts.items())
    return f"Digest {quoted}, algorithm=MD5" + (", qop=auth, nc=00000001" if with_qop else "")


async def register(login: Login, all_out: bool, limit_s: float = 5.0) -> int:
    """Send a REGISTER, with the password once it is asked for; the last status. Raises NoAnswer, OSError."""
    call = PROBE + secrets.token_hex(12)
    loop = asyncio.get_running_loop()
    wire, inbox = await loop.create_datagram_endpoint(
        _Inbox, remote_addr=(login.host.strip("[]"), login.port)
    )
    host, port = wire.get_extra_info("sockname")[:2]
    local = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(limit_s):
            first = await _ask(wire, inbox, call, 1, request(login, call, 1, local, all_out=all_out))
            if first.status != 401:
                return first.status
            answer = authorization(login, first.challenge, secrets.token_hex(8))
            again = request(login, call, 2, local, answer, all_out)
            return (await _ask(wire, inbox, call, 2, again)).status
    except TimeoutError:
        raise NoAnswer(f"no answer in {limit_s} s") from None
    finally:
        wire.close()


async def _ask(
    wire: asyncio.DatagramTransport, inbox: "_Inbox", call: str, sequence: int, packet: bytes
) -> Response:
    while True:
        wire.sendto(packet)
        try:
            async with asyncio.timeout(RESEND_S):
                while True:
                    response = parse_response(await inbox.packets.get(), call, sequence)
                    if response is not None and response.status >= 200:
                        return response
        except TimeoutError:
            continue


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.packets.put_nowait(data)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
