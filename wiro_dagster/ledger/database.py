"""The database behind a ledger, and its transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection

from wiro_dagster.ledger.opening import open_engine


class Database:
    """One database, shared by every process that has its URL.

    Args:
        url: a SQLAlchemy URL: `sqlite:///path/to/ledger.db` or `postgresql://user@host/database`.
        clock: gives unix seconds.

    Raises:
        ConfigurationError: the URL cannot be used.
        LedgerError: the database cannot be reached, or holds a later version's ledger.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self.engine = open_engine(url)
        self.clock = clock

    def close(self) -> None:
        """Closes the connections to the database."""
        self.engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write; on SQLite it holds the write lock from its start."""
        with (
            self.engine.connect().execution_options(wiro_write=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.engine.connect() as connection:
            yield connection
