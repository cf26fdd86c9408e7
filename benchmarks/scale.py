"""What a tick of the order sensor costs with many tasks in flight, and after many have run.

    python -m benchmarks.scale --orders 1000,10000,100000 --databases sqlite,postgres

Each case runs in a process of its own: it fills a ledger, ticks the sensor when nothing is due, and
sweeps a page of Wiro's list. After videos that were delivered before, one more is made, for which
a process judges all of them once. Then a collection of `--prompts` prompts: the ticks of its prompt
sensor, and of the order sensor when all its videos wait to be reported, against a tick's limit.
Last, runs of two sizes that order a part of these: what an order costs must not grow. Times are CPU
milliseconds of the best of several ticks; memory is the process's most. About six minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from tests.support.postgres import chosen_database
from tests.support.project import Project
from wiro_dagster import OrderPolicy
from wiro_dagster.defs.order_cursor import OrderCursor
from wiro_dagster.defs.order_sensor import tick_seconds
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger.schema import orders, submissions

_ROUNDS = 7
_ROWS_AT_ONCE = 5_000
_LATER_SECONDS = 1_000.0
_PROMPT_TICKS = 2


def run_case(name: str, count: int, database: str) -> dict[str, float]:
    """Measure one case in this process."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        emulator = opened.enter_context(Emulator.start(task_seconds=0, tiny_videos=True))
        url = opened.enter_context(chosen_database(is_postgres=database == "postgres"))
        home = folder / "home"
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        instance = opened.enter_context(dg.DagsterInstance.from_config(str(home)))
        project = Project(
            folder,
            emulator,
            instance,
            budget="1000000",
            policy=OrderPolicy(),
            ledger_url=url or "",
        )
        if name == "prompts":
            return measure_prompts(project, count)
        if name == "order run":
            return measure_order_run(project, count)
        project.write_prompts({"id": "first", "prompt": "The first film"})
        project.order("first")
        project.settle()
        if name == "reports":
            fill(project, count, state="stored", due_at=0.0)
            return measure_reports(project)
        later = time.time() + _LATER_SECONDS
        flying = name == "in flight"
        fill(
            project,
            count,
            state="running" if flying else "delivered",
            due_at=later if flying else None,
        )
        found = measure_ticks(project)
        return found if flying else found | measure_delivery(project)


def fill(project: Project, count: int, *, state: str, due_at: float | None) -> None:
    """Copy the ledger's only order and submission, as orders in that state."""
    names = ("live_key", "marker", "task_id", "partition")
    with project.ledger.writing() as connection:
        for table in (orders, submissions):
            row = dict(connection.execute(sa.select(table)).mappings().one())
            del row["id"]
            changes: dict[str, Any] = {"claimed_at": time.time() - 60}
            if table is orders:
                changes |= {"state": state, "due_at": due_at, "moved_at": time.time()}
                changes |= {"ended_at": None} if state == "running" else {}
                changes |= {"observed_at": time.time(), "observed_status": row["task_status"]}
                changes |= {"observed_percent": row["progress_percent"]}
            for start in range(0, count, _ROWS_AT_ONCE):
                copies = [
                    row | changes | {n: f"{n}-{number}"[:32] for n in names if n in row}
                    for number in range(start, min(start + _ROWS_AT_ONCE, count))
                ]
                connection.execute(sa.insert(table), copies)
        if connection.dialect.name == "postgresql":
            # As it does by itself, a minute after very many rows were written.
            connection.exec_driver_sql("ANALYZE")


def measure_ticks(project: Project) -> dict[str, float]:
    """Measure ticks with nothing due, then ticks whose sweep reads a page."""
    project.tick()
    before = _megabytes()
    idle = min(_cpu(project.tick) for _ in range(_ROUNDS))
    project.emulator.change_settings(task_seconds=_LATER_SECONDS)
    names = [f"running-{number}" for number in range(20)]
    project.write_prompts(*({"id": name, "prompt": name} for name in names))
    project.order(*names)
    project.tick()
    busy = []
    for _ in range(3):
        with project.ledger.writing() as connection:
            mine = orders.c.partition.in_(names)
            connection.execute(sa.update(orders).where(mine).values(due_at=time.time()))
        time.sleep(project.policy.timing.sweep_pause_seconds)
        busy.append(_cpu(project.tick))
    return {"idle_ms": idle, "sweep_ms": min(busy), "most_mb": before}


