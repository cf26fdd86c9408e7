"""Brings the tables of an older ledger up to date, without touching what they hold."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.schema import SCHEMA_VERSION, metadata, orders, versions


def upgrade(connection: Connection) -> None:
    """Makes what is missing: tables, columns, and the note of the version.

    Every version so far only added tables and columns that may be NULL. A ledger of a later version
    is left as it is.

    Args:
        connection: in a transaction that may write.
    """
    metadata.create_all(connection)
    found = connection.execute(sa.select(sa.func.max(versions.c.version))).scalar()
    if found is None:
        connection.execute(sa.insert(versions).values(version=SCHEMA_VERSION))
    elif found < SCHEMA_VERSION:
        _add_columns(connection)
        if found < 2:  # noqa: PLR2004  # version 1 knew models with an input of this name only
            connection.execute(sa.update(orders).values(prompt_input="prompt"))
        connection.execute(sa.update(versions).values(version=SCHEMA_VERSION))


def _add_columns(connection: Connection) -> None:
    inspector = sa.inspect(connection)
    quote = connection.dialect.identifier_preparer.quote
    for table in metadata.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(
                    f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(column.name)} {kind}"
                )
