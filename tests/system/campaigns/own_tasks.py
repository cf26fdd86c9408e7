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
    """Whether Wiro says for ever, of what it has billed, that it was free.

    Nobody can know better of a failure, nor of a cancelled task that shows no files.
    """
    worlds = set(task["script"].get("worlds", ()))
    is_empty = task["status"] == "task_cancel" and "outputs_never" in worlds
    return "cost_never" in worlds and (is_empty or str(task["exit_code"]) != "0")
