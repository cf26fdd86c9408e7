"""The account's resource: its name, its client, its WebSocket, and secrets that stay secret."""

from __future__ import annotations

import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources import account
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.places import build_video_store
from wiro_dagster.resources.stores import FolderVideoStore

URL = "sqlite:////srv/wiro/ledger.db"


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


def test_a_malformed_setting_is_refused_at_definition() -> None:
    """It never waits for a tick, and each message names its setting."""
    for settings, name in (
        ({"run_fields": {"callbackUrl": "x"}}, "run_fields"),
        ({"cdn_hosts": ["https://cdn.wiro.ai"]}, "cdn_hosts"),
        ({"base_url": "http://api.wiro.ai/v1"}, "base_url"),
        ({"websocket_url": "ws://wiro.example"}, "websocket_url"),
        ({"callback_base_url": "http://me.example/wiro"}, "callback_base_url"),
        ({"callback_base_url": "https://me.example/wiro?token=1"}, "callback_base_url"),
    ):
        with pytest.raises(ConfigurationError, match=name):
            WiroResource(api_key="k", **settings)
    variable = dg.EnvVar("WIRO_TEST")
    WiroResource(api_key="k", base_url=variable, cdn_hosts=[variable], websocket_url=variable)


def test_events_come_from_wiro_or_from_where_the_setting_says() -> None:
    """Another service has none unless it is named, and none in the clear unless that is allowed."""
    assert WiroResource(api_key="k").find_websocket_url() == "wss://socket.wiro.ai/v1"
    other: dict[str, Any] = {"api_key": "k", "base_url": "https://wiro.example/v1"}
    assert WiroResource(**other).open_progress() is None
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
    [
        ("12.50", "12.50"),
        ("0", "0"),
        (25, "25"),
        (10.0, "10"),
        (0.6, "0.6"),
        (Decimal("0.07"), "0.07"),
        (1000000, "1000000"),
        ("none", None),
        (None, None),
    ],
)
def test_a_budget_is_an_amount_or_no_limit(budget: Any, limit: str | None) -> None:
    """Numbers and text are exact; None and "none" mean no limit."""
    limits = LedgerResource(url=URL, daily_budget_usd=budget).get_limits()
    assert str(limits.daily_usd) == (limit or "None")


@pytest.mark.parametrize("budget", ["", "  ", "ten", "-1", -1, float("inf"), 1000001, "1_0"])
def test_a_budget_that_is_not_an_amount_is_refused(budget: Any) -> None:
    """An empty variable must not lift the limit, and no wrong amount waits for a tick."""
    with pytest.raises(ConfigurationError, match="daily_budget_usd"):
        LedgerResource(url=URL, daily_budget_usd=budget)


def test_a_budget_from_a_variable_is_read_when_a_run_starts() -> None:
    """At definition it has no value that could be checked."""
    LedgerResource(url=dg.EnvVar("LEDGER"), daily_budget_usd=dg.EnvVar("BUDGET"))


def test_an_assumed_price_must_be_stated() -> None:
    """`unknown_price="assume"` alone would fail in every tick."""
    with pytest.raises(ConfigurationError, match="assumed_price_usd"):
        LedgerResource(url=URL, unknown_price="assume")


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:", "sqlite:///a.db"])
def test_a_ledger_that_cannot_be_used_is_refused_at_definition(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path would be another, empty ledger in every other working directory."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(ConfigurationError, match="ledger"):
        LedgerResource(url=url)


def test_a_ledger_may_be_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path starts at DAGSTER_HOME, never at the working directory."""
    assert LedgerResource(url=tmp_path / "a.db").url == f"sqlite:///{tmp_path}/a.db"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for url in ("sqlite:///books/a.db", Path("books/a.db")):
        assert LedgerResource(url=url).url == f"sqlite:///{tmp_path}/books/a.db"


def test_a_folder_may_be_a_path(tmp_path: Path) -> None:
    """As in every Dagster API."""
    assert FolderVideoStore(path=tmp_path).path == str(tmp_path)
    assert build_video_store(tmp_path) == FolderVideoStore(path=str(tmp_path))
