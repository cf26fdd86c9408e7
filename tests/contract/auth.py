"""Who may call: both kinds of project."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.contract.caller import WireCaller, sign
from tests.contract.case import case
from tests.contract.target import Skip, Target
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import AuthenticationRefused

HTTP_UNAUTHORIZED = 401


def _secret(target: Target) -> str:
    if target.wire.secret is None:
        raise Skip("this project is of the key-only kind")
    return target.wire.secret


def _check_refused(target: Target, headers: dict[str, str]) -> dict[str, Any]:
    answer = target.wire.post("Task/List", {"limit": "1"}, headers=headers)
    assert answer.status_code == HTTP_UNAUTHORIZED, answer.text
    envelope: dict[str, Any] = answer.json()
    assert envelope["result"] is False
    return envelope


def _check_client_refused(base_url: str, credentials: Credentials) -> None:
    with (
        WiroClient(credentials, base_url=base_url) as client,
        pytest.raises(AuthenticationRefused),
    ):
        client.list_tasks(limit=1)


@case("authentication", "right credentials are let in", needs="read")
def _(target: Target) -> None:
    assert target.wire.call("Task/List", limit="1")["result"]
    target.client.list_tasks(limit=1)


@case("authentication", "no key: 401, code 0", needs="read", codes=(0,))
def _(target: Target) -> None:
    assert _check_refused(target, {})["errors"][0]["code"] == 0


@case("authentication", "an unknown key: 401, code 0", needs="read", codes=(0,))
def _(target: Target) -> None:
    headers = {**target.wire.headers(), "x-api-key": "0" * 32}
    assert _check_refused(target, headers)["errors"][0]["code"] == 0
    _check_client_refused(target.wire.base_url, Credentials("0" * 32, "0" * 32))


@case("authentication", "a bearer token that is none: code 99", needs="read", codes=(99,))
def _(target: Target) -> None:
    envelope = _check_refused(target, {"Authorization": "Bearer none"})
    assert envelope["errors"][0]["code"] == 99


@case("authentication", "signature project: the key alone is refused", needs="read", codes=(0,))
def _(target: Target) -> None:
    _secret(target)
    _check_refused(target, {"x-api-key": target.wire.key})
    _check_client_refused(target.wire.base_url, Credentials(target.wire.key))


@case("authentication", "signature project: a wrong signature is refused", needs="read", codes=(0,))
def _(target: Target) -> None:
    wrong = sign(target.wire.key, _secret(target) + "x", "17")
    headers = {"x-api-key": target.wire.key, "x-nonce": "17", "x-signature": wrong}
    _check_refused(target, headers)
    _check_client_refused(target.wire.base_url, Credentials(target.wire.key, "wrong"))


@case(
    "authentication",
    "signature project: nonces of seconds, milliseconds, any integer",
    needs="read",
)
def _(target: Target) -> None:
    _secret(target)
    for nonce in (int(time.time()), int(time.time() * 1000), 2**51 + 12345):
        headers = target.wire.headers(str(nonce))
        answer = target.wire.post("Task/List", {"limit": "1"}, headers=headers)
        assert answer.json()["result"], answer.text


@case("authentication", "the client signs as documented, with a nonce used once", needs="read")
def _(target: Target) -> None:
    secret = _secret(target)
    credentials = Credentials(target.wire.key, secret)
    sent = [credentials.headers() for _ in range(100)]
    assert len({headers["x-nonce"] for headers in sent}) == len(sent)
    for headers in sent:
        assert int(headers["x-nonce"]) > 0
        assert headers["x-signature"] == sign(target.wire.key, secret, headers["x-nonce"])


@case("authentication", "key-only project: the key alone is let in, another is refused", codes=(0,))
def _(target: Target) -> None:
    assert target.control
    with Emulator.start(key_only=True) as emulator:
        wire = WireCaller(emulator.base_url, emulator.api_key, None)
        assert wire.call("Task/List")["result"]
        credentials = Credentials(emulator.api_key)
        assert credentials.headers() == {"x-api-key": emulator.api_key}
        with WiroClient(credentials, base_url=emulator.base_url) as client:
            assert client.list_tasks().total == 0
        _check_client_refused(emulator.base_url, Credentials("other"))
