"""SQLite connections that are used again, for programs that open one for each transaction.

An engine without a pool opens the file, reads its schema, and closes it again. When the last
connection to a file closes, SQLite copies the write-ahead log into the database and waits for the
disk. A connection that is kept spares all that.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Hashable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Dialect, Engine

_MOST_IDLE = 4
"""Of one file: more are rarely used at once."""

_LONGEST_SECONDS = 60.0
"""How long a connection is used: one that got into trouble is soon replaced."""


class KeptConnections:
    """Keeps connections to some SQLite files for the next engine that connects. Thread-safe."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._idle: dict[Hashable, list[_Connection]] = {}
        self._lock = threading.Lock()
        event.listen(Engine, "do_connect", self._connect)

    def keep(self, paths: Collection[Path]) -> None:
        """Keep connections to these files from now on.

        Args:
            paths: absolute.
        """
        with self._lock:
            self._files |= {str(path) for path in paths}

    def count_idle(self) -> int:
        """Return how many connections wait for their next use."""
        with self._lock:
            return sum(map(len, self._idle.values()))

    def close(self) -> None:
        """Close what is idle, and keep nothing from now on."""
        event.remove(Engine, "do_connect", self._connect)
        with self._lock:
            self._files.clear()
            idle = [connection for few in self._idle.values() for connection in few]
            self._idle.clear()
        for connection in idle:
            connection.end()

    def _connect(
        self, dialect: Dialect, _record: Any, args: list[Any], options: dict[str, Any]
    ) -> sqlite3.Connection | None:
        """Return a connection for an engine; `None` lets the engine open one of its own."""
        path = str(args[0]) if dialect.name == "sqlite" and args else ""
        key = _key_of(path, options) if path in self._files else None
        if key is None:
            return None
        with self._lock:
            idle = self._idle.get(key)
            if idle:
                return idle.pop()
        opened = sqlite3.connect(path, factory=_Connection, **options)
        opened.give_back = lambda: self._take_back(opened, key)
        return opened

    def _take_back(self, connection: _Connection, key: Hashable) -> bool:
        """Keep a connection that is free again. Return False if it must be closed."""
        with self._lock:
            idle = self._idle.setdefault(key, [])
            is_kept = bool(self._files) and len(idle) < _MOST_IDLE
            if is_kept:
                idle.append(connection)
            return is_kept


class _Connection(sqlite3.Connection):
    """A connection that is kept when it is closed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.give_back: Callable[[], bool] = bool
        self._ends_at = time.monotonic() + _LONGEST_SECONDS
        self._cursors: list[sqlite3.Cursor] = []
        self._functions: set[str] = set()

    def create_function(self, name: str, *args: Any, **options: Any) -> None:
        """Add a function of SQLAlchemy's, once: adding it again would spoil kept statements."""
        if name not in self._functions:
            self._functions.add(name)
            super().create_function(name, *args, **options)

    def cursor(self, *args: Any) -> Any:
        """Open a cursor, and remember it."""
        cursor = super().cursor(*args)
        self._cursors.append(cursor)
        return cursor

    def close(self) -> None:
        """Give the connection back as if it was new: nothing of the last transaction is left."""
        try:
            # A cursor that was not read to its end would go on reading the file as it was.
            for cursor in self._cursors:
                cursor.close()
            self._cursors.clear()
            self.rollback()
            is_kept = time.monotonic() < self._ends_at and self.give_back()
        except sqlite3.Error:
            is_kept = False
        if not is_kept:
            self.end()

    def end(self) -> None:
        """Close the connection."""
        super().close()


def _key_of(path: str, options: Mapping[str, Any]) -> Hashable:
    """Return what connections must have in common; `None` if there is no file.

    A file that was replaced has other numbers, and a forked process must not use its parent's.
    """
    try:
        found = os.stat(path)  # noqa: PTH116, before each connection
    except OSError:
        return None
    return path, found.st_dev, found.st_ino, os.getpid(), *sorted(options.items())
