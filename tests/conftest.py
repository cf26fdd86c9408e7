"""Fixtures for all tests: a clock that tests move, ledgers on both databases, the emulator."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests
from hypothesis import HealthCheck, settings

from tests.support.compiled_statements import share_compiled_statements
from tests.support.ledger_files import new_ledger_url
from tests.support.postgres import ReusedDatabase, postgres_server
from tests.support.project import Project
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger

# How fast a machine is decides nothing here.
_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile("suite", deadline=None, suppress_health_check=_SLOW)
settings.load_profile("suite")

# They take long, mostly because they wait. If they began last, they would run alone at the end.
_BEGUN_FIRST = (
    "test_dev.py",
    "test_chaos.py",
    "test_collectors.py",
    "test_kills.py",
    "test_fault_points.py",
    "test_secrets.py",
    "test_properties.py",
    "test_demo.py",
    "test_docs.py",
    "test_simulation.py",
    "test_cells.py",
    "test_browser.py",
    "test_s3_project.py",
    "test_asset_files.py",
    "test_videos.py",
    "test_automation.py",
    "test_odd_answers.py",
    "test_worlds_ends.py",
    "test_worlds_lost.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    ranks = {name: rank for rank, name in enumerate(_BEGUN_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


def pytest_configure() -> None:
    """Collect no garbage while hundreds of modules are imported: there is none."""
    gc.disable()
    share_compiled_statements()


def pytest_collection_finish() -> None:
    """Keep what was imported out of all later collections, and collect less often.

    It was a tenth of the suite's time.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)
    gc.enable()


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
    """A real PostgreSQL server."""
    with postgres_server() as uri:
        yield uri


@pytest.fixture(scope="session")
def reused_database(postgres_uri: str) -> Iterator[ReusedDatabase]:
    with ReusedDatabase.make(postgres_uri) as database:
        yield database


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    reused: ReusedDatabase = request.getfixturevalue("reused_database")
    return reused.empty()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database in which a ledger can begin, of each kind in turn."""
    if request.param == "sqlite":
        return new_ledger_url(tmp_path / "ledger.db")
    reused: ReusedDatabase = request.getfixturevalue("reused_database")
    return reused.forget()


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    """A ledger whose time the test moves."""
    opened = Ledger(ledger_url, clock=clock)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A server that speaks S3; its URL."""
    from moto.server import ThreadedMotoServer

    from tests.support.aws_models import share_aws_models

    share_aws_models()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_endpoint(s3_server: str) -> str:
    """The URL of a server that speaks S3, without the buckets of earlier tests."""
    requests.post(f"{s3_server}/moto-api/reset", timeout=60)
    return s3_server


@pytest.fixture
def s3_client(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of that server, and the environment from which boto3 makes others."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    return boto3.client("s3")


@pytest.fixture(scope="session")
def shared_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One emulator for all tests that share one; its tasks take a tenth of a second."""
    state = tmp_path_factory.mktemp("emulator") / "emulator.db"
    with Emulator.start(state_path=state, task_seconds=0.1, tiny_videos=True) as started:
        yield started


@pytest.fixture
def emulator(shared_emulator: Emulator) -> Emulator:
    """The shared emulator, without the tasks and faults of earlier tests."""
    shared_emulator.reset()
    return shared_emulator


@pytest.fixture(scope="session")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """One instance for all tests that share one.

    Its event log is in memory: SQLite files would double the time of the suite. Tests that start
    Dagster's processes have those.
    """
    home = tmp_path_factory.mktemp("dagster")
    with dg.DagsterInstance.ephemeral(tempdir=str(home)) as instance:
        yield instance


@pytest.fixture
def project(
    tmp_path: Path, emulator: Emulator, shared_instance: dg.DagsterInstance
) -> Iterator[Project]:
    """A project on the emulator, with an instance that knows nothing yet."""
    shared_instance.wipe()
    made = Project(tmp_path, emulator, shared_instance)
    yield made
    made.cache.close()
