"""Credentials of a Wiro project, and the headers that prove them."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from wiro_dagster.errors import ConfigurationError


class NonceSource:
    """Gives integers that never repeat, in any thread.

    It counts up from a random start. A forked child takes a new start, so that processes do not
    repeat each other's values. Every value fits a double (2**53), in case the service parses it as
    one.
    """

    def __init__(self) -> None:
        self._counter = _random_counter()

    def next_nonce(self) -> int:
        """Return the next value."""
        process_id, counter = self._counter
        if process_id != os.getpid():
            self._counter = process_id, counter = _random_counter()
        # One step of itertools.count is atomic: no lock that a fork could leave held.
        return next(counter)


def _random_counter() -> tuple[int, Iterator[int]]:
    return os.getpid(), itertools.count(2**51 + secrets.randbits(51))


_NONCES = NonceSource()


@dataclass(frozen=True, slots=True)
class Credentials:
    """The key of a project, and its secret if the project uses signatures.

    Raises:
        ConfigurationError: a value is empty, or holds characters that no HTTP header can carry.
    """

    api_key: str = field(repr=False)
    api_secret: str | None = field(default=None, repr=False)
    """None for a "key only" project."""

    def __post_init__(self) -> None:
        """Check now: inside a request the error would show the value."""
        _check_printable("API key", self.api_key)
        if self.api_secret is not None:
            _check_printable("API secret", self.api_secret)

    def headers(self) -> dict[str, str]:
        """Return the headers for one request; signed ones hold a nonce used only here."""
        if self.api_secret is None:
            return {"x-api-key": self.api_key}
        nonce = str(_NONCES.next_nonce())
        return {
            "x-api-key": self.api_key,
            "x-nonce": nonce,
            "x-signature": sign(self.api_key, self.api_secret, nonce),
        }


def sign(api_key: str, api_secret: str, nonce: str) -> str:
    """Return the signature that belongs to a nonce, as 64 hexadecimal digits."""
    message = (api_secret + nonce).encode()
    return hmac.new(api_key.encode(), message, hashlib.sha256).hexdigest()


def _check_printable(name: str, value: str) -> None:
    if not value:
        raise ConfigurationError(f"The Wiro {name} is empty: set it, or leave it out.")
    if not all("!" <= character <= "~" for character in value):
        raise ConfigurationError(
            f"The Wiro {name} holds a space, a line break or a character outside ASCII: "
            "copy it again from the project's page."
        )
