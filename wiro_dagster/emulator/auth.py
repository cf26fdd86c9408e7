"""Checks callers: by the key alone, or by the key and a signature made with the secret."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from wiro_dagster.emulator.keys import Keys
from wiro_dagster.emulator.refusals import (
    BEARER_INVALID,
    KEY_NOT_FOUND,
    SIGNATURE_INVALID,
    SIGNATURE_REQUIRED,
    Refused,
)


def check_headers(keys: Keys, headers: Mapping[str, str], now: float) -> str:
    """Let a caller in, and return the account that its key belongs to.

    Raises:
        Refused: with HTTP 401.
    """
    text = headers.get("x-api-key", "")
    if not text and headers.get("authorization"):
        raise Refused(BEARER_INVALID)
    key = keys.find(text, now)
    if key is None:
        raise Refused(KEY_NOT_FOUND)
    if key.secret is None:
        return key.account
    nonce, signature = headers.get("x-nonce", ""), headers.get("x-signature", "")
    if not nonce or not signature:
        raise Refused(SIGNATURE_REQUIRED)
    expected = sign(key.text, key.secret, nonce)
    is_number = nonce.isascii() and nonce.isdecimal()
    if not is_number or not hmac.compare_digest(expected, signature):
        raise Refused(SIGNATURE_INVALID)
    return key.account


def sign(api_key: str, api_secret: str, nonce: str) -> str:
    """Return the signature of a nonce, in hexadecimal digits."""
    message = f"{api_secret}{nonce}".encode()
    return hmac.new(api_key.encode(), message, hashlib.sha256).hexdigest()
