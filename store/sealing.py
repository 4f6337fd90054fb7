"""Secrets at rest: sealed with a key derived from the instance's secret."""

import base64
from typing import TYPE_CHECKING

from store.errors import SealBroken

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

# `cryptography` is imported where it is used: it costs 6 MB, and a process that seals nothing goes without.


def seal(text: str, secret_key: str) -> str:
    """Encrypt and authenticate `text`. Twice the same text gives two different results."""
    return _fernet(secret_key).encrypt(text.encode()).decode()


def unseal(sealed: str, secret_key: str) -> str:
    """Give back what `seal` was given. Raises SealBroken for another key or a changed text."""
    from cryptography.fernet import InvalidToken

    try:
        return _fernet(secret_key).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise SealBroken("the sealed text does not open with this key") from None


def _fernet(secret_key: str) -> "Fernet":
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"denwaban store.sealing")
    return Fernet(base64.urlsafe_b64encode(derivation.derive(secret_key.encode())))
