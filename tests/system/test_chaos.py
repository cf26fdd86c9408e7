"""A short form of the chaos campaign; `tests/system/campaigns` has the long one.

On PostgreSQL: the kills are on SQLite, and the campaigns take either.
"""

from __future__ import annotations

from tests.support.postgres import postgres_database
from tests.system.campaigns.chaos import Chaos, run_chaos


def test_chaos_neither_pays_twice_nor_loses(postgres_uri: str) -> None:
    """Every fault of the emulator at once, two processes on one ledger."""
    with postgres_database(postgres_uri) as url:
        found = run_chaos(
            Chaos(orders=30, rate=0.01, seed=7, ledger_url=url, processes=2, limit_seconds=180.0)
        )
    assert found.is_right, str(found)
