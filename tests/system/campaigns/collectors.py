"""Collector runs of two code locations in Dagster's run queue, on PostgreSQL; some are killed.

    python -m tests.system.campaigns.collectors --videos 40 --kills 10

Dagster's storage and the ledger are in one database. The daemon starts the code servers, takes runs
out of its queue, and each run is a process. A run is killed (SIGKILL) or terminated while it
fetches a file. Exit status 1 if a video is not owned, or was bought, or shown, twice.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml

from tests.model.record import record
from tests.support.dagster_dev import ROOT
from tests.support.postgres import chosen_database
from tests.system.campaigns.figures import Figures, compare
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET, Emulator
from wiro_dagster.ledger import Ledger

LOCATIONS = ("ads", "clips")
_PATIENCE_SECONDS = 300.0
_STALL_SECONDS = 300.0
_PID = re.compile(r"\(pid: (\d+)\)")


@dataclass(frozen=True)
class CollectorFigures:
    """What came out.

    Args:
        figures: what the books say.
        runs: how many collector runs there were, by status.
        collected: of each location, how many videos were shown by collector runs.
        shown: how often each video was shown in Dagster, by partition key.
        stopped: what each run that was killed or terminated was fetching.
        seconds: how long it took.
    """

    figures: Figures
    runs: Counter[str]
    collected: Counter[str]
    shown: Counter[str]
    stopped: list[str]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether each video is owned, bought once and shown once, whatever became of runs."""
        return (
            self.figures.is_right
            and self.figures.owned == self.figures.prompts == len(self.shown)
            and set(self.shown.values()) == {1}
        )

    def __str__(self) -> str:
        twice = [partition for partition, count in self.shown.items() if count > 1]
        return (
            f"{self.figures}\n"
            f"{'collector runs':>30}: {dict(self.runs)}\n"
            f"{'videos shown by them':>30}: {dict(self.collected)}\n"
            f"{'shown more than once':>30}: {', '.join(twice) or 'none'}\n"
            f"{'killed or terminated at':>30}: {', '.join(self.stopped) or 'nothing'}\n"
            f"{'took':>30}: {self.seconds:.0f} s"
        )


def run_collectors(database_url: str, *, videos: int, kills: int) -> CollectorFigures:
    """Order videos in both locations, kill some of the runs that fetch them, and wait.

    Args:
        database_url: an empty PostgreSQL database.
        videos: how many each location orders.
        kills: how many runs are stopped while they fetch a file: by SIGKILL and, each second one,
            by Dagster's terminate.
    """
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="wiro-runs-", ignore_cleanup_errors=True) as name,
        Emulator.start(task_seconds=0.1, tiny_videos=True, balance_usd="100000") as emulator,
    ):
        folder = Path(name)
        for location in LOCATIONS:
            prompts = [
                {"id": f"{location}{number}", "prompt": f"Film {number} of {location}"}
                for number in range(videos)
            ]
            content = {"defaults": {"model": "minimax/hailuo-2-3"}, "prompts": prompts}
            (folder / f"{location}.yaml").write_text(yaml.safe_dump(content))
        if kills:
            emulator.script_fault("file_stall", times=kills, seconds=_STALL_SECONDS)
        home = _make_home(folder, database_url)
        ledger = Ledger(database_url)
        record(ledger)
        with (
            dg.DagsterInstance.from_config(str(home)) as instance,
            _running_daemon(folder, home, emulator, database_url) as log,
        ):
            stopped = _run_to_the_end(instance, ledger, videos * len(LOCATIONS), kills, log)
            emulator.clear_faults()
            runs = {
                found.dagster_run.run_id: found.dagster_run
                for found in instance.get_run_records()
                if found.dagster_run.job_name.endswith("collect_videos")
            }
            shown, collected = _list_shown(instance, runs)
        figures = compare(emulator, ledger, folder / "videos", prompts=videos * len(LOCATIONS))
        ledger.close()
    statuses = Counter(run.status.value for run in runs.values())
    seconds = time.monotonic() - started
    return CollectorFigures(figures, statuses, collected, shown, stopped, seconds)


