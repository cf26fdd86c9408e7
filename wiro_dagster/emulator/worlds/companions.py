"""Tasks beside the one that a caller knows of: a twin from the same POST, tasks of other users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.task import Task, make_token, make_uuid
from wiro_dagster.emulator.task_script import TaskScript
from wiro_dagster.emulator.timeline import build_timeline

# Never called: foreign callbacks are not the emulator's business.
FOREIGN_CALLBACK_URL = "https://studio.example.org/hooks/render?job={number}"


def keep_new(service: Service, task: Task) -> None:
    """Keep a new task, and plan what belongs to it."""
    service.tasks.add(task)
    script = task.script
    if script.file_fault is not None:
        service.faults.add(
            script.file_fault, matching=f"/{task.uuid}-", times=script.file_fault_times
        )
    service.callbacks.plan_at_run(task)


def course_of(service: Service, script: TaskScript, created_at: float) -> dict[str, Any]:
    """Return when a task is listed and known, and its timeline."""
    settings = service.settings
    listing, detail = script.listing_delay_seconds, script.detail_delay_seconds
    return {
        "listed_at": created_at + (settings.listing_delay_seconds if listing is None else listing),
        "visible_at": created_at + (settings.detail_delay_seconds if detail is None else detail),
        "timeline": build_timeline(
            script,
            created_at,
            task_seconds=settings.task_seconds,
            queue_seconds=settings.queue_seconds,
        ),
    }


def add_companions(service: Service, task: Task) -> None:
    """Add the tasks that a task's script puts beside it."""
    script = task.script
    for _ in range(script.twins):
        _add_copy(service, task, script.changed({"twins": 0, "foreign": "none"}), origin="twin")
    if script.foreign != "none":
        has_callback = script.foreign == "with_callback"
        add_foreign(service, task, {}, callback_url=FOREIGN_CALLBACK_URL if has_callback else None)


def add_foreign(
    service: Service,
    like: Task,
    script: Mapping[str, Any],
    *,
    callback_url: str | None,
) -> Task:
    """Add a foreign task: other users of the account run theirs, too.

    Args:
        service: the emulated service.
        like: a task with the same model, inputs, account and time of the run.
        script: what happens to it.
        callback_url: theirs; ``{number}`` becomes the task's id.
    """
    number = service.tasks.next_number()
    url = callback_url and callback_url.replace("{number}", str(number))
    plan = TaskScript().changed({"callback": "never", **script})
    return _add_copy(service, replace(like, callback_url=url), plan, origin="foreign")


def _add_copy(service: Service, task: Task, script: TaskScript, *, origin: str) -> Task:
    copied = replace(
        task,
        number=service.tasks.next_number(),
        uuid=make_uuid(),
        token=make_token(),
        script=script,
        origin=origin,
        **course_of(service, script, task.created_at),
    )
    keep_new(service, copied)
    return copied
