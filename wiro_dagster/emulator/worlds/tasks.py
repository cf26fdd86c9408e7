"""Worlds of single tasks by name: what no document excludes, as scripts for a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wiro_dagster.emulator.worlds.ends import COSTS, ENDS, FILES
from wiro_dagster.emulator.worlds.views import DETAILS, LISTS, RUNS
from wiro_dagster.emulator.worlds.world import TaskWorld

TASK_WORLDS: Mapping[str, TaskWorld] = {
    world.name: world for world in (*ENDS, *COSTS, *LISTS, *DETAILS, *RUNS, *FILES)
}


def marker_of(world: TaskWorld) -> str:
    """Return the word that asks for a world in a prompt."""
    return f"[{world.name.replace('_', '-')}]"


def expand_worlds(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a script's fields with those of the worlds that it names.

    Args:
        fields: with ``worlds`` as a list of names, or as an object of seconds by name.

    Raises:
        ValueError: a world is unknown, or has no seconds to choose.
    """
    wanted = fields.get("worlds") or {}
    if isinstance(wanted, str) or not isinstance(wanted, (Mapping, Sequence)):
        raise ValueError("worlds must be a list of names, or an object of seconds by name")
    chosen = wanted if isinstance(wanted, Mapping) else dict.fromkeys(wanted)
    expanded: dict[str, Any] = {}
    for name, seconds in chosen.items():
        expanded = merge_scripts(expanded, get_task_world(name).fields(seconds))
    return merge_scripts(expanded, {key: fields[key] for key in fields if key != "worlds"})


def get_task_world(name: str) -> TaskWorld:
    """Return the world of this name.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in TASK_WORLDS:
        raise ValueError(f"a task has no world {name}; choose from {', '.join(TASK_WORLDS)}")
    return TASK_WORLDS[name]


def merge_scripts(fields: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return both scripts' fields; the second wins, but overrides and worlds add up."""
    merged = {**fields, **more}
    for name in ("overrides", "worlds"):
        if name in merged:
            merged[name] = [*fields.get(name, ()), *more.get(name, ())]
    return merged
