"""A short form of the chaos campaign; `tests/system/campaigns` has the long one."""

from __future__ import annotations

from tests.system.campaigns.chaos import Chaos, run_chaos


def test_chaos_neither_pays_twice_nor_loses(ledger_url: str) -> None:
    """Every fault of the emulator at once, two processes on one ledger."""
    chaos = Chaos(
        orders=30, rate=0.01, seed=7, ledger_url=ledger_url, processes=2, limit_seconds=180.0
    )
    found = run_chaos(chaos)
    assert found.is_right, str(found)
