"""The emulator's memory: one SQLite file, so that a killed emulator can go on."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA_VERSION = 1
_FIRST_TASK_NUMBER = 534_574

_SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    token TEXT NOT NULL UNIQUE,
    slug TEXT NOT NULL,
    parameters TEXT NOT NULL,
    input_files TEXT NOT NULL,
    callback_url TEXT,
    project_id TEXT,
    created_at REAL NOT NULL,
    listed_at REAL NOT NULL,
    visible_at REAL NOT NULL,
    script TEXT NOT NULL,
    timeline TEXT NOT NULL,
    ends_at REAL,
    is_killed INTEGER NOT NULL DEFAULT 0,
    is_settled INTEGER NOT NULL DEFAULT 0,
    cost_pico_usd INTEGER NOT NULL DEFAULT 0,
    deleted_at REAL
);
CREATE INDEX IF NOT EXISTS tasks_to_settle ON tasks (is_settled, ends_at);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    folder_id TEXT,
    task_number INTEGER,
    added_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS folders (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, parent_id TEXT, created_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS faults (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    moment TEXT NOT NULL,
    matching TEXT,
    remaining INTEGER,
    skip INTEGER NOT NULL,
    options TEXT NOT NULL,
    hits INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS task_scripts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    matching TEXT,
    remaining INTEGER,
    script TEXT NOT NULL,
    hits INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS callbacks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    task_number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    due_at REAL NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 1,
    is_done INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS callbacks_due ON callbacks (is_done, due_at);
CREATE TABLE IF NOT EXISTS journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    at REAL NOT NULL,
    http_status INTEGER,
    fault TEXT,
    task_id TEXT,
    duration_ms REAL,
    request TEXT NOT NULL,
    answer TEXT NOT NULL,
    note TEXT
);
"""

# Added to tables of earlier versions, which had the same schema otherwise.
_ADDED_COLUMNS = (
    ("tasks", "edition", "TEXT NOT NULL DEFAULT '[0, []]'"),
    ("tasks", "account", "TEXT NOT NULL DEFAULT 'main'"),
    ("tasks", "origin", "TEXT NOT NULL DEFAULT 'run'"),
    ("faults", "ends_at", "REAL"),
)

_EMPTIED_BY_RESET = (
    "tasks",
    "uploads",
    "folders",
    "faults",
    "task_scripts",
    "callbacks",
    "journal",
    "kept",
)


def remove_state(path: Path) -> None:
    """Remove a state's file and all that stands beside it, and its folder if that is empty."""
    shutil.rmtree(path.with_name(f"{path.name}.files"), ignore_errors=True)
    for ending in ("", "-wal", "-shm", ".log"):
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


class State:
    """The SQLite file behind one emulator.

    Args:
        path: the file; beside it, ``<path>.files`` holds uploads and made media.

    Raises:
        ValueError: the file was written by an emulator with another schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files_folder = path.with_name(path.name + ".files")
        self.files_folder.mkdir(parents=True, exist_ok=True)
        # Everything but the making of media happens on the event loop's thread.
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing that the kernel has; only a power cut could.
        self.connection.execute("PRAGMA synchronous=OFF")
        self.connection.executescript(_SCHEMA)
        self._check_version()
        self._add_columns()
        self.start_task_numbers()

    def _check_version(self) -> None:
        found = self.get("schema_version", None)
        if found is None:
            self.keep("schema_version", _SCHEMA_VERSION)
        elif found != _SCHEMA_VERSION:
            raise ValueError(
                f"{self.path} has schema {found}, this emulator writes {_SCHEMA_VERSION}: "
                "choose another --state path"
            )

    def _add_columns(self) -> None:
        for table, name, kind in _ADDED_COLUMNS:
            columns = self.connection.execute(f"PRAGMA table_info({table})").fetchall()
            if all(column["name"] != name for column in columns):
                self.connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        # Task/List counts and pages through it; the rows themselves are large.
        self.connection.execute(
            "CREATE INDEX IF NOT EXISTS tasks_listed ON tasks (account, number, listed_at)"
        )

    def start_task_numbers(self) -> None:
        """Make a fresh state's first task id look like one of the real service."""
        self.connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'tasks', ? "
            "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'tasks')",
            (_FIRST_TASK_NUMBER - 1,),
        )

    def keep(self, name: str, value: Any) -> None:
        """Store one small value as JSON."""
        self.connection.execute(
            "INSERT INTO kept (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, json.dumps(value)),
        )

    def get(self, name: str, default: Any) -> Any:
        """Return the stored value, or the default."""
        row = self.connection.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row["value"])

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make all of the block's changes, or none."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def empty(self) -> None:
        """Forget everything but the task numbers, which never come twice."""
        with self.transaction() as connection:
            for table in _EMPTIED_BY_RESET:
                connection.execute(f"DELETE FROM {table}")
            self.keep("schema_version", _SCHEMA_VERSION)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()
