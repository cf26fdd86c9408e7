"""Which hosts may be called, and which of them in the clear."""

from __future__ import annotations

import pytest

from tests.api.test_server import KEY, SECRET
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.hosts import AllowedHosts
from wiro_dagster.api.progress import follow_task
from wiro_dagster.errors import ConfigurationError


@pytest.mark.parametrize(
    ("pattern", "host", "port", "is_allowed"),
    [
        ("cdn.wiro.ai", "cdn.wiro.ai", 443, True),
        ("cdn.wiro.ai", "cdn.wiro.ai", 8443, True),
        ("CDN.wiro.ai", "cdn.wiro.ai", 443, True),
        ("cdn.wiro.ai:8443", "cdn.wiro.ai", 8443, True),
        ("cdn.wiro.ai:8443", "cdn.wiro.ai", 443, False),
        ("cdn.wiro.ai", "a.cdn.wiro.ai", 443, False),
        ("*.wiro.ai", "cdn.wiro.ai", 443, True),
        ("*.wiro.ai", "a.b.wiro.ai", 8443, True),
        ("*.wiro.ai", "wiro.ai", 443, False),
        ("*.wiro.ai", "evilwiro.ai", 443, False),
        ("*.wiro.ai", "wiro.ai.evil.example", 443, False),
        ("*.wiro.ai:443", "cdn.wiro.ai", 443, True),
        ("*.wiro.ai:443", "cdn.wiro.ai", 444, False),
        ("[::1]:8000", "[::1]", 8000, True),
        ("127.0.0.1", "127.0.0.1", 50321, True),
    ],
)
def test_a_pattern_allows_what_it_says(
    pattern: str, host: str, port: int, is_allowed: bool
) -> None:
    """A bare host means every port, and a wildcard the subdomains only."""
    assert AllowedHosts("cdn_hosts", [pattern]).allow(host, port) is is_allowed


@pytest.mark.parametrize(
    "pattern",
    ["", "*", "*.", "a.*.b", "**.wiro.ai", "https://cdn.wiro.ai", "a.b/path", "a@b", "a?b", "["],
)
def test_a_malformed_pattern_is_refused_at_once(pattern: str) -> None:
    """The message names the setting."""
    with pytest.raises(ConfigurationError, match="cdn_hosts"):
        WiroClient(Credentials(KEY, SECRET), cdn_hosts=[pattern])


@pytest.mark.parametrize("base_url", ["http://api.wiro.ai/v1", "http://192.0.2.1:8000/v1"])
def test_a_key_never_goes_in_the_clear_to_another_machine(base_url: str) -> None:
    """Plain http is refused at once, unless the host is named."""
    with pytest.raises(ConfigurationError, match="allow_http_hosts"):
        WiroClient(Credentials(KEY), base_url=base_url)
    host = base_url.split("/")[2].split(":", maxsplit=1)[0]
    WiroClient(Credentials(KEY), base_url=base_url, allow_http_hosts=[host])


def test_a_task_token_never_goes_in_the_clear_to_another_machine() -> None:
    """The WebSocket follows the same rule."""
    with pytest.raises(ConfigurationError, match="allow_http_hosts"):
        follow_task("ws://192.0.2.1/v1", "token", deadline=0.0)
    follow_task("ws://192.0.2.1/v1", "token", deadline=0.0, allow_http_hosts=["192.0.2.1"])
    follow_task("ws://localhost:9/v1", "token", deadline=0.0)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_may_always_be_called_in_the_clear(host: str) -> None:
    """An emulator needs no certificate."""
    WiroClient(Credentials(KEY), base_url=f"http://{host}:8000/v1")
