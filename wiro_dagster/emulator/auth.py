"""Who may call: the key alone, or the key and a signature made with the secret."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from wiro_dagster.emulator.refusals import (
    BEARER_INVALID,
    KEY_NOT_FOUND,
    SIGNATURE_INVALID,
    SIGNATURE_REQUIRED,
    Refused,
)
from wiro_dagster.emulator.settings import Settings


def check_headers(settings: Settings, headers: Mapping[str, str]) -> None:
    """Lets a caller in, or not.

    Raises:
        Refused: with HTTP 401.
    """
    key = headers.get("x-api-key", "")
    if not key and headers.get("authorization"):
        raise Refused(BEARER_INVALID)
    if not hmac.compare_digest(key.encode(), settings.api_key.encode()):
        raise Refused(KEY_NOT_FOUND)
    if settings.is_key_only:
        return
    nonce, signature = headers.get("x-nonce", ""), headers.get("x-signature", "")
    if not nonce or not signature:
        raise Refused(SIGNATURE_REQUIRED)
    expected = sign(key, settings.api_secret, nonce)
    is_number = nonce.isascii() and nonce.isdecimal()
    if not is_number or not hmac.compare_digest(expected, signature):
        raise Refused(SIGNATURE_INVALID)


def sign(api_key: str, api_secret: str, nonce: str) -> str:
    """The signature of a nonce, in hexadecimal digits."""
    message = f"{api_secret}{nonce}".encode()
    return hmac.new(api_key.encode(), message, hashlib.sha256).hexdigest()
