"""Short forms of the campaigns; `tests/campaigns` has the long ones."""

from __future__ import annotations

import sys

import pytest

from tests.system.campaigns.chaos import Chaos, run_chaos
from tests.system.campaigns.kill import Kills, run_kills


def test_chaos_neither_pays_twice_nor_loses(ledger_url: str) -> None:
    """Every fault of the emulator at once, two processes on one ledger."""
    found = run_chaos(Chaos(orders=30, rate=0.01, seed=7, ledger_url=ledger_url, processes=2))
    assert found.is_right, str(found)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")
def test_kills_neither_pay_twice_nor_lose() -> None:
    """Run workers, code server and daemon die at random moments while videos are made."""
    kills = Kills(orders=5, kills=5, seed=1, task_seconds=3.0, pause_seconds=(0.2, 2.0))
    found = run_kills(kills)
    assert found.is_right, str(found)
