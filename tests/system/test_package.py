"""The package as a whole: imports go down, public names are there, importing it is light."""

from __future__ import annotations

import ast
import inspect
import json
import re
import runpy
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

ROOMS = (
    ("errors.py",),
    ("api", "media"),
    ("catalogue", "store"),
    ("prompts", "ledger"),
    ("pricing", "resources"),
    ("orders",),
    ("gallery", "webhook"),
    ("defs",),
    ("component",),
    ("cli",),
)
"""The rooms from the ground up. A room imports itself and the floors below it, nothing else."""

APART = "emulator"
"""Only `cli` and the tests connect the product and the emulator."""

KNOW_DAGSTER = {"resources", "defs", "component", "cli"}


def floor_of(room: str) -> int:
    return next(floor for floor, rooms in enumerate(ROOMS) if room in rooms)


def imports_of(path: Path) -> set[str]:
    """The modules that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def rooms_imported(path: Path) -> set[str]:
    names = [name.split(".") for name in imports_of(path)]
    ours = {name[1] for name in names if name[0] == "wiro_dagster" and len(name) > 1}
    return {f"{room}.py" if (PACKAGE / f"{room}.py").exists() else room for room in ours}


def packages_imported(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


def files_of(room: str) -> list[Path]:
    path = PACKAGE / room
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def test_nothing_lies_outside_the_rooms() -> None:
    """`errors.py` is the only loose module beside `__init__.py`."""
    found = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    rooms = {room for floor in ROOMS for room in floor}
    assert found == rooms | {APART, "__init__.py", "py.typed"}


@pytest.mark.parametrize("room", [room for floor in ROOMS for room in floor])
def test_imports_only_go_down(room: str) -> None:
    """No room imports a neighbour on its floor, or one above."""
    below = {other for floor in ROOMS[: floor_of(room)] for other in floor} | {room}
    if room == "cli":
        below.add(APART)
    for path in files_of(room):
        assert rooms_imported(path) <= below, path.relative_to(PACKAGE)


def test_the_emulator_imports_nothing_of_the_product() -> None:
    """The emulator judges the product, so it must not share its code."""
    for path in files_of(APART):
        assert rooms_imported(path) <= {APART}, path.relative_to(PACKAGE)


@pytest.mark.parametrize("room", [room for floor in ROOMS for room in floor] + [APART])
def test_dagster_and_sql_stay_in_their_rooms(room: str) -> None:
    """The lower rooms work without Dagster; all SQL is in `ledger`."""
    for path in files_of(room):
        found = packages_imported(path)
        assert "dagster" not in found or room in KNOW_DAGSTER, path.relative_to(PACKAGE)
        assert "sqlalchemy" not in found or room == "ledger", path.relative_to(PACKAGE)


HEAVY = {"av", "boto3", "dagster_aws", "PIL", "starlette", "websockets"}


def test_importing_the_package_is_light() -> None:
    """Dagster, the emulator, PyAV and boto3 are loaded when they are used."""
    loaded = modules_after("import wiro_dagster")
    assert loaded.isdisjoint(HEAVY | {"dagster", "sqlalchemy"})


def test_a_code_location_loads_without_the_heavy_parts() -> None:
    """Neither do the public names load them, but for the one that is made of boto3."""
    names = ", ".join(set(wiro_dagster.__all__) - {"S3VideoStore"})
    assert modules_after(f"from wiro_dagster import {names}").isdisjoint(HEAVY)


def test_the_description_on_pypi_has_no_link_into_the_repository() -> None:
    """PyPI shows the description alone: relative links and pictures would be broken there."""
    root = PACKAGE.parent
    text = runpy.run_path(str(root / "setup.py"))["describe"]((root / "README.md").read_text())
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets
    assert all(target.startswith("https://") for target in targets)


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
        tags={"campaign": "spring"},
    )
    definitions = dg.Definitions.merge(
        build_video_definitions(collection),
        dg.Definitions(
            resources={
                "wiro": WiroResource(api_key="none"),
                "wiro_ledger": LedgerResource(url="sqlite:////tmp/ledger.db"),
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
