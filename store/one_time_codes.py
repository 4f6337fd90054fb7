"""One-time codes: TOTP (RFC 6238, 6 digits, 30 s), and the recovery codes for who has lost the phone."""

import hashlib
import hmac
import secrets
from datetime import datetime

import pyotp

ISSUER = "電話番"
STEP_S = 30
DRIFT_STEPS = 1
"""How many steps a phone's clock may be off, either way."""

RECOVERY_CODES = 10
RECOVERY_SIGNS = "23456789abcdefghjkmnpqrstuvwxyz"
RECOVERY_GROUPS = 4


def new_secret() -> str:
    return pyotp.random_base32()


def uri(secret: str, login: str) -> str:
    """What a QR code for an authenticator says."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=ISSUER)


def step_of(code: str, secret: str, at: datetime, last_step: int) -> int | None:
    """The step whose code this is; None for a wrong one, or one of `last_step` or before."""
    code = code.strip().replace(" ", "")
    if not (code.isascii() and code.isdecimal()):
        return None
    now = int(at.timestamp()) // STEP_S
    # Every step is looked at, so that the answer takes as long whichever it is.
    steps = range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1)
    right = [s for s in steps if hmac.compare_digest(pyotp.HOTP(secret).at(s), code) and s > last_step]
    return right[0] if right else None


def new_recovery_codes() -> list[str]:
    """Ten codes of 80 random bits each, as `abcd-efgh-jkmn-pqrs`."""
    return ["-".join(_group() for _ in range(RECOVERY_GROUPS)) for _ in range(RECOVERY_CODES)]


def recovery_digest(code: str) -> str:
    """What is kept of a code, however it was typed."""
    plain = "".join(sign for sign in code.casefold() if sign.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()


def _group() -> str:
    return "".join(secrets.choice(RECOVERY_SIGNS) for _ in range(4))
