"""The tasks of an emulator that a user of Wiro can know of."""

from __future__ import annotations

from typing import Any

from wiro_dagster.emulator import EmulatorControl

Task = dict[str, Any]

HIDING = frozenset({"listed_never"})
"""Worlds in which the list hides a task for ever: its order may be sent a second time."""


def list_own_tasks(emulator: EmulatorControl) -> list[Task]:
    """Return all tasks that a user of Wiro can know of, without those of other users.

    A twin that the list hides for ever is known to nobody: no answer names it.
    """
    return [
        task
        for task in emulator.tasks()
        if task["origin"] != "foreign" and not (task["origin"] == "twin" and is_hidden(task))
    ]


def is_hidden(task: Task) -> bool:
    """Whether the list hides a task for ever."""
    return bool(HIDING.intersection(task["script"].get("worlds", ())))


def is_denied(task: Task) -> bool:
    """Whether Wiro says of a billed failure, for ever, that it was free: nobody can know better."""
    return str(task["exit_code"]) != "0" and "cost_never" in task["script"].get("worlds", ())
