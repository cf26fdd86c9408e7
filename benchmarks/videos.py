"""A batch of videos, by hand and with Dagster: CPU, wall time, requests, latency and memory.

    python -m benchmarks.videos --n 40,400,2000

For each size the same prompts are made against an emulator in a process of its own: by a plain
script, by a plain Dagster project with one run and threads, and by wiro_dagster. The Dagster
projects run as a user has them: webserver, daemon and code server. CPU counts all of a contender's
processes; only wiro_dagster verifies what it fetched. The clips are tiny, as making real ones
(`--real`) takes the emulator longer than all contenders need. About six minutes for 40 and 400,
twenty more for 2000.

wiro_dagster orders in four ways. `ours` has brought its prompts in before the clock starts, and
orders them in a run over their partitions, launched as plain Dagster's. `missing` lets the command
line run the job `order_missing_videos`: Dagster plans no event for each partition, and the run
waits in no queue. `approved` has `auto_order` and `needs_approval`: orders were placed before the
clock starts, too, and `wiro-dagster orders approve` lets them go. `auto` has `auto_order` alone:
the clock starts when the prompts come, as a new prompt file, so its CPU includes bringing them in,
and its wall time the wait, up to 30 seconds, until the sensor looks at the file. Below the table,
the CPU of all four includes bringing the prompts in.

Machines that are shared differ from minute to minute: `--turns 5` lets the contenders take turns,
and shows medians, ratios of medians, and in brackets the lowest and the highest of the turns.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from statistics import median

from benchmarks.contenders import (
    Outcome,
    run_approved,
    run_automatic,
    run_missing,
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
    "missing": run_missing,
    "approved": run_approved,
    "auto": run_automatic,
}
_HEAD = (
    "| N | contender | CPU s a video | of plain Dagster | wall s | of script | calls a video "
    "| detection p95 s | there p95 s | memory MB |\n|---|---|---|---|---|---|---|---|---|---|"
)


def measure(name: str, count: int, *, folder: Path, task_seconds: float, tiny: bool) -> Outcome:
    """Let one contender make a batch, on an emulator of its own, in a new folder below `folder`."""
    with Emulator.start(
        task_seconds=task_seconds, tiny_videos=tiny, balance_usd=Decimal(10_000_000)
    ) as emulator:
        return CONTENDERS[name](emulator, Path(tempfile.mkdtemp(dir=folder)), count)


def describe(found: Sequence[Outcome], beside: Mapping[str, Sequence[Outcome]]) -> str:
    """Return a row of the table: medians, with the lowest and the highest where turns differ.

    Args:
        found: the outcomes of one contender, one for each turn.
        beside: the outcomes of all contenders, in the same turns.
    """
    cells = [
        str(found[0].videos),
        found[0].name,
        f"{median(outcome.cpu / outcome.videos for outcome in found):.3f}",
        _compare(found, beside.get("dagster", ()), lambda outcome: outcome.cpu),
        f"{median(outcome.wall for outcome in found):.0f}",
        _compare(found, beside.get("script", ()), lambda outcome: outcome.wall),
        f"{median(outcome.calls / outcome.videos for outcome in found):.2f}",
        _spread([_percentile(outcome.detections) for outcome in found]),
        _spread([_percentile(outcome.arrivals) for outcome in found]),
        f"{max(outcome.megabytes for outcome in found):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _compare(
    found: Sequence[Outcome], others: Sequence[Outcome], of: Callable[[Outcome], float]
) -> str:
    """Return how the medians of two contenders compare, and how far that differs by turn."""
    if not others:
        return ""
    ratios = [of(mine) / of(other) for mine, other in zip(found, others, strict=False)]
    return _show(median(map(of, found)) / median(map(of, others)), ratios, digits=2)


def _spread(values: Sequence[float]) -> str:
    return "" if math.isnan(values[0]) else _show(median(values), values, digits=1)


def _show(middle: float, values: Sequence[float], *, digits: int) -> str:
    shown, least, most = (f"{number:.{digits}f}" for number in (middle, min(values), max(values)))
    return shown if least == most else f"{shown} ({least} to {most})"


def describe_whole(found: Sequence[Outcome]) -> str:
    """Return what a batch cost with all that came before it, and what it waited for: medians."""
    each = median(outcome.cpu / outcome.videos for outcome in found)
    before = median(outcome.preparing / outcome.videos for outcome in found)
    waited = median(outcome.waiting for outcome in found)
    waits = f"; the first order was placed after {waited:.0f} s" if waited else ""
    return (
        f"{found[0].name}: {before + each:.3f} CPU s a video with bringing the prompts in, "
        f"of which {before:.3f} before the clock started{waits}"
    )


def _percentile(delays: list[float]) -> float:
    return delays[int(0.95 * (len(delays) - 1))] if delays else math.nan


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
    parser.add_argument(
        "--turns", type=int, default=1, help="how often each contender comes, one after the other"
    )
    options = parser.parse_args()
    end_with_stacks()
    tiny, names = not options.real, options.only.split(",")
    # Removed at the end: on ext4, files cost several times as much while many others that were
    # removed a moment ago leave their places.
    with tempfile.TemporaryDirectory() as folder:
        print(_HEAD, flush=True)
        for count in map(int, options.n.split(",")):
            found: dict[str, list[Outcome]] = {name: [] for name in names}
            for name in names * options.turns:
                seconds = options.task_seconds
                found[name].append(
                    measure(name, count, folder=Path(folder), task_seconds=seconds, tiny=tiny)
                )
                print(describe(found[name][-1:], _last(found)), flush=True)
            if options.turns > 1:
                print(f"\nMedians of {options.turns} turns:\n\n{_HEAD}")
                for name in names:
                    print(describe(found[name], found), flush=True)
            for name in ("ours", "missing", "approved", "auto"):
                if name in found:
                    print(describe_whole(found[name]), flush=True)


def _last(found: Mapping[str, Sequence[Outcome]]) -> dict[str, Sequence[Outcome]]:
    return {name: outcomes[-1:] for name, outcomes in found.items()}


if __name__ == "__main__":
    main()
