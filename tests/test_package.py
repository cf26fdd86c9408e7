"""The package as a whole: imports go down, public names are there, importing it is light."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_shared.libraries import DagsterLibraryRegistry

import wiro_dagster
from wiro_dagster import (
    FolderVideoStore,
    LedgerResource,
    VideoCollection,
    WiroResource,
    build_video_definitions,
)

PACKAGE = Path(wiro_dagster.__file__).parent

FLOORS: list[set[str]] = [
    {"errors"},
    {"api"},
    {"budget", "catalogue", "media", "pricing", "prompts"},
    {"inspection", "store"},
    {"s3_errors", "s3_store", "ledger"},
    {"costs", "models", "uploads"},
    {"orders"},
    {
        "event_log",
        "events",
        "order_checks",
        "order_cursor",
        "resources",
        "store_resources",
    },
    {"s3_resource"},
    {"store_places"},
    {"asset_files", "cost_asset", "prompt_sources", "verdicts"},
    {"collection"},
    {"checks", "gallery", "io_manager", "provenance", "video_checks"},
    {"automation", "sensors", "waiting"},
    {"assets", "prompt_sensor"},
    {"definitions"},
    {"defs_yaml", "scaffolder"},
    {"component_settings"},
    {"component"},
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


HEAVY = {"av", "boto3", "dagster_aws", "PIL", "starlette", "websockets"}


def test_importing_the_package_is_light() -> None:
    """Dagster, the emulator, PyAV and boto3 are loaded when they are used."""
    loaded = modules_after("import wiro_dagster")
    assert loaded.isdisjoint(HEAVY | {"dagster", "sqlalchemy"})


def test_a_code_location_loads_without_the_heavy_parts() -> None:
    """Neither do the public names load them, but for the one that is made of boto3."""
    names = ", ".join(set(wiro_dagster.__all__) - {"S3VideoStore"})
    assert modules_after(f"from wiro_dagster import {names}").isdisjoint(HEAVY)


def test_without_s3_support_the_package_says_so_when_it_is_asked_for() -> None:
    """Dagster looks at every name for components; one that cannot be had is not among them."""
    code = """
import sys
sys.modules["dagster_aws"] = None
from wiro_dagster import *
try:
    from wiro_dagster import S3VideoStore
except ImportError as error:
    print(error)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert 'pip install "wiro-dagster[aws]"' in shown.stdout


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(json.loads(shown.stdout))


def test_the_public_names_are_told_to_type_checkers_too() -> None:
    """What is imported late for speed and what a type checker reads are the same names."""
    tree = ast.parse(Path(wiro_dagster.__file__).read_text())
    told = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname
    }
    homes = {name: f"wiro_dagster.{home}" for name, home in wiro_dagster._HOMES.items()}
    assert told == homes
    assert list(homes) == sorted(homes) == wiro_dagster.__all__
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = wiro_dagster.no_such_name


def public_callables() -> Iterator[tuple[str, Any]]:
    """Public functions and classes, and the public methods that our classes define."""
    for name in wiro_dagster.__all__:
        named = getattr(wiro_dagster, name)
        yield name, named
        if inspect.isclass(named):
            for part, made in vars(named).items():
                if not part.startswith("_") and isinstance(made, property):
                    yield f"{name}.{part}", made.fget
                elif not part.startswith("_") and inspect.isroutine(made):
                    yield f"{name}.{part}", getattr(named, part)


def test_every_public_name_has_types_and_a_docstring() -> None:
    """Also the methods and properties of public classes."""
    untold = []
    for name, named in public_callables():
        if not inspect.getdoc(named):
            untold.append(f"{name}: docstring")
        if inspect.isclass(named):
            continue  # its fields have types, or it would not be a class of its kind
        signature = inspect.signature(named)
        bare = [
            parameter
            for parameter, found in signature.parameters.items()
            if found.annotation is found.empty and parameter not in {"self", "cls"}
        ]
        if bare or signature.return_annotation is signature.empty:
            untold.append(f"{name}: types of {bare or 'what it returns'}")
    assert untold == []


def test_dagster_knows_the_library() -> None:
    """Its version is listed among those of Dagster's libraries."""
    assert DagsterLibraryRegistry.get()["wiro-dagster"] == wiro_dagster.__version__


def test_definitions_carry_what_dagster_shows_of_them() -> None:
    """Assets have a group, kinds, owners, tags and a description; checks and sensors the last."""
    collection = VideoCollection(
        prompt_file=Path("prompts.yaml"),
        name="ads",
        group_name="marketing",
        owners=("team:marketing",),
        tags=(("campaign", "spring"),),
    )
    definitions = dg.Definitions.merge(
        build_video_definitions(collection),
        dg.Definitions(
            resources={
                "wiro": WiroResource(api_key="none"),
                "wiro_ledger": LedgerResource(url="sqlite://"),
                "video_store": FolderVideoStore(path="videos"),
            }
        ),
    )
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert (node.group_name, node.owners) == ("marketing", ["team:marketing"]), key
        assert node.tags["campaign"] == "spring", key
        assert node.kinds, key
    assert all(graph.get_check_spec(key).description for key in graph.asset_check_keys)
    for sensor in definitions.sensors or ():
        assert isinstance(sensor, dg.SensorDefinition)
        assert sensor.description, sensor.name
        assert sensor.tags["wiro/collection"] == "ads/video", sensor.name
