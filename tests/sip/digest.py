"""Digest authentication with MD5, as SIP phones do it (RFC 2617). Pure."""

import hashlib
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Credentials:
    username: str
    password: str


@dataclass(frozen=True)
class Challenge:
    """What a 401 or 407 asks for."""

    realm: str
    nonce: str
    opaque: str = ""
    qop: bool = False
    """Whether the `auth` quality of protection is offered."""


def parse_challenge(header: str) -> Challenge:
    """Read WWW-Authenticate or Proxy-Authenticate."""
    found = re.findall(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', header)
    values = {name.lower(): quoted or bare for name, quoted, bare in found}
    offered = [word.strip() for word in values.get("qop", "").split(",")]
    return Challenge(values["realm"], values["nonce"], values.get("opaque", ""), "auth" in offered)


def authorization(
    challenge: Challenge, credentials: Credentials, method: str, uri: str, client_nonce: str, count: int = 1
) -> str:
    """The value of Authorization or Proxy-Authorization; `count` uses of this nonce, this one included."""
    secret = _md5(f"{credentials.username}:{challenge.realm}:{credentials.password}")
    request = _md5(f"{method}:{uri}")
    uses = f"{count:08x}"
    middle = f"{uses}:{client_nonce}:auth:" if challenge.qop else ""
    parts = {
        "username": credentials.username,
        "realm": challenge.realm,
        "nonce": challenge.nonce,
        "uri": uri,
        "response": _md5(f"{secret}:{challenge.nonce}:{middle}{request}"),
        **({"opaque": challenge.opaque} if challenge.opaque else {}),
        **({"cnonce": client_nonce} if challenge.qop else {}),
    }
    quoted = ", ".join(f'{name}="{value}"' for name, value in parts.items())
    return f"Digest {quoted}, algorithm=MD5" + (f", qop=auth, nc={uses}" if challenge.qop else "")


def is_authorized(header: str, credentials: Credentials, method: str) -> bool:
    """Whether an Authorization answers for who it names: reckoned again from what it says."""
    found = re.findall(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', header)
    said = {name.lower(): quoted or bare for name, quoted, bare in found}
    challenge = Challenge(said.get("realm", ""), said.get("nonce", ""), said.get("opaque", ""), "qop" in said)
    count = int(said.get("nc", "1"), 16)
    expected = authorization(
        challenge, credentials, method, said.get("uri", ""), said.get("cnonce", ""), count
    )
    return said.get("username") == credentials.username and f'response="{said["response"]}"' in expected


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
