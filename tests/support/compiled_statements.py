"""SQLAlchemy compiles a statement once a process, however many databases the tests open.

Each engine would compile the same hundreds of statements for itself: its cache is its own, and so
is its dialect, which is part of the cache's keys.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Engine

_COMPILED: dict[Any, Any] = {}


def share_compiled_statements() -> None:
    """Give all engines of this process one cache, in which dialects of one kind are equal."""
    for kind in (SQLiteDialect_pysqlite, PGDialect_psycopg2):
        kind.__eq__ = _is_same_kind
        kind.__hash__ = _hash_kind

    make = Engine.__init__

    def make_sharing(engine: Engine, *arguments: Any, **options: Any) -> None:
        make(engine, *arguments, **options)
        engine._compiled_cache = _COMPILED

    # No listener would do: with a single one, every statement goes through all of their hooks.
    Engine.__init__ = make_sharing


def _what_matters(dialect: Any) -> tuple[Any, ...]:
    return type(dialect), dialect._json_serializer, dialect._json_deserializer, dialect.paramstyle


def _is_same_kind(dialect: Any, other: object) -> bool:
    return type(dialect) is type(other) and _what_matters(dialect) == _what_matters(other)


def _hash_kind(dialect: Any) -> int:
    return hash(_what_matters(dialect))
