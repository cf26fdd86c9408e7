"""The ways to make a batch of videos that `benchmarks.videos` compares, each with its measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml

from benchmarks.process_tree import ProcessTree
from tests.support.dagster_dev import ROOT, DagsterDev, dagster_dev
from wiro_dagster.cli.project import emulator_environment
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger

VIDEO = dg.AssetKey("video")
_LONGEST_SECONDS = 1_800.0
_WORKSPACE = """load_from:
  - python_module:
      module_name: benchmarks.plain_dagster
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
    workspace = folder / "workspace.yaml"
    workspace.write_text(_WORKSPACE.format(folder=ROOT))
    settings = {
        **emulator_environment(emulator),
        "PLAIN_PROMPTS": str(_write_texts(folder, count)),
        "PLAIN_FOLDER": str(folder / "out"),
    }
    with _stack(folder, settings, workspace) as (dev, tree, instance):
        keys = _wait_for_partitions(dev, count)
        preparing, started, began_at = tree.cpu_seconds(), time.monotonic(), time.time()
        dev.launch_run("video", keys)
        _wait(lambda: len(instance.get_materialized_partitions(VIDEO)) == count)
        cpu, wall = tree.cpu_seconds() - preparing, time.monotonic() - started
        shown = {key: at for key, _, at in _list_videos(instance)}
    # Dagster materializes all of them when the run ends, in any order.
    ends = sorted(task["ends_at"] for task in emulator.tasks())
    arrivals = sorted(at - end for at, end in zip(sorted(shown.values()), ends, strict=True))
    assert began_at < ends[0]
    calls = _count_calls(emulator)
    return Outcome(
        "plain Dagster", count, 0.0, cpu, wall, calls, [], arrivals, tree.most_megabytes()
    )


def run_ours(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Run the product's ready project: webserver, daemon, code server, a run that orders."""
    prompts = [{"id": f"v{n:05}", "prompt": text} for n, text in enumerate(_texts(count))]
    given = {"defaults": {"model": "minimax/hailuo-2-3"}, "prompts": prompts}
    (folder / "prompts.yaml").write_text(yaml.safe_dump(given))
    ledger_url = f"sqlite:///{folder / 'ledger.db'}"
    settings = {
        **emulator_environment(emulator),
        "WIRO_PROMPT_FILE": str(folder / "prompts.yaml"),
        "WIRO_VIDEO_STORE": str(folder / "out"),
        "WIRO_LEDGER_URL": ledger_url,
        "WIRO_DAILY_BUDGET_USD": "none",
    }
    with _stack(folder, settings, ROOT / "workspace.yaml") as (dev, tree, instance):
        _wait(lambda: dev.partition_keys("video") is not None)
        loaded = tree.cpu_seconds()
        keys = _wait_for_partitions(dev, count)
        preparing, calls = tree.cpu_seconds() - loaded, _count_calls(emulator)
        started = time.monotonic()
        dev.launch_run("video_order", keys)
        _wait(lambda: len(instance.get_materialized_partitions(VIDEO)) == count)
        cpu, wall = tree.cpu_seconds() - loaded - preparing, time.monotonic() - started
        shown = {task_id: at for _, task_id, at in _list_videos(instance)}
    ledger = Ledger(ledger_url)
    seen = {str(order.task_id): order.ended_at or 0.0 for order in ledger.list_orders()}
    ledger.close()
    return Outcome(
        "wiro_dagster",
        count,
        preparing,
        cpu,
        wall,
        _count_calls(emulator) - calls,
        _delays(emulator, seen),
        _delays(emulator, shown),
        tree.most_megabytes(),
    )


@contextmanager
def _stack(
    folder: Path, settings: Mapping[str, str], workspace: Path
) -> Iterator[tuple[DagsterDev, ProcessTree, dg.DagsterInstance]]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with dagster_dev(folder, {**settings, "PYTHONPATH": path}, workspace=workspace) as dev:
        tree = ProcessTree(dev.pid)
        tree.watch_memory()
        with dg.DagsterInstance.from_config(str(folder / "dagster_home")) as instance:
            yield dev, tree, instance


def _wait_for_partitions(dev: DagsterDev, count: int) -> list[str]:
    _wait(lambda: len(dev.partition_keys("video")) == count)
    return dev.partition_keys("video")


def _wait(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            raise SystemExit(f"Not done after {_LONGEST_SECONDS:g} s.")
        time.sleep(1.0)


def _list_videos(instance: dg.DagsterInstance) -> Iterator[tuple[str, str, float]]:
    """Iterate over partition, task id and time of the materialized videos."""
    cursor = None
    while True:
        page = instance.fetch_materializations(VIDEO, limit=1000, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            assert event is not None
            task_id = event.metadata.get("wiro/task_id")
            name = "" if task_id is None else str(task_id.value)
            yield str(record.partition_key), name, record.timestamp
        if not page.has_more:
            return
        cursor = page.cursor


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
