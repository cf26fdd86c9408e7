"""Credentials, signatures and nonces."""

from __future__ import annotations

import os
import threading

import pytest

from wiro_dagster.api.auth import Credentials, NonceSource, sign
from wiro_dagster.errors import ConfigurationError


def test_a_signature_is_the_hmac_of_secret_and_nonce_under_the_key() -> None:
    """HMAC-SHA256, key = API key, message = API secret + nonce, as OpenSSL computed it."""
    # printf the-secret1734513809 | openssl dgst -sha256 -hmac the-key
    expected = "95bcc3effab53669d5303664628c8ee61ef1ec812d1a026f711cdf6aad69802d"
    assert sign("the-key", "the-secret", "1734513809") == expected


def test_a_project_without_secret_sends_its_key_alone() -> None:
    """A "key only" project knows no signature."""
    assert Credentials("the-key").headers() == {"x-api-key": "the-key"}


def test_a_project_with_secret_signs_each_request_anew() -> None:
    """Two requests never share a nonce, and each signature belongs to its nonce."""
    credentials = Credentials("the-key", "the-secret")
    first, second = credentials.headers(), credentials.headers()
    assert first["x-nonce"] != second["x-nonce"]
    assert first["x-signature"] == sign("the-key", "the-secret", first["x-nonce"])
    assert second["x-signature"] == sign("the-key", "the-secret", second["x-nonce"])


def test_nonces_never_repeat_in_any_thread() -> None:
    """Eight threads that draw at once draw different integers, all within a double's range."""
    source = NonceSource()
    drawn: list[int] = []

    def draw() -> None:
        drawn.extend([source.next_nonce() for _ in range(2000)])

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == 16_000
    assert all(0 < nonce < 2**53 for nonce in drawn)


def test_nonces_never_repeat_in_forked_children() -> None:
    """A forked child counts from a start of its own."""
    source = NonceSource()
    drawn = [source.next_nonce()]
    for _ in range(3):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            nonces = " ".join(str(source.next_nonce()) for _ in range(50))
            os.write(write_end, nonces.encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(write_end)
        drawn += [int(text) for text in os.read(read_end, 65536).split()]
        os.close(read_end)
    drawn += [source.next_nonce() for _ in range(50)]
    assert len(set(drawn)) == len(drawn) == 201


@pytest.mark.parametrize("value", ["", "two words", "line\nbreak", "ключ", "tab\t"])
def test_credentials_that_no_header_can_carry_are_refused_without_showing_them(value: str) -> None:
    """A malformed key or secret is a ConfigurationError that does not quote it."""
    for arguments in ((value,), ("the-key", value)):
        with pytest.raises(ConfigurationError) as caught:
            Credentials(*arguments)
        assert not value or value not in str(caught.value)


def test_credentials_do_not_print_themselves() -> None:
    """Neither repr nor str holds the key or the secret."""
    credentials = Credentials("the-key", "the-secret")
    assert "the-" not in f"{credentials!r} {credentials}"
