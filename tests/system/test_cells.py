"""A short form of the cells of chaos; `tests/system/campaigns/cells.py` has the long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.postgres import postgres_database
from tests.system.campaigns.cells import run_cell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of other processes")


def test_killed_back_ends_lose_nothing(postgres_uri: str, tmp_path: Path) -> None:
    """PostgreSQL ends every connection in the middle of whatever it is used for."""
    with postgres_database(postgres_uri) as url:
        row = run_cell("killed back ends", url, tmp_path, orders=12, seconds=1.5, workers=2)
    assert row.is_right, f"{row}\n{row.figures}"


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """Workers can write neither to the ledger nor anywhere else, and go on when they can."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    row = run_cell("full disk", url, tmp_path, orders=12, seconds=1.5, workers=2)
    assert row.is_right, f"{row}\n{row.figures}"
