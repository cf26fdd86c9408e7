"""Fixtures for orders: benches on one emulator, closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.system.campaigns.bench import Bench
from wiro_dagster.emulator import Emulator

OpenBench = Callable[..., Bench]


@pytest.fixture
def open_bench(emulator: Emulator, tmp_path: Path) -> Iterator[OpenBench]:
    """Open benches on tasks of five seconds; each name has a ledger and a store of its own."""
    emulator.change_settings(task_seconds=5.0)
    with ExitStack() as opened:

        def open_one(name: str = "ledger", **options: Any) -> Bench:
            url = options.pop("ledger_url", f"sqlite:///{tmp_path / name}.db")
            return opened.enter_context(closing(Bench(emulator, url, tmp_path / name, **options)))

        yield open_one
