"""SQLite files in which a ledger can begin: its tables are made once a process, then copied."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa

from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.schema import identity


def new_ledger_url(path: Path) -> str:
    """Write a file with a ledger's tables and not a row in them. Return its URL."""
    path.write_bytes(_tables_without_rows())
    return f"sqlite:///{path}"


@lru_cache
def _tables_without_rows() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        ledger = Ledger(f"sqlite:///{path}")
        with ledger.writing() as connection:
            connection.execute(sa.delete(identity))  # each ledger has an identity of its own
        ledger.close()
        return path.read_bytes()
