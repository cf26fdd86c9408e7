"""Steers what a running emulator shows: worlds that no document excludes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wiro_dagster.emulator.control_connection import ControlConnection


class WorldControl(ControlConnection):
    """The control API's part about what the API shows instead of the truth."""

    def override_task(
        self,
        task_id: str,
        fields: Mapping[str, Any] | None = None,
        *,
        without: Sequence[str] = (),
        rewrites: Sequence[str] = (),
        hides: str = "no",
        behind_seconds: float = 0.0,
        calls: str = "both",
        since: str = "now",
        from_seconds: float = 0.0,
        until_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Show a task otherwise than it is, and return it as it is.

        Args:
            task_id: the task.
            fields: any JSON values by field; a dot leads inside, ``*`` is every entry:
                ``{"totalcost": None, "outputs.*.size": "0"}``.
            without: fields to leave out.
            rewrites: named changes such as "inputs_upper_case"; the README lists them.
            hides: "not_found" (Task/Detail answers code 1) or "empty" (an empty list);
                Task/List leaves the task out with either.
            behind_seconds: show the task as it was so long ago.
            calls: "detail", "list" or "both".
            since: what the seconds count from: "now", "run" or "end".
            from_seconds: when it begins.
            until_seconds: when it stops; None for never.

        Raises:
            ValueError: there is no such task, or a value is not of its kind.
        """
        override = {
            "fields": dict(fields or {}),
            "without": list(without),
            "rewrites": list(rewrites),
            "hides": hides,
            "behind_seconds": behind_seconds,
            "calls": calls,
            "since": since,
            "from_seconds": from_seconds,
            "until_seconds": until_seconds,
        }
        task: dict[str, Any] = self._post(f"tasks/{task_id}/override", override)
        return task

    def clear_overrides(self, task_id: str) -> None:
        """Show the truth about a task again."""
        self._post(f"tasks/{task_id}/clear-overrides", {})
