"""The database behind a ledger: how it is opened, and its transactions."""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine

from wiro_dagster.errors import ConfigurationError, LedgerError
from wiro_dagster.ledger.grouped_writes import GroupedWrites
from wiro_dagster.ledger.schema import SCHEMA_VERSION, identity, metadata
from wiro_dagster.ledger.write_count import WriteCount

T = TypeVar("T")

_FIRST_TABLE_OF_VERSION_2 = "wiro_ledger_version"
_WAL_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


class Database:
    """One database, shared by every process that has its URL.

    Args:
        url: a SQLAlchemy URL: `sqlite:///path/to/ledger.db` or `postgresql://user@host/database`.
        clock: gives unix seconds.
        is_real_time: whether `clock` shows the time of the world, which the database's clock is
            compared with.

    Raises:
        ConfigurationError: the URL cannot be used.
        LedgerError: the database cannot be reached, or holds a ledger of a different version.
    """

    def __init__(
        self, url: str, *, clock: Callable[[], float] = time.time, is_real_time: bool = True
    ) -> None:
        self.clock = clock
        self._is_real_time = is_real_time
        self.engine = open_engine(url, now=clock())
        self._file = _find_file(self.engine.url)
        is_postgres = self.engine.url.get_backend_name() == "postgresql"
        self._write_count = WriteCount(self.engine.url) if is_postgres else None
        # SQLite makes waiting writers sleep; threads of one process need not.
        self._turn_to_write = threading.RLock()
        self._grouped = GroupedWrites(self.writing)

    @property
    def answers_folder(self) -> Path:
        """Where answers wait that the database could not take: beside it, or on this machine."""
        url = self.engine.url
        if url.get_backend_name() == "sqlite":
            return Path(f"{url.database}.answers")
        name = hashlib.sha256(url.render_as_string(hide_password=True).encode()).hexdigest()
        return Path(tempfile.gettempdir()) / f"wiro-answers-{name[:16]}"

    def measure_database_clock(self) -> float | None:
        """Return the database's clock minus ours, in seconds; `None` if it has none of its own.

        Machines that share a ledger agree on times if each agrees with the database.
        """
        if not self._is_real_time or self.engine.url.get_backend_name() == "sqlite":
            return None
        left_at = self.clock()
        with self.reading() as connection:
            asked = sa.select(sa.extract("epoch", sa.func.clock_timestamp()))
            shown = float(connection.execute(asked).scalar_one())
        return shown - (left_at + self.clock()) / 2

    def find_stamp(self) -> Hashable | None:
        """Return what changes with every write of any process; `None` if it cannot be said now.

        It costs far less than to look at the orders: SQLite's files say when they were written,
        and PostgreSQL counts what is written.
        """
        if self._write_count is not None:
            return self._write_count.find()
        if self._file is None:
            return None
        path = str(self.engine.url.database)
        return tuple(_state_of(Path(f"{path}{suffix}")) for suffix in ("", "-wal"))

    def close(self) -> None:
        """Close the connections to the database."""
        self.engine.dispose()
        if self._write_count is not None:
            self._write_count.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that may write; on SQLite it holds the write lock from its start."""
        self._refuse_replaced_file()
        with (
            self._turn_to_write if self._file is not None else nullcontext(),
            _ledger_errors(),
            self.engine.connect() as connection,
            connection.begin(),
        ):
            self._begin(connection, "BEGIN IMMEDIATE")
            yield connection

    def write(self, step: Callable[[Connection], T]) -> T:
        """Take a step in a transaction that may write. What it wrote has lasted on return.

        On SQLite, steps that come at once share a transaction. A step touches one order only:
        PostgreSQL, which has many writers, would risk deadlocks otherwise.
        """
        if self._file is None:
            with self.writing() as connection:
                return step(connection)
        return self._grouped.run(step)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        self._refuse_replaced_file()
        with _ledger_errors(), self.engine.connect() as connection:
            self._begin(connection, "BEGIN")
            yield connection

    def _begin(self, connection: Connection, statement: str) -> None:
        if self._file is not None:
            _begin_sqlite(connection, statement)

    def _refuse_replaced_file(self) -> None:
        """Stop if the SQLite file was deleted or replaced: no other process would see ours."""
        if self._file is not None and _find_file(self.engine.url) != self._file:
            raise LedgerError(
                f"The ledger at {self.engine.url.database} was deleted or replaced while it was "
                "open. Put it back from a backup if you have one, then restart Dagster."
            )


def _find_file(url: URL) -> tuple[int, int] | None:
    """Return what identifies the file of a SQLite database; `None` if there is none."""
    if url.get_backend_name() != "sqlite":
        return None
    try:
        found = os.stat(str(url.database))  # noqa: PTH116, before each transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@contextmanager
def _ledger_errors() -> Iterator[None]:
    """Raise the database's errors as `LedgerError`: their text may hold values and passwords."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise LedgerError(
            f"The ledger's database failed ({type(error).__name__}). Check that it is reachable "
            "and not full; the next tick tries again."
        ) from error


