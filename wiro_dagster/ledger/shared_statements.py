"""Compiled statements that several engines share, for programs that make many engines.

SQLAlchemy compiles a statement anew for each engine. Its execution option `compiled_cache` gives a
connection another cache, here one for all SQLite files in some folders. Other engines keep theirs.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Dialect, Engine

_MOST_STATEMENTS = 500
"""As many as SQLAlchemy keeps for an engine."""


class SharedStatements:
    """Compiled statements of all SQLite files in some folders. Thread-safe.

    Args:
        folders: absolute paths. Their engines must have been made with the same settings, but for
            the file.
    """

    def __init__(self, folders: Collection[Path]) -> None:
        self._folders = frozenset(map(str, folders))
        self._compiled = _Compiled()
        event.listen(Engine, "engine_connect", self._share)

    def close(self) -> None:
        """Let connections that are opened from now on compile for themselves."""
        event.remove(Engine, "engine_connect", self._share)

    def count(self) -> int:
        """Return how many statements are kept."""
        return len(self._compiled)

    def _share(self, connection: Connection) -> None:
        url = connection.engine.url
        if url.get_backend_name() != "sqlite" or not url.database:
            return
        folder = os.path.dirname(url.database)  # noqa: PTH120, for each connection
        if folder in self._folders:
            connection.execution_options(compiled_cache=self._compiled)


class _Compiled(dict[Any, Any]):
    """A cache whose keys name the kind of database where SQLAlchemy's name the engine's dialect.

    If SQLAlchemy made its keys in another way, nothing would be found, and each engine would
    compile for itself.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a compiled statement."""
        return super().get(_without_engine(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        """Keep a compiled statement."""
        if len(self) >= _MOST_STATEMENTS:
            self.clear()
        super().__setitem__(_without_engine(key), compiled)


def _without_engine(key: Any) -> Any:
    if not isinstance(key, tuple):
        return key
    return tuple(type(part) if isinstance(part, Dialect) else part for part in key)
