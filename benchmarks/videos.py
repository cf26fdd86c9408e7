"""A batch of videos, by hand and with Dagster: CPU, wall time, requests, latency and memory.

    python -m benchmarks.videos --n 40,400,2000

For each size the same prompts are made against an emulator in a process of its own: by a plain
script, by a plain Dagster project with one run and threads, and by wiro_dagster. The Dagster
projects run as a user has them: webserver, daemon and code server. CPU counts all of a contender's
processes; only wiro_dagster verifies what it fetched. The clips are tiny, as making real ones
(`--real`) takes the emulator longer than all contenders need. About six minutes for 40 and 400,
twenty more for 2000.

wiro_dagster orders in three ways. `ours` has brought its prompts in before the clock starts, and
orders them in a run. `approved` has `auto_order` and `needs_approval`: orders were placed before
the clock starts, too, and `wiro-dagster orders approve` lets them go. `auto` has `auto_order`
alone: the clock starts when the prompts come, as a new prompt file, so its CPU includes bringing
them in, and its wall time the wait, up to 30 seconds, until the sensor looks at the file. Below the
table, the CPU of all three includes bringing the prompts in.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from benchmarks.contenders import (
    Outcome,
    run_approved,
    run_automatic,
    run_ours,
    run_plain_dagster,
    run_script,
)
from benchmarks.stacks import end_with_stacks
from wiro_dagster.emulator import Emulator

CONTENDERS: dict[str, Callable[[Emulator, Path, int], Outcome]] = {
    "script": run_script,
    "dagster": run_plain_dagster,
    "ours": run_ours,
    "approved": run_approved,
    "auto": run_automatic,
}
_HEAD = (
    "| N | contender | CPU s a video | of plain Dagster | wall s | of script | calls a video "
    "| detection p95 s | there p95 s | memory MB |\n|---|---|---|---|---|---|---|---|---|---|"
)


def measure(name: str, count: int, *, task_seconds: float, tiny: bool) -> Outcome:
    """Let one contender make a batch, on an emulator of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator.start(
            task_seconds=task_seconds, tiny_videos=tiny, balance_usd=Decimal(10_000_000)
        ) as emulator,
    ):
        return CONTENDERS[name](emulator, Path(folder), count)


def describe(found: Outcome, beside: dict[str, Outcome]) -> str:
    """Return a row of the table.

    Args:
        found: the outcome.
        beside: the other outcomes of the same size.
    """
    plain, script = beside.get("dagster"), beside.get("script")
    cells = [
        str(found.videos),
        found.name,
        f"{found.cpu / found.videos:.3f}",
        "" if plain is None else f"{found.cpu / plain.cpu:.2f}",
        f"{found.wall:.0f}",
        "" if script is None else f"{found.wall / script.wall:.2f}",
        f"{found.calls / found.videos:.2f}",
        _percentile(found.detections),
        _percentile(found.arrivals),
        f"{found.megabytes:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def describe_whole(found: Outcome) -> str:
    """Return what a batch cost with all that came before it, and what it waited for."""
    each, before = found.cpu / found.videos, found.preparing / found.videos
    waited = f"; the first order was placed after {found.waiting:.0f} s" if found.waiting else ""
    return (
        f"{found.name}: {before + each:.3f} CPU s a video with bringing the prompts in, "
        f"of which {before:.3f} before the clock started{waited}"
    )


def _percentile(delays: list[float]) -> str:
    return f"{delays[int(0.95 * (len(delays) - 1))]:.1f}" if delays else ""


def main() -> None:
    """Print the table, a row after each batch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", default="40,400", help="sizes, comma-separated")
    # Not a multiple of the script's pause, which would then see every end at once.
    parser.add_argument("--task-seconds", type=float, default=22.0, help="how long a task takes")
    parser.add_argument("--real", action="store_true", help="clips as models make them, not 64x36")
    parser.add_argument("--only", default=",".join(CONTENDERS), help="contenders, comma-separated")
    options = parser.parse_args()
    end_with_stacks()
    print(_HEAD, flush=True)
    for count in map(int, options.n.split(",")):
        beside: dict[str, Outcome] = {}
        for name in options.only.split(","):
            found = measure(name, count, task_seconds=options.task_seconds, tiny=not options.real)
            beside[name] = found
            print(describe(found, beside), flush=True)
        for name in ("ours", "approved", "auto"):
            if name in beside:
                print(describe_whole(beside[name]), flush=True)


if __name__ == "__main__":
    main()