def measure_delivery(project: Project) -> dict[str, float]:
    """Measure the ticks that bring one more video, and judge all of them for the first time."""
    project.emulator.change_settings(task_seconds=0)
    project.write_prompts({"id": "last", "prompt": "The last film"})
    project.order("last")
    walls = [_wall(project.tick)]
    while not project.videos("last") or OrderCursor.from_text(project.cursor).unjudged:
        walls.append(_wall(project.tick))
    return {"longest_s": max(walls), "ticks": len(walls)}


def measure_prompts(project: Project, count: int) -> dict[str, float]:
    """Measure ticks of the prompt sensor on a new file, and one when all of it is known."""
    write_many_prompts(project, count)
    walls = [_wall(project.bring_prompts_in) for _ in range(_PROMPT_TICKS)]
    seen = len(project.instance.get_materialized_partitions(project.collection.prompt_key))
    return {"longest_s": max(walls), "reported": seen, "most_mb": _megabytes()}


def measure_order_run(project: Project, count: int) -> dict[str, float]:
    """Measure a run that orders all videos of a new file, and records its prompts too."""
    write_many_prompts(project, count)
    # Not by the sensor: in one tick it would record all of a few prompts, but not of many.
    keys = [f"v{number:06}" for number in range(count)]
    project.instance.add_dynamic_partitions(str(project.collection.partitions.name), keys)
    before = _megabytes()
    cpu = _cpu(lambda: project.order(keys[0], keys[-1]))
    ordered = sum(project.ledger.count_unsettled("video").values())
    most = _megabytes()
    return {"each_ms": cpu / count, "ordered": ordered, "more_mb": most - before, "most_mb": most}


def write_many_prompts(project: Project, count: int) -> None:
    """Write a prompt file, without bringing it in."""
    lines = "".join(f"  - {{id: v{n:06}, prompt: Film {n}}}\n" for n in range(count))
    head = "defaults: {model: minimax/hailuo-2-3}\nprompts:\n"
    project.prompt_file.write_text(head + lines)


def measure_reports(project: Project) -> dict[str, float]:
    """Measure a tick when very many videos wait to be reported."""
    key = project.collection.video_key
    before = len(project.instance.get_materialized_partitions(key))
    wall = _wall(project.tick)
    reported = len(project.instance.get_materialized_partitions(key)) - before
    return {"longest_s": wall, "reported": reported, "most_mb": _megabytes()}


def _cpu(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return (time.process_time() - started) * 1000


def _wall(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure_apart(name: str, count: int, database: str) -> dict[str, float]:
    """Measure one case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", "--case", name, str(count), database]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", default="1000,10000,100000", help="sizes, comma-separated")
    parser.add_argument("--databases", default="sqlite,postgres", help="comma-separated")
    parser.add_argument("--prompts", type=int, default=20_000, help="0 leaves them out")
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        name, count, database = options.case
        print(json.dumps(run_case(name, int(count), database)))
        return
    print(
        "| database | orders | nothing due, ms | a sweep, ms | memory, MB |\n|---|---|---|---|---|"
    )
    deliveries: list[str] = []
    for database in options.databases.split(","):
        for name in ("in flight", "delivered"):
            for size in options.orders.split(","):
                found = measure_apart(name, int(size), database)
                print(
                    f"| {database} | {size} {name} | {found['idle_ms']:.1f} "
                    f"| {found['sweep_ms']:.1f} | {found['most_mb']:.0f} |",
                    flush=True,
                )
                if "longest_s" in found:
                    deliveries.append(
                        f"one more video after {size}, {database}: {found['ticks']:.0f} ticks, the "
                        f"longest took {found['longest_s']:.1f} s"
                    )
    print(*deliveries, sep="\n")
    for name in ("prompts", "reports") if options.prompts else ():
        found = measure_apart(name, options.prompts, "sqlite")
        print(
            f"{options.prompts} {name}: the longest tick took {found['longest_s']:.1f} s (its time "
            f"is {tick_seconds():g} s) and brought {found['reported']:.0f}; "
            f"{found['most_mb']:.0f} MB",
            flush=True,
        )
    for size in (options.prompts // 100, options.prompts // 10) if options.prompts else ():
        found = measure_apart("order run", size, "sqlite")
        print(
            f"a run that orders {found['ordered']:.0f} of {size}: {found['each_ms']:.1f} ms of CPU "
            f"each; {found['most_mb']:.0f} MB, {found['more_mb']:.0f} of them by the run",
            flush=True,
        )


if __name__ == "__main__":
    main()
