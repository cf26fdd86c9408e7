"""Connections to Dagster's SQLite files, kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from wiro_dagster.defs.event_files import keep_connections
from wiro_dagster.ledger.kept_connections import KeptConnections

EVENT = dg.AssetMaterialization("video")


@pytest.fixture
def kept() -> Iterator[KeptConnections]:
    """Give kept connections to no file yet."""
    with closing(KeptConnections()) as connections:
        yield connections


@pytest.fixture
def path(tmp_path: Path, kept: KeptConnections) -> Path:
    """Give a file with one row, to which connections are kept."""
    file = tmp_path / "a.db"
    write(file, "CREATE TABLE film (name TEXT)")
    write(file, "INSERT INTO film VALUES ('first')")
    kept.keep([file])
    return file


def write(path: Path, statement: str) -> None:
    """Change a file by a connection of our own."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def open_engine(path: Path) -> sa.Engine:
    """Make an engine as Dagster makes them."""
    return sa.create_engine(f"sqlite:///{path}", poolclass=NullPool)


def read(path: Path) -> list[str]:
    """Read the file as Dagster does."""
    with open_engine(path).connect() as connection:
        return list(connection.execute(sa.text("SELECT name FROM film")).scalars())


def test_an_event_leaves_the_log_as_it_is(tmp_path: Path) -> None:
    """While connections are kept, SQLite does not empty its log after each event."""
    logs = [tmp_path / "history/runs" / f"{name}.db-wal" for name in ("index", "")]
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.report_runless_asset_event(EVENT)
        assert [log.exists() for log in logs] == [False, False]
        with closing(KeptConnections()) as kept:
            keep_connections(kept, str(tmp_path))
            instance.report_runless_asset_event(EVENT)
            assert [log.exists() for log in logs] == [True, True]
            count = kept.count_idle()
            instance.report_runless_asset_event(EVENT)
            assert kept.count_idle() == count
        instance.report_runless_asset_event(EVENT)
        assert [log.exists() for log in logs] == [False, False]


def test_without_a_home_nothing_is_kept(tmp_path: Path, kept: KeptConnections) -> None:
    """Dagster may use PostgreSQL, or nobody has said where its files are."""
    keep_connections(kept, None)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.report_runless_asset_event(EVENT)
    assert kept.count_idle() == 0


def test_a_connection_is_used_again(path: Path, kept: KeptConnections) -> None:
    """One connection serves one engine after the other, and sees what others wrote."""
    assert read(path) == ["first"]
    write(path, "INSERT INTO film VALUES ('second')")
    assert read(path) == ["first", "second"]
    assert kept.count_idle() == 1


def test_a_kept_connection_has_the_functions_of_a_new_one(path: Path) -> None:
    """SQLAlchemy adds them for each engine; those that are there stay as they are."""
    for _ in range(2):
        with open_engine(path).connect() as connection:
            found = connection.execute(sa.text("SELECT name REGEXP '^f', floor(1.5) FROM film"))
            assert found.all() == [(1, 1)]


def test_a_kept_connection_holds_nothing(path: Path) -> None:
    """A result that was not read to its end, and what was not committed, are given up."""
    with open_engine(path).connect() as connection:
        connection.execute(sa.text("INSERT INTO film VALUES ('second')"))
        unread = connection.execute(sa.text("SELECT name FROM film"))
    write(path, "INSERT INTO film VALUES ('third')")
    assert read(path) == ["first", "third"]
    del unread


def test_a_replaced_file_is_opened_anew(path: Path, tmp_path: Path) -> None:
    """DAGSTER_HOME may be restored from a backup while the process lives."""
    assert read(path) == ["first"]
    write(tmp_path / "b.db", "CREATE TABLE film (name TEXT)")
    (tmp_path / "b.db").replace(path)
    assert read(path) == []


def test_a_deleted_file_is_not_written_to(path: Path, kept: KeptConnections) -> None:
    """SQLite makes a new file, as it does for a new connection."""
    assert read(path) == ["first"]
    path.unlink()
    with open_engine(path).connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM sqlite_master")).scalar() == 0
    assert kept.count_idle() == 1


def test_few_idle_connections_are_kept(path: Path, kept: KeptConnections) -> None:
    """Threads that read at once leave no crowd behind."""
    engine = open_engine(path)
    connections = [engine.connect() for _ in range(7)]
    for connection in connections:
        connection.close()
    assert kept.count_idle() == 4


def test_nothing_is_kept_after_the_end(tmp_path: Path) -> None:
    """A connection that is in use at the end is closed by its user."""
    kept = KeptConnections()
    write(tmp_path / "a.db", "CREATE TABLE film (name TEXT)")
    kept.keep([tmp_path / "a.db"])
    with open_engine(tmp_path / "a.db").connect():
        kept.close()
    assert read(tmp_path / "a.db") == []
    assert kept.count_idle() == 0
