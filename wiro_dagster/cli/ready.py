"""The code location of `wiro-dagster dev` in a folder that has no definitions of its own."""

from __future__ import annotations

from pathlib import Path

from wiro_dagster.defs.project import build_project_definitions

# The command starts Dagster in the project's folder.
defs = build_project_definitions(Path.cwd())
