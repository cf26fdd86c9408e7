"""The package as a whole: imports go down, public names are there, importing it is light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import wiro_dagster

PACKAGE = Path(wiro_dagster.__file__).parent

FLOORS: list[set[str]] = [
    {"errors"},
    {"api"},
    {"budget", "catalogue", "media", "pricing", "prompts"},
    {"inspection", "store"},
    {"s3_errors", "s3_store", "ledger"},
    {"costs", "models", "uploads"},
    {"orders"},
    {"events", "resources", "s3_resource", "store_resources"},
    {"cost_asset", "prompt_sources", "verdicts"},
    {"collection"},
    {"checks", "gallery", "io_manager", "provenance", "video_checks"},
    {"automation", "sensors", "waiting"},
    {"assets", "prompt_sensor"},
    {"definitions"},
    {"component", "component_settings", "scaffolder"},
    {"emulator"},
    {"cli"},
]
"""From the ground up. A part may import its own floor's neighbours and what is below."""


def floor_of(part: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if part in floor)


def parts() -> list[str]:
    found = {
        path.stem if path.suffix else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    return sorted(found - {"__init__", "py"})


def imports_of(path: Path) -> set[str]:
    """The parts of this package that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "wiro_dagster":
                names = [f"wiro_dagster.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("wiro_dagster.")}
    return found


@pytest.mark.parametrize("part", parts())
def test_imports_only_go_down(part: str) -> None:
    """No part imports one that stands above it."""
    root = PACKAGE / part
    files = root.rglob("*.py") if root.is_dir() else [PACKAGE / f"{part}.py"]
    for path in files:
        above = {
            other
            for other in imports_of(path)
            if other in parts() and floor_of(other) > floor_of(part)
        }
        assert not above, f"{path.relative_to(PACKAGE)} imports {above} from above"


@pytest.mark.parametrize("part", ["errors", "api", "budget", "catalogue", "prompts", "pricing"])
def test_the_lower_floors_do_not_know_dagster(part: str) -> None:
    """The client and the rules can be used without Dagster."""
    loaded = modules_after(f"import wiro_dagster.{part}")
    assert "dagster" not in loaded


def test_importing_the_package_is_light() -> None:
    """Dagster, the emulator, PyAV and boto3 are loaded when they are used."""
    loaded = modules_after("import wiro_dagster")
    assert loaded.isdisjoint({"dagster", "av", "boto3", "starlette", "PIL", "sqlalchemy"})


def test_building_definitions_needs_neither_av_nor_boto3() -> None:
    """A code location loads without the heavy optional parts."""
    loaded = modules_after("from wiro_dagster import build_video_definitions")
    assert loaded.isdisjoint({"av", "boto3", "starlette", "PIL", "websockets"})


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(json.loads(shown.stdout))


def test_every_public_name_is_there_and_documented() -> None:
    """`__all__` is honest."""
    for name in wiro_dagster.__all__:
        assert getattr(wiro_dagster, name).__doc__
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = wiro_dagster.no_such_name
