"""The ways to make a batch of videos that `benchmarks.videos` compares, each with its measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg

from benchmarks.process_tree import ProcessTree
from benchmarks.stacks import (
    VIDEO,
    Stack,
    count_calls,
    ledger_in,
    open_automatic,
    open_ours,
    open_plain_dagster,
    write_prompts,
    write_texts,
)
from tests.support.dagster_dev import ROOT
from wiro_dagster.cli.project import emulator_environment
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger


@dataclass(frozen=True)
class Outcome:
    """What came out of one batch. All times are seconds.

    Args:
        name: of the contender.
        videos: how many.
        preparing: CPU time before the batch began: prompts brought in.
        cpu: CPU time of all processes, from the order to the last video.
        wall: from the order to the last video, as Dagster's event log dates it.
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


def run_script(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Run the plain script."""
    prompts = write_texts(folder, count)
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
        count_calls(emulator),
        _delays(emulator, {line["task_id"]: line["seen_at"] for line in lines}),
        _delays(emulator, {line["task_id"]: line["owned_at"] for line in lines}),
        tree.most_megabytes(),
    )


def run_plain_dagster(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Run the plain Dagster project: webserver, daemon, code server and one run."""
    with open_plain_dagster(emulator, folder, count) as stack:
        stack.start(emulator)
        stack.make_all("video", count)
        cpu = stack.tree.cpu_seconds() - stack.cpu_before
        shown = [at for _, at in _list_videos(stack.instance)]
    # Dagster materializes all of them when the run ends, in any order.
    ends = sorted(task["ends_at"] for task in emulator.tasks())
    arrivals = sorted(at - end for at, end in zip(sorted(shown), ends, strict=True))
    calls, most = count_calls(emulator), stack.tree.most_megabytes()
    wall = max(shown) - stack.started_at
    return Outcome("plain Dagster", count, 0.0, cpu, wall, calls, [], arrivals, most)


def run_ours(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Run the product's ready project: webserver, daemon, code server, a run that orders."""
    with open_ours(emulator, folder, count) as stack:
        stack.start(emulator)
        stack.make_all("video_order", count)
        return _measure_ours("wiro_dagster", emulator, folder, stack)


def run_missing(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Run the job that orders whatever is missing, by the command line, in the same project."""
    with open_ours(emulator, folder, count) as stack:
        stack.start(emulator)
        job = ("--module-name", "definitions", "--job", "order_missing_videos")
        ordering = stack.run("dagster", "job", "execute", *job)
        stack.wait_for_videos(count)
        found = _measure_ours("order_missing_videos", emulator, folder, stack)
    return replace(found, cpu=found.cpu + ordering)


def run_automatic(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Run a project with `auto_order`, whose prompts come when it is up: there is no run."""
    with open_automatic(emulator, folder) as stack:
        new = write_prompts(folder / "new.yaml", count)
        started_at = time.time()
        stack.start(emulator)
        new.rename(folder / "prompts.yaml")
        stack.wait_for_videos(count)
        found = _measure_ours("ordered by the sensor", emulator, folder, stack)
    with closing(Ledger(ledger_in(folder))) as ledger:
        first = min(order.created_at for order in ledger.list_orders())
    return replace(found, waiting=first - started_at)


def run_approved(emulator: Emulator, folder: Path, count: int) -> Outcome:
    """Approve what the sensor has ordered, by the command line: there is no run."""
    with open_automatic(emulator, folder, count, needs_approval=True) as stack:
        stack.start(emulator)
        ledger = ("--ledger", ledger_in(folder))
        approving = stack.run("wiro-dagster", "orders", "approve", "--yes", *ledger)
        stack.wait_for_videos(count)
        found = _measure_ours("approved", emulator, folder, stack)
    return replace(found, cpu=found.cpu + approving)


def _measure_ours(name: str, emulator: Emulator, folder: Path, stack: Stack) -> Outcome:
    """Measure what has happened since the stack's `start`. All videos are there."""
    cpu = stack.tree.cpu_seconds() - stack.cpu_before
    shown = dict(_list_videos(stack.instance))
    with closing(Ledger(ledger_in(folder))) as ledger:
        seen = {str(order.task_id): order.ended_at or 0.0 for order in ledger.list_orders()}
    return Outcome(
        name,
        len(shown),
        stack.preparing,
        cpu,
        max(shown.values()) - stack.started_at,
        count_calls(emulator) - stack.calls_before,
        _delays(emulator, seen),
        _delays(emulator, shown),
        stack.tree.most_megabytes(),
    )


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


def _delays(emulator: Emulator, times: Mapping[str, float]) -> list[float]:
    """Return the seconds from the end of each task to the time that is given for it, sorted."""
    ends = {task["id"]: task["ends_at"] for task in emulator.tasks()}
    return sorted(times[task_id] - end for task_id, end in ends.items())
