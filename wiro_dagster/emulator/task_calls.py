"""The calls about tasks: detail, list, cancel, kill, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wiro_dagster.emulator.refusals import (
    INVALID_BODY,
    NOT_CANCELLABLE,
    NOT_ENDED,
    TASK_IDENTIFIER_REQUIRED,
    TASK_NOT_FOUND,
    Refused,
    kill_refused,
)
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.task import Task
from wiro_dagster.emulator.timeline import cut_short
from wiro_dagster.emulator.wire import number
from wiro_dagster.emulator.worlds.lists import PageWanted, page_shown, tasks_shown, total_shown

_DEFAULT_LIMIT = 20
_LARGEST_LIMIT = 100
# A persisted task_error waits for its requeue: for a cancel it is in the queue.
_CANCELLABLE = ("task_queue", "task_error")
# Accept and preprocess belong to neither Cancel nor Kill.
_NOT_KILLABLE = (
    "task_queue",
    "task_accept",
    "task_preprocess_start",
    "task_preprocess_end",
    "task_error",
)


def show_detail(
    service: Service, fields: Mapping[str, Any], now: float, account: str
) -> dict[str, Any]:
    """Carry out ``/Task/Detail``."""
    task = _get_task(service, fields, now, account)
    hides = {override.hides for override in service.overrides_of(task, "detail", now)}
    if "not_found" in hides:
        raise Refused(TASK_NOT_FOUND)
    if "empty" in hides:
        return {"total": number(0, service.settings.dialect), "tasklist": []}
    return _one(service, task, now)


def list_tasks(
    service: Service, fields: Mapping[str, Any], now: float, account: str
) -> dict[str, Any]:
    """Carry out ``/Task/List``."""
    worlds = {world.name for world in service.worlds.active(now)}
    page = page_shown(_wanted_page(fields), worlds)
    total, tasks = service.tasks.page(
        now=now,
        account=account,
        slugs=_wanted_slugs(service, fields.get("modelName"), now),
        order=page.order,
        start=page.start,
        limit=page.limit,
    )
    if total == 0 and service.settings.dialect == "alternate":
        raise Refused(TASK_NOT_FOUND)
    return {
        "total": number(total_shown(total, worlds), service.settings.dialect),
        "tasklist": [
            service.show(task, now, "list")
            for task in tasks_shown(tasks, worlds, now)
            if all(one.hides == "no" for one in service.overrides_of(task, "list", now))
        ],
    }


def cancel_task(
    service: Service, fields: Mapping[str, Any], now: float, account: str
) -> dict[str, Any]:
    """Carry out ``/Task/Cancel``."""
    task = _get_task(service, fields, now, account)
    if task.status(now) not in _CANCELLABLE or task.script.kill == "refused":
        raise Refused(NOT_CANCELLABLE)
    task = service.tasks.set_course(task, cut_short(task.timeline, "task_cancel", now=now, at=now))
    return _settled(service, task, now)


def kill_task(
    service: Service, fields: Mapping[str, Any], now: float, account: str
) -> dict[str, Any]:
    """Carry out ``/Task/Kill``."""
    task = _get_task(service, fields, now, account)
    if task.has_ended(now):
        raise Refused(kill_refused("task is already completed"))
    if task.status(now) in _NOT_KILLABLE:
        raise Refused(kill_refused("task is not assigned yet"))
    if task.script.kill == "refused":
        raise Refused(kill_refused("try again later"))
    at = now + task.script.kill_seconds
    # A kill can only lose the race to an end; one that takes longer than the task has left does so.
    if task.ends_at is None or (task.script.kill != "loses" and at <= task.ends_at):
        course = cut_short(task.timeline, "task_cancel", now=now, at=at)
        task = service.tasks.set_course(task, course, is_killed=True)
    return _settled(service, task, now)


def delete_files(
    service: Service, fields: Mapping[str, Any], now: float, account: str
) -> dict[str, Any]:
    """Carry out ``/Task/InputOutputDelete``."""
    task = _get_task(service, fields, now, account)
    if not task.has_ended(now):
        raise Refused(NOT_ENDED)
    service.uploads.delete_of_task(task.number)
    service.tasks.set_deleted(task, now)
    return {}


def whole_number(value: object, default: int) -> int:
    """Return a number that may have been sent as text.

    Raises:
        Refused: it is not a whole number, or is negative.
    """
    if value in (None, ""):
        return default
    try:
        wanted = int(str(value))
    except ValueError:
        raise Refused(INVALID_BODY) from None
    if wanted < 0:
        raise Refused(INVALID_BODY)
    return wanted


def _settled(service: Service, task: Task, now: float) -> dict[str, Any]:
    service.settle(now)
    service.clock.wake_all()
    return _one(service, service.tasks.find(str(task.number)) or task, now)


def _one(service: Service, task: Task, now: float) -> dict[str, Any]:
    return {
        "total": number(1, service.settings.dialect),
        "tasklist": [service.show(task, now)],
    }


def _get_task(service: Service, fields: Mapping[str, Any], now: float, account: str) -> Task:
    task_id = fields.get("taskid")
    token = fields.get("tasktoken") or fields.get("socketaccesstoken")
    if not task_id and not token:
        raise Refused(TASK_IDENTIFIER_REQUIRED)
    task = service.tasks.find(str(task_id)) if task_id else service.tasks.find_by_token(str(token))
    if task is None or task.visible_at > now or task.account != account:
        raise Refused(TASK_NOT_FOUND)
    return task


def _wanted_page(fields: Mapping[str, Any]) -> PageWanted:
    return PageWanted(
        order="ASC" if str(fields.get("order", "DESC")).upper() == "ASC" else "DESC",
        start=whole_number(fields.get("start"), 0),
        limit=min(_LARGEST_LIMIT, whole_number(fields.get("limit"), _DEFAULT_LIMIT)),
    )


def _wanted_slugs(service: Service, name: object, now: float) -> list[str] | None:
    """Return the models that a filter means: by slug, by its second half, or by title."""
    if not name:
        return None
    wanted = str(name).lower()
    return [
        model.slug
        for model in service.models.at(now)
        if wanted in (model.slug, model.project, model.title.lower())
    ]
