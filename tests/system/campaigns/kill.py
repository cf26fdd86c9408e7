"""Real runs, daemon and code server, killed at random moments while orders are made.

    python -m tests.system.campaigns.kill --orders 100 --kills 200 --worlds 0.05 [--postgres]

Each kill is a SIGKILL to a process chosen at random: a run worker, the code server or the daemon.
What a service manager would restart is restarted. Then everything runs to its end. Exit status 1 if
anything is off. Linux only: processes are found through /proc.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import dagster as dg
import requests
import yaml

from tests.model.record import record
from tests.support.dagster_dev import BRISK_DAEMON, ROOT, DagsterDev
from tests.support.ports import free_port
from tests.support.postgres import chosen_database
from tests.system.campaigns.figures import Figures, compare, is_silent
from tests.system.campaigns.operator import Operator
from tests.system.campaigns.weather import Weather
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET, Emulator
from wiro_dagster.ledger import Ledger

_MARK = "WIRO_CAMPAIGN"
_BATCH = 5
_LAST = "last"
_PATIENCE_SECONDS = 30.0
"""How long the product may decide by itself at the end, before its user does."""

_END_SECONDS = 900.0
_NOTHING = dg.AssetMaterialization("nothing")
_DAEMON_START_SECONDS = 8.0
_DAGSTER_YAML = {
    "telemetry": {"enabled": False},
    # What a production instance has: a run whose worker is gone is told to have failed.
    "run_monitoring": {"enabled": True, "poll_interval_seconds": 5},
}


@dataclass(frozen=True)
class Kills:
    """One campaign.

    Args:
        orders: how many videos.
        kills: how many processes are killed.
        seed: of the choices and moments.
        worlds: the rate of each world of a task; 0 = a calm service.
        ledger_url: an empty database; `None` for a SQLite file.
        task_seconds: how long an emulated task runs.
        pause_seconds: the shortest and the longest time between two kills.
        ask_by: how videos are ordered. A run starts at once; the daemon looks at backfills every 30
            seconds only.
        ask_again_seconds: how long the buyer waits before it asks again.
    """

    orders: int
    kills: int
    seed: int
    worlds: float = 0.0
    ledger_url: str | None = None
    task_seconds: float = 6.0
    pause_seconds: tuple[float, float] = (0.2, 2.6)
    ask_by: Literal["backfill", "run"] = "run"
    ask_again_seconds: float = 20.0

    @property
    def last_looks_seconds(self) -> float:
        """How long to go on at the end: in the slowest world a cost changes after a minute."""
        return 70.0 if self.worlds else 0.0


@dataclass(frozen=True)
class KillFigures:
    """What came out, and whom the kills hit."""

    figures: Figures
    worlds: float
    killed: dict[str, int]
    shown: int
    shown_twice: int
    decisions: dict[str, int]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether nothing is off: every video that is owned is shown in Dagster, once.

        In a calm service, every order becomes one.
        """
        is_all = self.worlds > 0 or self.figures.owned == self.figures.prompts
        return (
            self.figures.is_right
            and is_all
            and self.figures.owned - self.figures.twins <= self.shown <= self.figures.owned
            and self.shown_twice == 0
        )

    def __str__(self) -> str:
        return (
            f"{self.figures}\n"
            f"{'videos shown in Dagster':>30}: {self.shown}\n"
            f"{'shown twice':>30}: {self.shown_twice}\n"
            f"{'killed':>30}: {self.killed}\n"
            f"{'decided by the user':>30}: {self.decisions or 'nothing'}\n"
            f"{'took':>30}: {self.seconds:.0f} s"
        )