def _make_home(folder: Path, database_url: str) -> Path:
    home = folder / "dagster"
    home.mkdir()
    settings = {
        "telemetry": {"enabled": False},
        "storage": {
            "postgres": {
                "postgres_url": database_url.replace("postgresql://", "postgresql+psycopg2://")
            }
        },
        "run_coordinator": {
            "module": "dagster",
            "class": "QueuedRunCoordinator",
            "config": {"dequeue_interval_seconds": 1},
        },
        # What a production instance has: a run whose worker is gone is told to have failed.
        "run_monitoring": {"enabled": True, "poll_interval_seconds": 5},
        "concurrency": {"runs": {"max_concurrent_runs": 3}},
        "sensors": {"use_threads": True, "num_workers": 4},
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    project = str(Path(__file__).with_name("collector_project.py"))
    places = [
        {"python_file": {"relative_path": project, "attribute": name, "location_name": name}}
        for name in LOCATIONS
    ]
    (home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": places}))
    return home


@contextmanager
def _running_daemon(
    folder: Path, home: Path, emulator: Emulator, database_url: str
) -> Iterator[Path]:
    """Start the daemon, which starts the code servers and the runs; its log."""
    settings = {
        "DAGSTER_HOME": str(home),
        "WIRO_API_KEY": EMULATOR_API_KEY,
        "WIRO_API_SECRET": EMULATOR_API_SECRET,
        "WIRO_BASE_URL": emulator.base_url,
        "WIRO_CDN_HOSTS": emulator.cdn_host,
        "WIRO_LEDGER_URL": database_url,
        "WIRO_CAMPAIGN_FOLDER": str(folder),
        "PYTHONPATH": str(ROOT),
    }
    path = home / "daemon.log"
    command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(home / "workspace.yaml")]
    with path.open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            yield path
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _run_to_the_end(
    instance: dg.DagsterInstance, ledger: Ledger, wanted: int, kills: int, log: Path
) -> list[str]:
    """Stop runs that hang at a file, until all orders are at rest; what was stopped."""
    stopped: dict[str, str] = {}
    deadline = time.monotonic() + _PATIENCE_SECONDS + 2 * wanted
    while time.monotonic() < deadline:
        time.sleep(0.5)
        orders = ledger.list_orders()
        if len(orders) == wanted and all(order.due_at is None for order in orders):
            return list(stopped.values())
        fetching = [order for order in orders if order.state == "finished" and order.deaths]
        for order in fetching:
            run_id = order.waiter_run_id
            if run_id is None or run_id in stopped or len(stopped) == kills:
                continue
            if _stop(instance, run_id, politely=len(stopped) % 2 == 1):
                stopped[run_id] = f"{order.partition} by {run_id[:8]}"
    runs = [run.dagster_run for run in instance.get_run_records()]
    left = [(order.partition, order.state, order.due_at, order.error) for order in orders]
    raise AssertionError(f"{left}\n{runs}\n{log.read_text()[-5000:]}")


def _stop(instance: dg.DagsterInstance, run_id: str, *, politely: bool) -> bool:
    """End a run: by Dagster's own termination, or as if its machine were gone."""
    if politely:
        return instance.run_launcher.terminate(run_id)
    for logged in instance.get_records_for_run(run_id).records:
        event = logged.event_log_entry.dagster_event
        found = _PID.search((event.message if event else None) or "")
        if found:
            os.kill(int(found[1]), signal.SIGKILL)
            return True
    return False


def _list_shown(
    instance: dg.DagsterInstance, runs: dict[str, dg.DagsterRun]
) -> tuple[Counter[str], Counter[str]]:
    """Count how often each video was shown, and how many each location's runs have shown."""
    shown: Counter[str] = Counter()
    collected: Counter[str] = Counter()
    for location in LOCATIONS:
        key = dg.AssetKey([location, "video"])
        for event in instance.fetch_materializations(key, limit=10_000).records:
            shown[str(event.partition_key)] += 1
            collected[location] += event.run_id in runs
    return shown, collected


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=40, help="of each of the two locations")
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args(arguments)
    with chosen_database(is_postgres=True) as url:
        found = run_collectors(str(url), videos=options.videos, kills=options.kills)
    print(found, flush=True)
    return 0 if found.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
