"""The processes that look at files for this one."""

from __future__ import annotations

import os
import subprocess

from wiro_dagster.media import apart


def list_decoders() -> list[int]:
    """The processes that this one has started as decoders.

    One that has just been started may not have its command line yet.
    """
    found = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "wiro_dagster.media.apart"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(line) for line in found.stdout.split()]


def close_decoders() -> None:
    """End those that have nothing to do."""
    apart._DECODERS.close()
