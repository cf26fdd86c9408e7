"""What happens to the workers of a cell and to their database. Each returns when it is over."""

from __future__ import annotations

import random
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from tests.model.record import Event, read_events
from tests.system.campaigns.cell_workers import Workers
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.database import parse_ledger_url

_KILLS = 6
_BACKENDS_PAUSE_SECONDS = 0.5
_MOST_CONNECTIONS = 500


@dataclass
class Scene:
    """What a fault may take hold of.

    Args:
        url: of the ledger.
        workers: who share it.
        seconds: how long a fault lasts.
        restart_server: stops the PostgreSQL server as a crash does, and starts it so much later.
        chance: chooses victims.
        replaced: what the ledger had recorded when its file was replaced.
        ledgers: of the campaign itself.
        quiet: is held by whoever uses them.
        over_at: when the fault was over, in unix seconds; `None` before.
    """

    url: str
    workers: Workers
    seconds: float
    restart_server: Callable[[float], None] | None = None
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    replaced: list[Event] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    quiet: threading.Lock = field(default_factory=threading.Lock)
    over_at: float | None = None

    @property
    def file(self) -> Path:
        """The file of an SQLite ledger."""
        return Path(str(parse_ledger_url(self.url).database))


# ---- on both databases ----


def kill_worker(scene: Scene) -> None:
    """SIGKILL of one worker, which is started again."""
    scene.workers.kill(scene.chance.randrange(scene.workers.count))
    scene.workers.start()


def kill_repeatedly(scene: Scene) -> None:
    """One worker after the other is killed and started again."""
    for _ in range(_KILLS):
        kill_worker(scene)
        time.sleep(scene.seconds / _KILLS)


# ---- on PostgreSQL ----


def restart_server(scene: Scene) -> None:
    """The server crashes, and is away for a while."""
    assert scene.restart_server is not None
    scene.restart_server(scene.seconds)


def kill_backends(scene: Scene) -> None:
    """`pg_terminate_backend` of all connections, twice a second."""
    with _administering(scene) as connection:
        until = time.monotonic() + scene.seconds
        while time.monotonic() < until:
            _terminate_backends(connection)
            time.sleep(_BACKENDS_PAUSE_SECONDS)


def exhaust_pool(scene: Scene) -> None:
    """Somebody else holds all connections that the server has; ours are cut."""
    with _administering(scene) as connection, ExitStack() as held:
        engine = sa.create_engine(parse_ledger_url(scene.url), poolclass=sa.pool.NullPool)
        until = time.monotonic() + scene.seconds
        while time.monotonic() < until:
            _terminate_backends(connection)
            for _ in range(_MOST_CONNECTIONS):
                try:
                    taken = held.enter_context(engine.connect())
                except sa.exc.OperationalError:
                    break  # no more to be had
                taken.execute(sa.text("SET application_name = 'holder'")).close()
                taken.commit()
            time.sleep(_BACKENDS_PAUSE_SECONDS)


@contextmanager
def _administering(scene: Scene) -> Iterator[sa.Connection]:
    engine = sa.create_engine(parse_ledger_url(scene.url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("SET application_name = 'holder'"))
        yield connection
    engine.dispose()


def _terminate_backends(connection: sa.Connection) -> None:
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name <> 'holder'"
    )
    connection.execute(sa.text(query)).all()


# ---- on SQLite ----

_HOLD_LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN EXCLUSIVE")
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


def lock_file(scene: Scene) -> None:
    """Another process holds the write lock."""
    command = [sys.executable, "-c", _HOLD_LOCK, str(scene.file), str(scene.seconds)]
    subprocess.run(command, check=True)


def fill_disk(scene: Scene) -> None:
    """No worker can write to any file: ledger, videos, kept answers."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    _limit_files(scene, 0, most)
    time.sleep(scene.seconds)
    _limit_files(scene, most, most)


def _limit_files(scene: Scene, size: int, most: int) -> None:
    for pid in scene.workers.pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))


def restore_backup(scene: Scene) -> None:
    """The ledger is put back from a backup that is some seconds old; the workers start anew."""
    backup = scene.file.with_suffix(".backup")
    with closing(sqlite3.connect(scene.file, timeout=60)) as connection:
        connection.execute("VACUUM INTO ?", (str(backup),))
    time.sleep(scene.seconds)
    scene.workers.kill_all()
    with scene.quiet:
        with closing(Ledger(scene.url)) as ledger:
            scene.replaced = read_events(ledger)
        # A connection that is closed later would take the new file's log for its own.
        for opened in scene.ledgers:
            opened.close()
        for name in ("", "-wal", "-shm"):
            Path(f"{scene.file}{name}").unlink(missing_ok=True)
        backup.rename(scene.file)
    scene.workers.start()


Fault = Callable[[Scene], None]
_BOTH: Mapping[str, Fault] = {"sigkill": kill_worker, "repeated kills": kill_repeatedly}
CELLS: Mapping[str, Mapping[str, Fault]] = {
    "postgresql": {
        **_BOTH,
        "server restart": restart_server,
        "killed back ends": kill_backends,
        "exhausted pool": exhaust_pool,
    },
    "sqlite": {
        **_BOTH,
        "locked": lock_file,
        "full disk": fill_disk,
        "restored from a backup": restore_backup,
    },
}
