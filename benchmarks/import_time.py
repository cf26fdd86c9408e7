"""What importing wiro_dagster costs on top of dagster itself, as ratios of CPU time in one run.

Run it with `python -m benchmarks.import_time --rounds 7`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

_STATEMENTS = {
    "nothing": "pass",
    "dagster": "import dagster",
    "wiro_dagster, dagster being there": "import dagster, wiro_dagster",
    "all that definitions need": (
        "import dagster; from wiro_dagster import VideoCollection, WiroResource, LedgerResource, "
        "FolderVideoStore, build_video_definitions"
    ),
}


def measure(statement: str) -> float:
    """CPU seconds of a fresh interpreter that runs a statement."""
    before = os.times()
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = os.times()
    used = after.children_user + after.children_system
    return used - before.children_user - before.children_system


def main() -> None:
    """Measures each statement in turn, round after round, and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    for _ in range(rounds):
        for name, statement in _STATEMENTS.items():
            times[name].append(measure(statement))
    medians = {name: statistics.median(found) for name, found in times.items()}
    base = medians["dagster"] - medians["nothing"]
    for name, median in medians.items():
        own = median - medians["nothing"]
        print(f"{name:>35}: {median:.2f} s, {own / base:.2f} of dagster's own import")


if __name__ == "__main__":
    main()
