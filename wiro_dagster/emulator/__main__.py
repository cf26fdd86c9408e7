"""Runs the emulator: ``python -m wiro_dagster.emulator --help``."""

from __future__ import annotations

from wiro_dagster.emulator.command import emulator_command

if __name__ == "__main__":
    emulator_command(prog_name="python -m wiro_dagster.emulator")