@dataclass
class Services:
    """Dagster's processes of one instance, restarted when they die.

    Args:
        home: Dagster's.
        environment: of all processes; every descendant carries the campaign's mark.
        mark: its value.
    """

    home: Path
    environment: dict[str, str]
    mark: str
    code_port: int = field(default_factory=free_port)
    web_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started_at: dict[str, float] = field(default_factory=dict)

    @property
    def commands(self) -> dict[str, list[str]]:
        """How each service is started."""
        workspace = str(self.home / "workspace.yaml")
        project = str(Path(__file__).with_name("kill_project.py"))
        module = [sys.executable, "-m"]
        return {
            "code server": [
                *(*module, "dagster", "api", "grpc", "-f", project, "-d", str(ROOT)),
                *("-h", "127.0.0.1", "-p", str(self.code_port), "--location-name", "wiro"),
            ],
            "daemon": [*module, "dagster._daemon", "run", "-w", workspace],
            "webserver": [
                *(*module, "dagster_webserver", "-w", workspace),
                *("-h", "127.0.0.1", "-p", str(self.web_port)),
            ],
        }

    def start(self) -> None:
        """Starts what does not run."""
        for name, command in self.commands.items():
            process = self.processes.get(name)
            if process is None or process.poll() is not None:
                with (self.home / f"{name}.log").open("ab") as log:
                    self.processes[name] = subprocess.Popen(
                        command, env=self.environment, stdout=log, stderr=log, cwd=ROOT
                    )
                self.started_at[name] = time.monotonic()

    def list_targets(self) -> dict[str, list[int]]:
        """Processes that are at work, by kind: killing one that still starts hits nothing."""
        targets = {}
        if workers := self.list_run_workers():
            targets["run worker"] = workers
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.code_port), 1):
            targets["code server"] = [self.processes["code server"].pid]
        if time.monotonic() - self.started_at["daemon"] > _DAEMON_START_SECONDS:
            targets["daemon"] = [self.processes["daemon"].pid]
        return targets

    def list_run_workers(self) -> list[int]:
        """Processes of runs: all that carry the mark and are no service."""
        services = {process.pid for process in self.processes.values()}
        return [pid for pid in self._list_marked() if pid not in services]

    def stop(self) -> None:
        """Ends every process that carries the mark."""
        for pid in self._list_marked():
            kill(pid)
        for process in self.processes.values():
            process.wait()

    def _list_marked(self) -> list[int]:
        wanted = f"{_MARK}={self.mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if wanted in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found


def kill(pid: int) -> None:
    """SIGKILL, if the process is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def running_services(folder: Path, emulator: Emulator, ledger_url: str) -> Iterator[Services]:
    """Starts an instance with a home of its own, and ends all of its processes."""
    home = folder / "dagster"
    home.mkdir()
    mark = uuid.uuid4().hex
    settings = {
        _MARK: mark,
        "DAGSTER_HOME": str(home),
        "WIRO_API_KEY": EMULATOR_API_KEY,
        "WIRO_API_SECRET": EMULATOR_API_SECRET,
        "WIRO_BASE_URL": emulator.base_url,
        "WIRO_CDN_HOSTS": f"{emulator.cdn_host},{emulator.second_cdn_host}",
        "WIRO_LEDGER_URL": ledger_url,
        "WIRO_PROMPT_FILE": str(folder / "prompts.yaml"),
        "WIRO_VIDEO_STORE": str(folder / "videos"),
        "PYTHONPATH": BRISK_DAEMON,
    }
    services = Services(home, {**os.environ, **settings}, mark)
    (home / "dagster.yaml").write_text(yaml.safe_dump(_DAGSTER_YAML))
    location = {"host": "127.0.0.1", "port": services.code_port, "location_name": "wiro"}
    workspace = {"load_from": [{"grpc_server": location}]}
    (home / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    _prepare_storage(home)
    services.start()
    try:
        yield services
    finally:
        services.stop()


def _prepare_storage(home: Path) -> None:
    """Makes Dagster's SQLite tables: processes that start together would race to make them."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_run_records(limit=1)
        instance.get_dynamic_partitions("prompts")
        instance.all_instigator_state()


def run_kills(kills: Kills) -> KillFigures:
    """Runs one campaign to its end."""
    started = time.monotonic()
    partitions = [f"p{number}" for number in range(kills.orders)]
    with (
        tempfile.TemporaryDirectory(prefix="wiro-kill-", ignore_cleanup_errors=True) as name,
        Emulator.start(
            task_seconds=kills.task_seconds, tiny_videos=True, balance_usd="100000"
        ) as emulator,
    ):
        folder = Path(name)
        # The last one is ordered when all others are: a younger task is what lets Wiro's list
        # prove that a lost POST made none.
        prompts = [{"id": key, "prompt": f"A film about {key}"} for key in (*partitions, _LAST)]
        content = {"defaults": {"model": "minimax/hailuo-2-3"}, "prompts": prompts}
        (folder / "prompts.yaml").write_text(yaml.safe_dump(content))
        url = kills.ledger_url or f"sqlite:///{folder / 'ledger.db'}"
        ledger = Ledger(url)
        record(ledger)
        with running_services(folder, emulator, url) as services:
            dev = DagsterDev(f"http://127.0.0.1:{services.web_port}", services.home / "daemon.log")
            dev.wait_for(
                lambda: len(dev.partition_keys("video")) > kills.orders,
                seconds=180,
                what="the partitions",
            )
            launch = dev.launch_run if kills.ask_by == "run" else dev.launch_backfill
            buyer = Buyer(dev, ledger, launch, kills.ask_again_seconds)
            weather = Weather(emulator, kills.worlds, kills.seed)
            weather.begin()
            killed = _kill_at_random(kills, services, buyer, partitions, weather)
            emulator.clear_faults()
            operator = Operator(ledger, emulator)
            _run_to_the_end(
                ledger, services, buyer, [*partitions, _LAST], operator, kills.last_looks_seconds
            )
            shown = _count_shown(services.home)
        figures = compare(emulator, ledger, folder / "videos", prompts=kills.orders + 1)
        ledger.close()
    twice = sum(count - 1 for count in shown.values())
    seconds = time.monotonic() - started
    decisions = dict(operator.decisions)
    videos = {task_id for task_id, _ in shown}
    return KillFigures(figures, kills.worlds, dict(killed), len(videos), twice, decisions, seconds)


