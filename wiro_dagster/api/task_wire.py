"""Wiro's tasks, translated into `Task`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wiro_dagster.api.bounds import (
    find_id,
    find_length,
    find_money,
    find_size,
    find_stated_amount,
    find_time,
    find_word,
    read_printed,
    read_word,
)
from wiro_dagster.api.types import OutputFile, Task, TaskPage, TaskState
from wiro_dagster.api.wire import (
    find_list,
    find_name,
    find_object,
    find_text,
    find_whole,
    read_objects,
    read_slug,
    read_text,
)

_CALLBACK_INPUTS = ("callbackUrl", "callbackurl")
_OPTION_INPUTS = frozenset({*_CALLBACK_INPUTS, "projectid"})
"""Sent beside the inputs, and echoed among them."""

_TRANSLATED_FIELDS = frozenset(
    {
        "id",
        "status",
        "pexit",
        "parameters",
        "outputs",
        "totalcost",
        "createtime",
        "starttime",
        "endtime",
        "elapsedseconds",
        "debugerror",
        "debugoutput",
        "callbackurl",
        "modelslugowner",
        "modelslugproject",
    }
)


def read_state(status: str, exit_code: str | None) -> TaskState:
    """Return what a status means.

    Only `TERMINAL_STATUSES` are final. Anything else, `task_error` and words never seen before
    included, is a task that may still run and be billed.
    """
    if status == "task_cancel":
        # Decided by status first: cancelled tasks have been shown with exit code "0".
        return "cancelled"
    if status == "task_postprocess_end":
        # Without an exit code nobody can say how it ended: the caller reads it again.
        return "running" if exit_code is None else _read_end(exit_code)
    return "queued" if status == "task_queue" else "running"


def _read_end(exit_code: str) -> TaskState:
    return "succeeded" if exit_code == "0" else "failed"


def find_task(fields: Mapping[str, Any]) -> Task | None:
    """Return a task from its wire form; None if it has no usable id."""
    task_id = find_id(fields.get("id"))
    if task_id is None:
        return None
    sent = find_object(fields.get("parameters")) or {}
    callbacks = (fields.get("callbackurl"), *(sent.get(name) for name in _CALLBACK_INPUTS))
    status = read_word(fields.get("status"))
    exit_code = find_word(fields.get("pexit"))
    created_at = find_time(fields.get("createtime"))
    started_at = find_time(fields.get("starttime"))
    return Task(
        id=task_id,
        status=status,
        state=read_state(status, exit_code),
        exit_code=exit_code,
        inputs={name: value for name, value in sent.items() if name not in _OPTION_INPUTS},
        outputs=read_outputs(fields.get("outputs")),
        cost_usd=find_money(fields.get("totalcost")),
        stated_cost=find_stated_amount(fields.get("totalcost")),
        created_at=created_at,
        started_at=started_at,
        ended_at=find_time(fields.get("endtime")),
        elapsed_seconds=find_length(fields.get("elapsedseconds")),
        queue_seconds=_read_span(created_at, started_at),
        debug_error=read_printed(fields.get("debugerror")),
        debug_output=read_printed(fields.get("debugoutput")),
        callback_url=next((url for url in map(find_name, callbacks) if url), None),
        model_slug=read_slug(fields.get("modelslugowner"), fields.get("modelslugproject")),
        token=read_text(fields.get("socketaccesstoken")),
        other_fields={
            name: value
            for name, value in fields.items()
            if name not in _TRANSLATED_FIELDS and "token" not in name.lower()
        },
    )


def read_page(fields: Mapping[str, Any], *, skipped: int = 0) -> TaskPage | None:
    """Return the tasks of an answer, in its order.

    Args:
        fields: of the answer.
        skipped: how many tasks come before it, in case it states no total.

    Returns:
        None if there is no list of tasks, or nothing in it is one. That is not the same as an
        empty list, which says that there are none.
    """
    items = find_list(fields.get("tasklist"))
    if items is None:
        return None
    found = (find_task(item) for item in read_objects(items))
    tasks = tuple(task for task in found if task is not None)
    if items and not tasks:
        return None
    total = find_whole(fields.get("total"))
    return TaskPage(
        total=skipped + len(items) if total is None else total,
        tasks=tasks,
        unreadable=len(items) - len(tasks),
    )


def read_outputs(value: Any) -> tuple[OutputFile, ...]:
    """Return the results of a task, in their order; those with neither URL nor text left out."""
    outputs = (_read_output(item) for item in read_objects(value))
    return tuple(item for item in outputs if item.url is not None or item.content is not None)


def _read_output(fields: Mapping[str, Any]) -> OutputFile:
    return OutputFile(
        id=find_id(fields.get("id")),
        name=read_word(fields.get("name")),
        url=find_name(fields.get("url")),
        content_type=find_word(fields.get("contenttype")),
        size_bytes=find_size(fields.get("size")),
        content=_find_content(fields.get("content")),
    )


def _find_content(value: Any) -> str | None:
    """Text of a language model; anything structured is kept as JSON text."""
    if not isinstance(value, (dict, list)):
        return find_text(value)
    try:
        return json.dumps(value, ensure_ascii=True)
    except RecursionError:
        return None


def _read_span(start: float | None, end: float | None) -> float | None:
    if start is None or end is None:
        return None
    return max(0.0, end - start)
