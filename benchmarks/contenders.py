"""The ways to make a batch of videos that `benchmarks.videos` compares, each with its measures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import yaml

from benchmarks.process_tree import ProcessTree
from tests.support.dagster_dev import ROOT, DagsterDev, dagster_dev
from wiro_dagster.cli.project import emulator_environment
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger

VIDEO, PROMPT = dg.AssetKey("video"), dg.AssetKey("prompt")
_LONGEST_SECONDS = 1_800.0
_WORKSPACE = """load_from:
  - python_module:
      module_name: benchmarks.{module}
      location_name: wiro
      working_directory: {folder}
"""


@dataclass(frozen=True)
class Outcome:
    """What came out of one batch. All times are seconds.

    Args:
        name: of the contender.
        videos: how many.
        preparing: CPU time before anything was ordered: prompts brought in.
        cpu: CPU time of all processes, from the order to the last video.
        wall: from the order to the last video.
        calls: of the API.
        detections: from each task's end to its detection, sorted; empty if nobody noted them.
        arrivals: from each task's end to its video being there for all to see, sorted.
        megabytes: the most memory at once.
        waiting: until the first order, if the sensor places them.
    """

    name: str
    videos: int
    preparing: float
    cpu: float
    wall: float
    calls: int
    detections: list[float]
    arrivals: list[float]
    megabytes: float
    waiting: float = 0.0


def end_with_stacks() -> None:
    """Let SIGTERM end this process the orderly way: with the processes that it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))