@dataclass
class Buyer:
    """A person who orders videos, and asks again while nothing comes of it.

    What was asked for may just be on its way: then the same videos are ordered by two runs.
    """

    dev: DagsterDev
    ledger: Ledger
    launch: Callable[[str, list[str]], str]
    ask_again_seconds: float
    asks: int = 0
    asked_at: float = -math.inf

    def insist(self, wanted: Sequence[str]) -> None:
        """Materializes what has no order yet, now `video`, now `video_order`."""
        known = {order.partition for order in self.ledger.list_orders()}
        missing = [partition for partition in wanted if partition not in known]
        if not missing or time.monotonic() - self.asked_at < self.ask_again_seconds:
            return
        self.asked_at = time.monotonic()
        # The code server may just be gone.
        with suppress(AssertionError, requests.RequestException, KeyError):
            self.launch("video_order" if self.asks % 2 else "video", missing)
            self.asks += 1


def _kill_at_random(
    kills: Kills, services: Services, buyer: Buyer, partitions: list[str], weather: Weather
) -> Counter[str]:
    """Orders batch after batch, and kills in between."""
    chance = random.Random(kills.seed)
    killed: Counter[str] = Counter()
    while killed.total() < kills.kills:
        share = killed.total() / kills.kills
        buyer.insist(partitions[: math.ceil(share * len(partitions)) + _BATCH])
        if not killed:  # kills before the first order would hit nothing of interest
            buyer.dev.wait_for(buyer.ledger.list_orders, seconds=120, what="an order")
        weather.change()
        time.sleep(chance.uniform(*kills.pause_seconds))
        targets = services.list_targets()
        if targets:
            what = chance.choice(sorted(targets))
            kill(chance.choice(targets[what]))
            killed[what] += 1
        time.sleep(0.1)
        services.start()
    return killed


def _run_to_the_end(
    ledger: Ledger,
    services: Services,
    buyer: Buyer,
    wanted: list[str],
    operator: Operator,
    last_looks_seconds: float,
) -> None:
    """Wait until every order is at rest; what a killed run never placed is ordered again."""
    deadline, at_rest_since = time.monotonic() + _END_SECONDS, None
    decide_at = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        services.start()
        buyer.insist(wanted)
        orders = ledger.list_orders()
        is_all = len({order.partition for order in orders}) == len(wanted)
        # In some worlds a file stays empty for ever, or nobody can stop a task.
        may_wait = last_looks_seconds > 0 and time.monotonic() > decide_at + _PATIENCE_SECONDS
        left = [order for order in orders if order.due_at is not None]
        if is_all and not any(is_silent(order) or not may_wait for order in left):
            at_rest_since = at_rest_since or time.monotonic()
            if time.monotonic() - at_rest_since >= last_looks_seconds:
                return
        if is_all and time.monotonic() > decide_at:
            operator.decide()
            operator.stop_standing(older_than_seconds=_PATIENCE_SECONDS)
        time.sleep(1)


def _count_shown(home: Path) -> Counter[tuple[str, str]]:
    """Count how often Dagster's event log shows each task's video, by task and run.

    Each run that a buyer asked for shows what it waited for; the sensor's events have no run.
    """
    with dg.DagsterInstance.from_config(str(home)) as instance:
        found = instance.fetch_materializations(dg.AssetKey("video"), limit=10_000).records
    shown: Counter[tuple[str, str]] = Counter()
    for shown_once in found:
        task = (shown_once.asset_materialization or _NOTHING).metadata.get("wiro/task_id")
        if task is not None:
            shown[str(task.value), shown_once.event_log_entry.run_id] += 1
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--worlds", type=float, default=0.05, help="of each world of a task")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", action="store_true", help="the ledger; default: SQLite")
    options = parser.parse_args(arguments)
    with chosen_database(is_postgres=options.postgres) as url:
        found = run_kills(Kills(options.orders, options.kills, options.seed, options.worlds, url))
    database = "PostgreSQL" if options.postgres else "SQLite"
    print(f"kill, seed {options.seed}, {database}\n{found}", flush=True)
    return 0 if found.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
