"""Dagster's SQLite files: kept connections and shared statements save half of an event.

Dagster makes an engine for each event, two or three times, opens a connection, and closes it. All
statements are compiled anew for each engine.

The files are looked for below DAGSTER_HOME, where Dagster has them by default. If they are
elsewhere, or Dagster uses PostgreSQL, nothing is kept or shared.
"""

from __future__ import annotations

from pathlib import Path

from wiro_dagster.ledger.kept_connections import KeptConnections
from wiro_dagster.ledger.shared_statements import SharedStatements

_FOLDERS = ("history", "history/runs", "schedules")
_SHARED = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
_EVENTS_OF_RUN = "history/runs/{}.db"
"""Those without a run are in the file of the run that has no id."""


def keep_connections(kept: KeptConnections, home: str | None, *, run_id: str = "") -> None:
    """Keep the connections of this process to Dagster's files.

    Args:
        kept: keeps them.
        home: the value of DAGSTER_HOME.
        run_id: of the run whose events are written; empty for events without a run.
    """
    if home:
        names = (*_SHARED, _EVENTS_OF_RUN.format(run_id))
        kept.keep([Path(home).absolute() / name for name in names])


def share_statements(home: str | None) -> SharedStatements:
    """Let all connections of this process to Dagster's files share compiled statements.

    Args:
        home: the value of DAGSTER_HOME.
    """
    return SharedStatements([Path(home).absolute() / name for name in _FOLDERS] if home else [])