def run_script(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Run the plain script."""
    prompts = _write_texts(folder, count)
    command = [sys.executable, "-m", "benchmarks.plain_script", str(prompts), str(folder / "out")]
    environment = {**os.environ, **emulator_environment(emulator)}
    started = time.monotonic()
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        tree = ProcessTree(process.pid)
        tree.watch_memory()
        assert process.stdout is not None
        lines, cpu = [], 0.0
        for line in process.stdout:
            lines.append(json.loads(line))
            if len(lines) == count:
                cpu, wall = tree.cpu_seconds(), time.monotonic() - started
    return Outcome(
        "script",
        count,
        0.0,
        cpu,
        wall,
        _count_calls(emulator),
        _delays(emulator, {line["task_id"]: line["seen_at"] for line in lines}),
        _delays(emulator, {line["task_id"]: line["owned_at"] for line in lines}),
        tree.most_megabytes(),
    )


def run_plain_dagster(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Run the plain Dagster project: webserver, daemon, code server and one run."""
    with open_plain_dagster(emulator, folder, count) as stack:
        stack.start(emulator)
        stack.make_all("video", count)
        cpu, wall = stack.tree.cpu_seconds() - stack.cpu_before, time.monotonic() - stack.started
        shown = [at for _, at in _list_videos(stack.instance)]
    # Dagster materializes all of them when the run ends, in any order.
    ends = sorted(task["ends_at"] for task in emulator.tasks())
    arrivals = sorted(at - end for at, end in zip(sorted(shown), ends, strict=True))
    calls, most = _count_calls(emulator), stack.tree.most_megabytes()
    return Outcome("plain Dagster", count, 0.0, cpu, wall, calls, [], arrivals, most)


def run_ours(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Run the product's ready project: webserver, daemon, code server, a run that orders."""
    with open_ours(emulator, folder, count) as stack:
        stack.start(emulator)
        stack.make_all("video_order", count)
        return _measure_ours("wiro_dagster", emulator, folder, stack)


def run_automatic(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Run a project with `auto_order`, whose prompts come when it is up: there is no run."""
    prompts = folder / "prompts.yaml"
    prompts.write_text("prompts: []\n")
    with open_automatic(emulator, folder) as stack:
        new = _write_prompts(folder / "new.yaml", count)
        started_at = time.time()
        stack.start(emulator)
        new.rename(prompts)
        stack.wait_for_videos(count)
        found = _measure_ours("ordered by the sensor", emulator, folder, stack)
    with closing(Ledger(_ledger_url(folder))) as ledger:
        first = min(order.created_at for order in ledger.list_orders())
    return replace(found, waiting=first - started_at)


def _measure_ours(name: str, emulator: Emulator, folder: Path, stack: Stack) -> Outcome:
    """Measure what has happened since the stack's `start`. All videos are there."""
    cpu, wall = stack.tree.cpu_seconds() - stack.cpu_before, time.monotonic() - stack.started
    shown = dict(_list_videos(stack.instance))
    with closing(Ledger(_ledger_url(folder))) as ledger:
        seen = {str(order.task_id): order.ended_at or 0.0 for order in ledger.list_orders()}
    return Outcome(
        name,
        len(shown),
        stack.preparing,
        cpu,
        wall,
        _count_calls(emulator) - stack.calls_before,
        _delays(emulator, seen),
        _delays(emulator, shown),
        stack.tree.most_megabytes(),
    )


@dataclass
class Stack:
    """Webserver, daemon and code server of a project whose partitions are there.

    Args:
        dev: drives them.
        tree: their processes.
        instance: has the event log.
        preparing: CPU time from the loaded code location to the partitions.
        started: when the batch began, by the monotonic clock.
        cpu_before: CPU time until then.
        calls_before: of the API until then.
    """

    dev: DagsterDev
    tree: ProcessTree
    instance: dg.DagsterInstance
    preparing: float = 0.0
    started: float = 0.0
    cpu_before: float = 0.0
    calls_before: int = 0

    def start(self, emulator: Emulator) -> None:
        """Note where everything stands as the batch begins."""
        self.calls_before = _count_calls(emulator)
        self.cpu_before, self.started = self.tree.cpu_seconds(), time.monotonic()

    def make_all(self, asset: str, count: int) -> None:
        """Materialize an asset for all partitions in one run, and wait for all videos."""
        self.dev.launch_run(asset, self.dev.partition_keys("video"))
        self.wait_for_videos(count)

    def wait_for_videos(self, count: int) -> None:
        """Wait until so many videos are there."""
        _wait(lambda: len(self.instance.get_materialized_partitions(VIDEO)) == count)

    def wait_for_partitions(self, count: int) -> None:
        """Wait until the code location is loaded and has its partitions."""
        _wait(lambda: self.dev.partition_keys("video") is not None)
        loaded = self.tree.cpu_seconds()
        _wait(lambda: len(self.dev.partition_keys("video")) == count)
        self.preparing = self.tree.cpu_seconds() - loaded


@contextmanager
def open_plain_dagster(
    emulator: Emulator, folder: Path, count: int, *, sensors: str = ""
) -> Iterator[Stack]:
    """Start the plain Dagster project.

    Args:
        emulator: that makes the videos.
        folder: for everything that it writes.
        count: how many videos it may make.
        sensors: intervals of sensors that do nothing, comma-separated.
    """
    workspace = folder / "workspace.yaml"
    workspace.write_text(_WORKSPACE.format(folder=ROOT, module="plain_dagster"))
    settings = {
        **emulator_environment(emulator),
        "PLAIN_PROMPTS": str(_write_texts(folder, count)),
        "PLAIN_FOLDER": str(folder / "out"),
        "PLAIN_SENSORS": sensors,
    }
    with _open_stack(folder, settings, workspace) as stack:
        stack.wait_for_partitions(count)
        yield stack


@contextmanager
def open_ours(
    emulator: Emulator, folder: Path, count: int, *, ledger_url: str | None = None
) -> Iterator[Stack]:
    """Start the product's ready project, and wait until its prompts are known.

    Args:
        emulator: that makes the videos.
        folder: for everything that it writes.
        count: of prompts.
        ledger_url: where its ledger is; `None` = a SQLite file in the folder.
    """
    settings = {
        **emulator_environment(emulator),
        "WIRO_PROMPT_FILE": str(_write_prompts(folder / "prompts.yaml", count)),
        "WIRO_VIDEO_STORE": str(folder / "out"),
        "WIRO_LEDGER_URL": ledger_url or _ledger_url(folder),
        "WIRO_DAILY_BUDGET_USD": "none",
    }
    with _open_stack(folder, settings, ROOT / "workspace.yaml") as stack:
        stack.wait_for_partitions(count)
        # The sensor reports the prompts one by one; the partitions come with its first tick.
        loaded = stack.tree.cpu_seconds() - stack.preparing
        _wait(lambda: len(stack.instance.get_materialized_partitions(PROMPT)) == count)
        stack.preparing = stack.tree.cpu_seconds() - loaded
        yield stack


@contextmanager
def open_automatic(emulator: Emulator, folder: Path) -> Iterator[Stack]:
    """Start a project with `auto_order`, and wait until its sensor has looked at the prompts."""
    workspace = folder / "workspace.yaml"
    workspace.write_text(_WORKSPACE.format(folder=ROOT, module="auto_project"))
    settings = {**emulator_environment(emulator), "AUTO_FOLDER": str(folder)}
    with _open_stack(folder, settings, workspace) as stack:
        _wait((folder / "ledger.db").exists)
        stack.wait_for_partitions(0)
        yield stack


@contextmanager
def _open_stack(folder: Path, settings: Mapping[str, str], workspace: Path) -> Iterator[Stack]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # An installed package is compiled: no process of it compiles modules anew.
    settings = {**settings, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}
    with dagster_dev(folder, settings, workspace=workspace) as dev:
        tree = ProcessTree(dev.pid)
        tree.watch_memory()
        with dg.DagsterInstance.from_config(str(folder / "dagster_home")) as instance:
            yield Stack(dev, tree, instance)


def _ledger_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"


def _wait(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            raise SystemExit(f"Not done after {_LONGEST_SECONDS:g} s.")
        time.sleep(1.0)


def _list_videos(instance: dg.DagsterInstance) -> Iterator[tuple[str, float]]:
    """Iterate over task id and time of the materialized videos."""
    cursor = None
    while True:
        page = instance.fetch_materializations(VIDEO, limit=1000, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            assert event is not None
            task_id = event.metadata.get("wiro/task_id")
            yield "" if task_id is None else str(task_id.value), record.timestamp
        if not page.has_more:
            return
        cursor = page.cursor


def _write_prompts(path: Path, count: int) -> Path:
    prompts = [{"id": f"v{n:05}", "prompt": text} for n, text in enumerate(_texts(count))]
    given = {"defaults": {"model": "minimax/hailuo-2-3"}, "prompts": prompts}
    path.write_text(yaml.safe_dump(given))
    return path


def _texts(count: int) -> list[str]:
    return [f"Film number {number}" for number in range(count)]


def _write_texts(folder: Path, count: int) -> Path:
    path = folder / "prompts.txt"
    path.write_text("\n".join(_texts(count)) + "\n")
    return path


def _count_calls(emulator: Emulator) -> int:
    return len(emulator.journal(kind="call"))


def _delays(emulator: Emulator, times: Mapping[str, float]) -> list[float]:
    """Return the seconds from the end of each task to the time that is given for it, sorted."""
    ends = {task["id"]: task["ends_at"] for task in emulator.tasks()}
    return sorted(times[task_id] - end for task_id, end in ends.items())
