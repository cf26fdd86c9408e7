"""The project: its settings are environment variables, which compose.yaml sets."""

from pathlib import Path

from wiro_dagster import build_project_definitions

defs = build_project_definitions(Path(__file__).parent)
