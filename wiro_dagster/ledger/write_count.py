"""The count of writes to a ledger on PostgreSQL: it shows whether anything was written since.

A trigger of each table counts each row that changes, whichever program changes it. It counts by a
sequence, so that no writer waits for another. A sequence goes up before the write itself can be
seen, so a count says nothing while somebody writes: every writer holds a lock on the table until
what it wrote can be seen.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection

from wiro_dagster.ledger.schema import metadata

_SEQUENCE = "wiro_ledger_writes"
_TRIGGER = "wiro_ledger_written"
_FUNCTION = "wiro_ledger_count_write"

_CREATE_FUNCTION = f"""
CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval((quote_ident(TG_TABLE_SCHEMA) || '.{_SEQUENCE}')::regclass);
    RETURN NULL;
END $$
"""

# The connection's own number: a server that crashed may have forgotten what it counted last.
_COUNT = f"SELECT last_value, is_called, pg_backend_pid() FROM {_SEQUENCE}"  # noqa: S608, constants

_TABLES = ", ".join(f"'{name}'::regclass" for name in metadata.tables)
# Nobody writes, and all tables count: they may have been copied without their triggers.
_IS_SURE = f"""
SELECT
    NOT EXISTS (
        SELECT FROM pg_locks
        WHERE mode = 'RowExclusiveLock' AND relation IN ({_TABLES}) AND database =
            (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AND {len(metadata.tables)} = (
        SELECT count(*) FROM pg_trigger
        WHERE tgname = '{_TRIGGER}' AND tgenabled IN ('O', 'A') AND tgrelid IN ({_TABLES})
    )
"""  # noqa: S608, constants


@sa.event.listens_for(metadata, "after_create")
def _count_writes(
    _: sa.MetaData, connection: Connection, tables: list[sa.Table], **__: Any
) -> None:
    """Let the tables that were just made count their writes."""
    if connection.dialect.name != "postgresql" or not tables:
        return
    connection.exec_driver_sql(f"CREATE SEQUENCE IF NOT EXISTS {_SEQUENCE}")
    connection.exec_driver_sql(_CREATE_FUNCTION)
    for table in tables:
        connection.exec_driver_sql(
            f"CREATE TRIGGER {_TRIGGER} AFTER INSERT OR UPDATE OR DELETE ON {table.name} "
            f"FOR EACH ROW EXECUTE FUNCTION {_FUNCTION}()"
        )


class WriteCount:
    """Reads the count, by a connection of its own that it keeps. Thread-safe.

    Args:
        url: of the database.
    """

    def __init__(self, url: URL) -> None:
        # A lost connection is noticed by the query that fails. Another check would double the cost.
        self._engine = sa.create_engine(
            url,
            pool_size=1,
            max_overflow=0,
            pool_reset_on_return=None,
            isolation_level="AUTOCOMMIT",
        )
        self._process_id = os.getpid()

    def find(self) -> Hashable | None:
        """Return what is different after each write; `None` if that cannot be said now."""
        if self._process_id != os.getpid():
            self._engine.dispose(close=False)  # a forked child: the connection is its parent's
            self._process_id = os.getpid()
        try:
            with self._engine.connect() as connection:
                # In this order. A write that ends in between is seen by whatever is read later;
                # one that was counted and has not ended still has its lock.
                count = tuple(connection.exec_driver_sql(_COUNT).one())
                return count if connection.exec_driver_sql(_IS_SURE).scalar_one() else None
        except sa.exc.SQLAlchemyError:
            return None

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()