def parse_ledger_url(url: str) -> URL:
    """Read a SQLAlchemy URL; a bare `postgresql://` or `postgres://` gets the installed driver.

    Raises:
        ConfigurationError: the URL cannot be read, or PostgreSQL's driver is not installed.
    """
    try:
        parsed = sa.make_url(url.replace("postgres://", "postgresql://", 1))
    except sa.exc.ArgumentError as error:
        raise ConfigurationError(
            "The ledger URL (WIRO_LEDGER_URL) is not a SQLAlchemy URL. "
            "Write it as sqlite:///path/to/ledger.db or postgresql://user@host/database."
        ) from error
    if parsed.drivername == "postgresql":
        driver = next((name for name in ("psycopg2", "psycopg") if find_spec(name)), None)
        if driver is None:  # pragma: no cover - the suite has a driver installed
            raise ConfigurationError(
                "The ledger URL (WIRO_LEDGER_URL) names PostgreSQL, but no driver is installed. "
                'Install one with: pip install "wiro-dagster[postgres]"'
            )
        return parsed.set(drivername=f"postgresql+{driver}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(
            "The ledger URL (WIRO_LEDGER_URL) names an in-memory SQLite database, which forgets "
            "what was paid for. Name a file: sqlite:///path/to/ledger.db"
        )
    return parsed


def open_engine(url: str, *, now: float) -> Engine:
    """Open the database of a ledger, and create its tables if they are missing.

    Raises:
        ConfigurationError: the URL cannot be used.
        LedgerError: the database cannot be reached, or holds a ledger of a different version.
    """
    parsed = parse_ledger_url(url)
    try:
        if parsed.get_backend_name() == "sqlite" and parsed.database is not None:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = sa.create_engine(parsed, connect_args={"timeout": 60})
            _prepare_sqlite(engine)
        else:
            engine = sa.create_engine(parsed, pool_pre_ping=True)
        version = _prepare_tables(engine, now)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        # The driver's own text may hold the password of the URL, so only its type is shown.
        raise LedgerError(
            f"The ledger at {parsed.render_as_string(hide_password=True)} cannot be opened "
            f"({type(error).__name__}). Check WIRO_LEDGER_URL and that the database is reachable."
        ) from None
    if version != SCHEMA_VERSION:
        engine.dispose()
        raise LedgerError(
            f"The ledger at {parsed.render_as_string(hide_password=True)} has schema version "
            f"{version}; this wiro-dagster reads version {SCHEMA_VERSION}. Install the "
            "wiro-dagster that wrote it, or point WIRO_LEDGER_URL at a new database and run "
            "`wiro-dagster ledger rebuild`."
        )
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    """Readers never wait for a writer (WAL); what was committed survives a power cut (FULL)."""

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we, not the driver, say when to begin
        connection.execute("PRAGMA busy_timeout = 60000")
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file to WAL, which fails at once while another process creates its tables."""
    for pause_seconds in (*_WAL_PAUSES_SECONDS, None):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if pause_seconds is None:
                raise
            time.sleep(pause_seconds)
        else:
            return


def _begin_sqlite(connection: Connection, statement: str) -> None:
    """Begin a transaction; the driver would begin one of its own only before it writes."""
    # Not by SQLAlchemy's own ways: of a short read, they would be a third of the time.
    driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    try:
        driver.execute(statement)
    except sqlite3.Error as error:
        raise sa.exc.OperationalError(statement, None, error) from error


def _prepare_tables(engine: Engine, now: float) -> int:
    """Create missing tables and the ledger's identity. Return the version of the ledger."""
    try:
        return _prepare_at_once(engine, now)
    except (sa.exc.IntegrityError, sa.exc.ProgrammingError):
        # Another process created the tables between our look and our write.
        return _prepare_at_once(engine, now)


def _prepare_at_once(engine: Engine, now: float) -> int:
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "sqlite":
            _begin_sqlite(connection, "BEGIN IMMEDIATE")
        return _prepare(connection, now)


def _prepare(connection: Connection, now: float) -> int:
    if sa.inspect(connection).has_table(_FIRST_TABLE_OF_VERSION_2):
        return 2
    metadata.create_all(connection)
    version = connection.execute(sa.select(identity.c.version)).scalar()
    if version is None:
        version = SCHEMA_VERSION
        connection.execute(
            sa.insert(identity).values(
                id=1,
                version=version,
                ledger_id=secrets.token_hex(8),
                secret=secrets.token_hex(32),
                sequence=0,
                created_at=now,
                absorbed=[],
            )
        )
    return int(version)
