"""CPU of an idle minute: webserver, daemon and code server, with nothing to do.

    python -m benchmarks.idle --seconds 60 --videos 20

Measures the plain Dagster project of `benchmarks.plain_dagster`, then the product's ready project
after it has made some videos. About four minutes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from benchmarks.contenders import end_with_stacks, open_ours, open_plain_dagster
from benchmarks.process_tree import ProcessTree
from wiro_dagster.emulator import Emulator

_SETTLE_SECONDS = 20.0


def measure(tree: ProcessTree, seconds: float) -> float:
    """Return the CPU seconds a minute of a stack that has come to rest."""
    time.sleep(_SETTLE_SECONDS)
    before, started = tree.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (tree.cpu_seconds() - before) / (time.monotonic() - started) * 60.0


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to look")
    parser.add_argument("--videos", type=int, default=20, help="how many were made before")
    options = parser.parse_args()
    end_with_stacks()
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator.start(task_seconds=1, tiny_videos=True, balance_usd=Decimal(100_000)) as emulator,
    ):
        plain_folder, our_folder = Path(folder) / "plain", Path(folder) / "ours"
        plain_folder.mkdir()
        our_folder.mkdir()
        with open_plain_dagster(emulator, plain_folder, options.videos) as stack:
            plain = measure(stack.tree, options.seconds)
        print(f"plain Dagster: {plain:.2f} CPU s a minute", flush=True)
        with open_ours(emulator, our_folder, options.videos) as stack:
            stack.make_all("video_order", options.videos)
            ours = measure(stack.tree, options.seconds)
        print(f"wiro_dagster: {ours:.2f} CPU s a minute, {ours / plain:.2f} of plain Dagster")


if __name__ == "__main__":
    main()
