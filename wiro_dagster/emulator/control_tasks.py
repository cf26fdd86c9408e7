"""The control API about tasks: lists them, changes what happens to them and what is shown."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from wiro_dagster.emulator.output_urls import output_url
from wiro_dagster.emulator.runs import apply_script
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.shown_task import debug_error
from wiro_dagster.emulator.task import Task, result_of
from wiro_dagster.emulator.timeline import cut_short
from wiro_dagster.emulator.worlds.overrides import override_from_json
from wiro_dagster.emulator.worlds.tasks import expand_worlds, merge_scripts

_EVERYTHING = 1_000_000
Fields = dict[str, Any]


class TaskControl:
    """Answers the control API's calls about tasks.

    Args:
        service: the emulated service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def list(self, request: Request) -> list[Fields]:
        """Return all tasks, also those that Task/List does not show yet."""
        now = self._service.settled_now()
        limit = int(request.query_params.get("limit", _EVERYTHING))
        order = request.query_params.get("order", "ASC")
        _, tasks = self._service.tasks.page(
            now=float("inf"),
            order="DESC" if order == "DESC" else "ASC",
            limit=limit,
        )
        return [self._show(task, now) for task in tasks]

    def _show(self, task: Task, now: float) -> Fields:
        outputs = self._service.left_outputs(task, now)
        return {
            "id": str(task.number),
            "model": task.slug,
            "status": task.status(now),
            "exit_code": result_of(task).exit_code if task.has_ended(now) else "",
            "has_ended": task.has_ended(now),
            "error": debug_error(task, now),
            "cost_usd": str(task.cost_usd),
            "parameters": task.parameters,
            "callbackurl": task.callback_url,
            "project_id": task.project_id,
            "created_at": task.created_at,
            "ends_at": task.ends_at,
            "deleted_at": task.deleted_at,
            "account": task.account,
            "origin": task.origin,
            "script": task.script.to_json(),
            "outputs": [
                {
                    "name": plan.name,
                    "size_bytes": plan.size_bytes,
                    "url": output_url(task, plan, self._service.settings, now),
                }
                for plan in outputs
                if plan.kind != "raw"
            ],
        }

    def change(self, request: Request, fields: Fields) -> Fields:
        """Change what happens to a task."""
        service, now = self._service, self._service.settled_now()
        task = self._get(request)
        status = fields.pop("status", None)
        if fields:
            kept = {"overrides": task.script.overrides, "worlds": task.script.worlds}
            script = task.script.changed(merge_scripts(kept, expand_worlds(fields)))
            has_course = bool(_COURSE_FIELDS.intersection(expand_worlds(fields)))
            if has_course and task.has_ended(now):
                raise ValueError(f"task {task.number} has ended: its course cannot be changed")
            task = (
                apply_script(service, task, script)
                if has_course
                else service.tasks.set_script(
                    task, script, listed_at=task.listed_at, visible_at=task.visible_at
                )
            )
        if status is not None:
            course = cut_short(task.timeline, str(status), now=now, at=now)
            task = service.tasks.set_course(task, course)
        service.settle(now)
        service.clock.wake_all()
        return self._show(service.tasks.find(str(task.number)) or task, now)

    def override(self, request: Request, fields: Fields) -> Fields:
        """Add an override; its seconds count from now unless it says since what."""
        now, task = self._service.settled_now(), self._get(request)
        values = dict(fields)
        if values.setdefault("since", "now") == "now":
            values["since"] = "run"
            age = now - task.created_at
            values["from_seconds"] = age + values.get("from_seconds", 0.0)
            if values.get("until_seconds") is not None:
                values["until_seconds"] += age
        override = override_from_json(values)
        return self._show_as(task, [*task.script.overrides, override], now)

    def clear_overrides(self, request: Request, _fields: Fields) -> Fields:
        """Show the truth about a task again."""
        return self._show_as(self._get(request), [], self._service.settled_now())

    def _show_as(self, task: Task, overrides: Any, now: float) -> Fields:
        script = task.script.changed({"overrides": overrides})
        times = {"listed_at": task.listed_at, "visible_at": task.visible_at}
        return self._show(self._service.tasks.set_script(task, script, **times), now)

    def _get(self, request: Request) -> Task:
        task_id = request.path_params["task_id"]
        task = self._service.tasks.find(task_id)
        if task is None:
            raise ValueError(f"task {task_id} does not exist")
        return task


# Fields of a script that decide when a task is in which status.
_COURSE_FIELDS = frozenset(
    {
        "outcome",
        "queue_seconds",
        "run_seconds",
        "stuck_at",
        "unknown_status",
        "skip",
        "listing_delay_seconds",
        "detail_delay_seconds",
    }
)
