"""The ready project: settings from the environment in, Dagster definitions out.

    dagster dev -w workspace.yaml

The README lists the variables. `make dev` sets them for the emulator if WIRO_API_KEY is not set.
"""

from pathlib import Path

from wiro_dagster import build_project_definitions

defs = build_project_definitions(Path(__file__).parent)
