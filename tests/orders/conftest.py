"""Fixtures for orders: benches on one emulator, and contexts that ask nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.ledger_files import new_ledger_url
from tests.support.ledger_orders import ACCOUNT
from tests.system.campaigns.bench import Bench
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger
from wiro_dagster.orders import OrderContext
from wiro_dagster.orders.models import Models
from wiro_dagster.store import FolderStore

OpenBench = Callable[..., Bench]
OpenContext = Callable[[Ledger], OrderContext]


def open_file(path: Path) -> str:
    """Return the URL of a SQLite ledger, which begins there if there is none."""
    return f"sqlite:///{path}" if path.exists() else new_ledger_url(path)


@pytest.fixture
def open_bench(emulator: Emulator, tmp_path: Path) -> Iterator[OpenBench]:
    """Open benches on tasks of five seconds; each name has a ledger and a store of its own."""
    emulator.change_settings(task_seconds=5.0)
    with ExitStack() as opened:

        def open_one(name: str = "ledger", **options: Any) -> Bench:
            url = options.pop("ledger_url", None) or open_file(tmp_path / f"{name}.db")
            return opened.enter_context(closing(Bench(emulator, url, tmp_path / name, **options)))

        yield open_one


@pytest.fixture
def open_context(tmp_path: Path) -> Iterator[OpenContext]:
    """Open contexts on one video store; their Wiro cannot be reached."""
    with ExitStack() as opened:

        def open_one(ledger: Ledger) -> OrderContext:
            client = WiroClient(Credentials("key", None), base_url="http://127.0.0.1:9/v1")
            opened.callback(client.close)
            return OrderContext(
                ledger=ledger,
                client=client,
                store=FolderStore(tmp_path / "videos"),
                quoter=Models(ledger, client).quote,
                account=ACCOUNT,
                collection="video",
            )

        yield open_one
