"""The account's resource: its name, its client, its WebSocket, and secrets that stay secret."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources import account
from wiro_dagster.resources.account import LedgerResource, WiroResource


@pytest.fixture(autouse=True)
def _forget_warnings() -> None:
    account._warn_of_literal.cache_clear()


def test_an_account_keeps_its_name_when_its_key_changes() -> None:
    """Without a name it goes by a short hash of the key, which reveals nothing."""
    keys = ("key-one", "key-two")
    assert {WiroResource(api_key=key, account="studio").get_account() for key in keys} == {"studio"}
    hashes = [WiroResource(api_key=key).get_account() for key in keys]
    assert len(set(hashes)) == 2
    assert not any(key in text for key in keys for text in hashes)


def test_equal_settings_share_a_client() -> None:
    """Connections are kept across ticks, which get new resources each time."""
    settings: dict[str, Any] = {"api_key": "k", "run_headers": {"X-A": "{marker}"}}
    first, second = (WiroResource(**settings).get_client() for _ in range(2))
    assert first is second
    assert WiroResource(api_key="k").get_client() is not first


def test_a_malformed_setting_is_told_when_the_client_is_opened() -> None:
    """Each message names its setting."""
    for settings, name in (
        ({"run_fields": {"callbackUrl": "x"}}, "run_fields"),
        ({"cdn_hosts": ["https://cdn.wiro.ai"]}, "cdn_hosts"),
        ({"base_url": "http://api.wiro.ai/v1"}, "base_url"),
    ):
        with pytest.raises(ConfigurationError, match=name):
            WiroResource(api_key="k", **settings).get_client()


def test_events_come_from_wiro_or_from_where_the_setting_says() -> None:
    """Another service has none unless it is named, and none in the clear unless that is allowed."""
    assert WiroResource(api_key="k").find_websocket_url() == "wss://socket.wiro.ai/v1"
    other: dict[str, Any] = {"api_key": "k", "base_url": "https://wiro.example/v1"}
    assert WiroResource(**other).open_progress() is None
    clear = WiroResource(**other, websocket_url="ws://wiro.example/v1")
    with pytest.raises(ConfigurationError, match="websocket_url"):
        clear.open_progress()
    allowed = WiroResource(
        **other, websocket_url="ws://wiro.example/v1", allow_http_hosts=["wiro.example"]
    )
    assert allowed.open_progress() is not None


def test_a_secret_written_in_python_is_warned_about_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster would show it; the warning does not."""
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            WiroResource(api_key="literal-key", api_secret=dg.EnvVar("WIRO_API_SECRET"))
    (record,) = caplog.records
    assert "api_key" in record.getMessage()
    assert "literal-key" not in record.getMessage()


def test_a_secret_from_the_environment_is_not_warned_about(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when it is defined nor when Dagster fills it in for a run; nor for an emulator."""
    monkeypatch.setenv("MY_WIRO_KEY", "key-from-outside")
    keys: list[str] = []

    @dg.asset
    def use(wiro: WiroResource) -> None:
        keys.append(wiro.api_key)

    with caplog.at_level(logging.WARNING, logger=account.__name__):
        resource = WiroResource(api_key=dg.EnvVar("MY_WIRO_KEY"))
        dg.materialize([use], resources={"wiro": resource})
        WiroResource(api_key="emulator-key", base_url="http://127.0.0.1:8000/v1")
    assert keys == ["key-from-outside"]
    assert [record for record in caplog.records if record.name == account.__name__] == []


@pytest.mark.parametrize(
    ("budget", "limit"),
    [("12.50", "12.50"), ("0", "0"), ("1000000", "1000000"), ("none", None), (None, None)],
)
def test_a_budget_is_an_amount_or_no_limit(budget: str | None, limit: str | None) -> None:
    """None and "none" mean no limit."""
    limits = LedgerResource(url="sqlite://", daily_budget_usd=budget).get_limits()
    assert limits.daily_usd == (None if limit is None else Decimal(limit))


@pytest.mark.parametrize("budget", ["", "  ", "ten", "-1", "inf", "1000001", "1_0"])
def test_a_budget_that_is_not_an_amount_is_refused(budget: str) -> None:
    """An empty variable must not lift the limit."""
    with pytest.raises(ConfigurationError, match="daily_budget_usd"):
        LedgerResource(url="sqlite://", daily_budget_usd=budget).get_limits()
