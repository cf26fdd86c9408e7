"""Dagster's SQLite files: keeping them open and sharing statements saves almost half of an event.

Dagster opens a connection for each event, and closes it. When the last connection to a file closes,
SQLite copies the write-ahead log into the database and waits for the disk. An idle connection that
stays open spares all processes that. It also makes an engine for each connection, for which all
statements are compiled anew, unless engines share them.

The files are looked for below DAGSTER_HOME, where Dagster has them by default. If they are
elsewhere, or Dagster uses PostgreSQL, nothing is kept open or shared.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock

from wiro_dagster.ledger.shared_statements import SharedStatements

_FOLDERS = ("history", "history/runs", "schedules")
_SHARED = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
_EVENTS_OF_RUN = "history/runs/{}.db"
"""Those without a run are in the file of the run that has no id."""


class EventFiles:
    """Connections that do nothing but stay open. Thread-safe."""

    def __init__(self) -> None:
        self._connections: dict[Path, sqlite3.Connection] = {}
        self._lock = Lock()

    def keep_open(self, home: str | None, *, run_id: str = "") -> None:
        """Open the files that exist and are not open yet.

        Args:
            home: the value of DAGSTER_HOME.
            run_id: of the run whose events are written; empty for events without a run.
        """
        if not home:
            return
        root = Path(home)
        names = (*_SHARED, _EVENTS_OF_RUN.format(run_id))
        with self._lock:
            for path in (root / name for name in names):
                if path not in self._connections and path.is_file():
                    with suppress(sqlite3.Error):  # events are only slower without
                        self._connections[path] = _open(path)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()


def share_statements(home: str | None) -> SharedStatements:
    """Let all connections of this process to Dagster's files share compiled statements.

    Args:
        home: the value of DAGSTER_HOME.
    """
    return SharedStatements([Path(home).absolute() / name for name in _FOLDERS] if home else [])


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
    # SQLite takes its share of the file with the first statement, and holds it from then on.
    with closing(connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")) as cursor:
        cursor.fetchall()
    return connection
