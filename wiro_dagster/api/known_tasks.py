"""Tasks as they were read last: Wiro's list shows most of them again as they were."""

from __future__ import annotations

from typing import Any

from wiro_dagster.api.types import Task, find_task

_MOST = 1000
"""So many are kept: a few MB, and ten pages of Wiro's list."""


class KnownTasks:
    """Reads tasks from their wire form, each form once. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, Task]] = {}

    def find(self, fields: Any) -> Task | None:
        """Return a task from its wire form; see `find_task`."""
        task_id = fields.get("id") if isinstance(fields, dict) else None
        if not isinstance(task_id, str):
            return find_task(fields)
        known = self._known.get(task_id)
        if known is not None and _are_equal(known[0], fields):
            return known[1]
        task = find_task(fields)
        if task is not None:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[task_id] = fields, task
        return task


def _are_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except RecursionError:
        return False
