"""How a ledger's database is opened."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine

from wiro_dagster.errors import ConfigurationError, LedgerError
from wiro_dagster.ledger.schema import SCHEMA_VERSION, versions
from wiro_dagster.ledger.upgrade import upgrade


def parse_ledger_url(url: str) -> URL:
    """Reads a SQLAlchemy URL; a bare `postgresql://` or `postgres://` gets the driver at hand.

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
        if driver is None:
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


def open_engine(url: str) -> Engine:
    """Opens the database of a ledger, and makes or upgrades its tables.

    Raises:
        ConfigurationError: the URL cannot be used.
        LedgerError: the database cannot be reached, or holds a later version's ledger.
    """
    parsed = parse_ledger_url(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    try:
        if is_sqlite and parsed.database is not None:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = sa.create_engine(parsed, connect_args={"timeout": 60})
            _prepare_sqlite(engine)
        else:
            engine = sa.create_engine(parsed, pool_pre_ping=True)
        _prepare_tables(engine)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        # The driver's own text may hold the password of the URL; only its kind is told.
        raise LedgerError(
            f"The ledger at {parsed.render_as_string(hide_password=True)} cannot be opened "
            f"({type(error).__name__}). Check WIRO_LEDGER_URL and that the database is reachable."
        ) from None
    _check_version(engine, parsed)
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    """Readers never wait for a writer (WAL); what was committed survives a power cut (FULL)."""

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy, not the driver, says when to begin
        for pragma in ("busy_timeout = 60000", "journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("wiro_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_tables(engine: Engine) -> None:
    for is_last_try in (False, True):
        try:
            with engine.connect().execution_options(wiro_write=True) as connection:
                with connection.begin():
                    upgrade(connection)
                return
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError):
            # Another process made tables or columns between our look and ours.
            if is_last_try:
                raise


def _check_version(engine: Engine, url: URL) -> None:
    with engine.connect() as connection:
        found = connection.execute(sa.select(sa.func.max(versions.c.version))).scalar()
    if found != SCHEMA_VERSION:
        engine.dispose()
        raise LedgerError(
            f"The ledger at {url.render_as_string(hide_password=True)} has schema version {found}; "
            f"this wiro-dagster reads {SCHEMA_VERSION} and earlier. Install the wiro-dagster "
            "that wrote it, or point WIRO_LEDGER_URL at a new database."
        )
