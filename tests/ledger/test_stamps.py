"""What shows, without a look at the orders, whether anything was written to a ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from tests.conftest import Clock
from tests.support.ledger_orders import request
from tests.support.postgres import ReusedDatabase
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.database import parse_ledger_url
from wiro_dagster.ledger.schema import metadata, orders

NO_ORDER = sa.update(orders).where(orders.c.id == -1).values(hold="No such order.")


@pytest.fixture
def on_postgres(reused_database: ReusedDatabase, clock: Clock) -> Iterator[Ledger]:
    opened = Ledger(reused_database.forget(), clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def other(on_postgres: Ledger) -> Iterator[Engine]:
    """Another program on the same database, which knows nothing of ledgers."""
    engine = sa.create_engine(on_postgres.engine.url)
    yield engine
    engine.dispose()


def hold(connection: Connection, reason: str) -> None:
    connection.execute(sa.update(orders).values(hold=reason))


def test_a_write_of_any_process_changes_the_stamp(ledger: Ledger, ledger_url: str) -> None:
    """A read does not, and neither does a statement that finds nothing to change."""
    ledger.place(request())
    before = ledger.find_stamp()
    assert before is not None
    ledger.list_orders()
    with ledger.writing() as connection:
        connection.execute(NO_ORDER)
    assert ledger.find_stamp() == before
    another = Ledger(ledger_url)
    another.place(request("dog"))
    another.close()
    assert ledger.find_stamp() not in (before, None)


def test_a_sqlite_database_that_is_no_plain_file_shows_no_stamp() -> None:
    """Only PostgreSQL is asked for a count."""
    opened = Ledger("sqlite:///file:stamps?mode=memory&cache=shared&uri=true")
    assert opened.find_stamp() is None
    opened.close()


def test_every_table_of_a_ledger_counts_its_writes(on_postgres: Ledger) -> None:
    """A table that is added later must not be left out."""
    counted = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'wiro_ledger_written'"
    with on_postgres.engine.connect() as connection:
        assert set(connection.exec_driver_sql(counted).scalars()) == set(metadata.tables)


def test_nothing_is_said_while_somebody_writes(on_postgres: Ledger, other: Engine) -> None:
    """Its count has gone up, and what it wrote is not to be seen yet: a look now would miss it."""
    on_postgres.place(request())
    before = on_postgres.find_stamp()
    with other.begin() as connection:
        hold(connection, "Written by hand.")
        assert on_postgres.list_orders()[0].hold is None
        assert on_postgres.find_stamp() is None
    assert on_postgres.find_stamp() not in (before, None)


def test_a_reader_and_a_lock_disturb_no_stamp(on_postgres: Ledger, other: Engine) -> None:
    """A long report on the same database keeps no tick from resting."""
    on_postgres.place(request())
    before = on_postgres.find_stamp()
    with other.begin() as connection:
        connection.execute(sa.select(orders).with_for_update()).all()
        assert on_postgres.find_stamp() == before


def test_another_database_of_the_server_disturbs_no_stamp(
    on_postgres: Ledger, postgres_uri: str
) -> None:
    """Dagster's own storage may be there, which is written all the time."""
    before = on_postgres.find_stamp()
    engine = sa.create_engine(parse_ledger_url(postgres_uri))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE events (id int)")
        connection.exec_driver_sql("INSERT INTO events VALUES (1)")
        assert on_postgres.find_stamp() == before
        connection.exec_driver_sql("DROP TABLE events")
    engine.dispose()
    assert on_postgres.find_stamp() == before


def test_a_server_that_was_away_is_asked_again(
    on_postgres: Ledger, reused_database: ReusedDatabase
) -> None:
    """The stamp differs then: the server may have lost what it had counted last."""
    before = on_postgres.find_stamp()
    reused_database.end_connections()
    assert on_postgres.find_stamp() is None
    assert on_postgres.find_stamp() not in (before, None)


@pytest.mark.parametrize(
    "damage",
    ["DROP SEQUENCE wiro_ledger_writes", "ALTER TABLE wiro_orders DISABLE TRIGGER ALL"],
)
def test_a_database_that_does_not_count_shows_no_stamp(
    on_postgres: Ledger, other: Engine, reused_database: ReusedDatabase, damage: str
) -> None:
    """A copy that was made table by table: each tick looks for itself then."""
    with other.begin() as connection:
        connection.exec_driver_sql(damage)
    assert on_postgres.find_stamp() is None
    reused_database.empty()


def test_a_forked_child_asks_by_a_connection_of_its_own(on_postgres: Ledger) -> None:
    """Two processes must not use one connection."""
    before = on_postgres.find_stamp()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, repr(on_postgres.find_stamp()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1000).decode() not in (repr(before), "None")
    assert on_postgres.find_stamp() == before
