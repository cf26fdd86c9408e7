"""CPU of an idle minute: webserver, daemon and code server, with nothing to do.

    python -m benchmarks.idle --seconds 60 --videos 20

Measures the plain Dagster project of `benchmarks.plain_dagster`, the same with three sensors that
do nothing, as seldom as the product's, and the product's ready project after it has made some
videos. CPU seconds a minute by process, and their sum beside the plain project's. About nine
minutes. `--sensors 4,30` measures sensors of other intervals instead. With `--database postgres`,
the product's ledger is on a PostgreSQL server of its own, which is not counted; Dagster's storage
stays on SQLite. `--only wiro_dagster` leaves the other two out.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from benchmarks.process_tree import ProcessTree
from benchmarks.stacks import Stack, end_with_stacks, open_ours, open_plain_dagster
from tests.support.postgres import chosen_database
from wiro_dagster.emulator import Emulator

_SETTLE_SECONDS = 150.0
"""The gallery is renewed once a minute, and two ticks that find nothing to do make a rest."""
_PLAIN, _SENSORS, _OURS = "Dagster alone", "with empty sensors", "wiro_dagster"
_INTERVALS = "29,29,59"
"""Of the product's sensors for orders, prompts and the gallery."""


def measure(tree: ProcessTree, seconds: float) -> dict[str, float]:
    """Return the CPU seconds a minute of a stack that has come to rest, by process."""
    time.sleep(_SETTLE_SECONDS)
    before, started = tree.cpu_seconds_by_role(), time.monotonic()
    time.sleep(seconds)
    after, minutes = tree.cpu_seconds_by_role(), (time.monotonic() - started) / 60.0
    return {role: (after[role] - before.get(role, 0.0)) / minutes for role in after}


@contextmanager
def open_stack(
    name: str,
    emulator: Emulator,
    folder: Path,
    videos: int,
    *,
    sensors: str,
    ledger_url: str | None,
) -> Iterator[Stack]:
    """Start what is to be measured."""
    folder.mkdir()
    if name == _OURS:
        with open_ours(emulator, folder, videos, ledger_url=ledger_url) as stack:
            stack.make_all("video_order", videos)
            yield stack
        return
    given = sensors if name == _SENSORS else ""
    with open_plain_dagster(emulator, folder, videos, sensors=given) as stack:
        yield stack


def main() -> None:
    """Print a column for each, and their ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to look")
    parser.add_argument("--videos", type=int, default=20, help="how many were made before")
    parser.add_argument("--sensors", default=_INTERVALS, help="intervals of the empty sensors")
    parser.add_argument("--database", default="sqlite", help="of the ledger: sqlite or postgres")
    parser.add_argument("--only", help="the one to measure")
    options = parser.parse_args()
    names = [options.only] if options.only else [_PLAIN, _SENSORS, _OURS]
    end_with_stacks()
    found: dict[str, dict[str, float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator.start(task_seconds=1, tiny_videos=True, balance_usd=Decimal(100_000)) as emulator,
        chosen_database(is_postgres=options.database == "postgres") as ledger_url,
    ):
        for number, name in enumerate(names):
            with open_stack(
                name,
                emulator,
                Path(folder) / str(number),
                options.videos,
                sensors=options.sensors,
                ledger_url=ledger_url,
            ) as stack:
                found[name] = measure(stack.tree, options.seconds)
            load = os.getloadavg()[0]
            print(f"{name}: {sum(found[name].values()):.2f} (load {load:.1f})", flush=True)
    print_table(found)


def print_table(found: dict[str, dict[str, float]]) -> None:
    """Print the CPU seconds a minute by process."""
    print("| CPU s a minute | " + " | ".join(found) + " |\n|---" + "|---" * len(found) + "|")
    for role in list(found.values())[-1]:
        cells = (f"{column.get(role, 0.0):.2f}" for column in found.values())
        print(f"| {role} | " + " | ".join(cells) + " |")
    sums = [sum(column.values()) for column in found.values()]
    cells = (f"{each:.2f} ({each / sums[0]:.2f})" for each in sums)
    print("| all (of the first) | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
