"""The projects that benchmarks compare, each with its webserver, daemon and code server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

import dagster as dg
import yaml

from benchmarks.process_tree import ProcessTree
from tests.support.dagster_dev import ROOT, DagsterDev, dagster_dev
from wiro_dagster.cli.project import emulator_environment
from wiro_dagster.emulator import Emulator

VIDEO, ORDER, PROMPT = dg.AssetKey("video"), dg.AssetKey("video_order"), dg.AssetKey("prompt")
_LONGEST_SECONDS = 1_800.0
_WORKSPACE = """load_from:
  - python_module:
      module_name: benchmarks.{module}
      location_name: wiro
      working_directory: {folder}
"""


def end_with_stacks() -> None:
    """Let SIGTERM end this process the orderly way: with the processes that it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))


@dataclass
class Stack:
    """Webserver, daemon and code server of a project whose partitions are there.

    Args:
        dev: drives them.
        tree: their processes.
        instance: has the event log.
        preparing: CPU time from the loaded code location to the partitions.
        started_at: when the batch began, unix seconds.
        cpu_before: CPU time until then.
        calls_before: of the API until then.
    """

    dev: DagsterDev
    tree: ProcessTree
    instance: dg.DagsterInstance
    preparing: float = 0.0
    started_at: float = 0.0
    cpu_before: float = 0.0
    calls_before: int = 0

    def start(self, emulator: Emulator) -> None:
        """Note where everything stands as the batch begins."""
        self.calls_before = count_calls(emulator)
        self.cpu_before, self.started_at = self.tree.cpu_seconds(), time.time()

    def make_all(self, asset: str, count: int) -> None:
        """Materialize an asset for all partitions in one run, and wait for all videos."""
        self.dev.launch_run(asset, self.dev.partition_keys("video"))
        self.wait_for_videos(count)

    def run(self, *command: str) -> float:
        """Run one of the project's commands to its end. Return its CPU time."""
        before = os.times()
        arguments = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
        with subprocess.Popen(
            arguments, env=self.dev.environment, cwd=ROOT, stdout=DEVNULL, stderr=DEVNULL
        ) as process:
            self.tree.add(process.pid)  # for its memory: its CPU time is gone with it
        if process.returncode:
            raise SystemExit(f"Failed: {' '.join(command)}")
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    def wait_for_videos(self, count: int) -> None:
        """Wait until so many videos are there."""
        wait_until(lambda: len(self.instance.get_materialized_partitions(VIDEO)) == count)

    def wait_for_partitions(self, count: int, *, filled: dg.AssetKey | None = None) -> None:
        """Wait until the code location is loaded and has its partitions.

        Args:
            count: of partitions.
            filled: an asset that must be materialized for all of them.
        """
        wait_until(lambda: self.dev.partition_keys("video") is not None)
        loaded = self.tree.cpu_seconds()
        wait_until(lambda: len(self.dev.partition_keys("video")) == count)
        if filled is not None:
            wait_until(lambda: len(self.instance.get_materialized_partitions(filled)) == count)
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
        "PLAIN_PROMPTS": str(write_texts(folder, count)),
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
        "WIRO_PROMPT_FILE": str(write_prompts(folder / "prompts.yaml", count)),
        "WIRO_VIDEO_STORE": str(folder / "out"),
        "WIRO_LEDGER_URL": ledger_url or ledger_in(folder),
        "WIRO_DAILY_BUDGET_USD": "none",
    }
    with _open_stack(folder, settings, ROOT / "workspace.yaml") as stack:
        stack.wait_for_partitions(count, filled=PROMPT)
        yield stack


@contextmanager
def open_automatic(
    emulator: Emulator, folder: Path, count: int = 0, *, needs_approval: bool = False
) -> Iterator[Stack]:
    """Start a project with `auto_order`, and wait until its sensor has placed the orders.

    Args:
        emulator: that makes the videos.
        folder: for everything that it writes.
        count: of prompts that it starts with.
        needs_approval: whether these wait until they are approved.
    """
    write_prompts(folder / "prompts.yaml", count)
    workspace = folder / "workspace.yaml"
    workspace.write_text(_WORKSPACE.format(folder=ROOT, module="auto_project"))
    settings = {
        **emulator_environment(emulator),
        "AUTO_FOLDER": str(folder),
        "AUTO_APPROVAL": "on" if needs_approval else "",
    }
    with _open_stack(folder, settings, workspace) as stack:
        wait_until((folder / "ledger.db").exists)
        stack.wait_for_partitions(count, filled=ORDER)
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


def ledger_in(folder: Path) -> str:
    """Return the URL of a project's ledger."""
    return f"sqlite:///{folder / 'ledger.db'}"


def wait_until(is_done: Callable[[], bool]) -> None:
    """Look every other second: looks take time from what is measured."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            raise SystemExit(f"Not done after {_LONGEST_SECONDS:g} s.")
        time.sleep(2.0)


def write_prompts(path: Path, count: int) -> Path:
    """Write a prompt file, and return its path."""
    prompts = [{"id": f"v{n:05}", "prompt": text} for n, text in enumerate(_texts(count))]
    given = {"defaults": {"model": "minimax/hailuo-2-3"}, "prompts": prompts}
    path.write_text(yaml.safe_dump(given))
    return path


def _texts(count: int) -> list[str]:
    return [f"Film number {number}" for number in range(count)]


def write_texts(folder: Path, count: int) -> Path:
    """Write the same prompts for those who read one a line."""
    path = folder / "prompts.txt"
    path.write_text("\n".join(_texts(count)) + "\n")
    return path


def count_calls(emulator: Emulator) -> int:
    """Return how often the API was called."""
    return len(emulator.journal(kind="call"))
