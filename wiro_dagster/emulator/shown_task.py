"""Tasks and their outputs as the API shows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from wiro_dagster.emulator.catalogue import Model
from wiro_dagster.emulator.outputs import OutputPlan
from wiro_dagster.emulator.task import Task, result_of
from wiro_dagster.emulator.task_times import STATUS_OF_TIME
from wiro_dagster.emulator.wire import Display, money, number, stated_time


def show_task(
    task: Task,
    model: Model,
    outputs: Sequence[OutputPlan],
    *,
    now: float,
    display: Display,
    url_of: Callable[[OutputPlan], str],
    expires_at: float | None,
) -> dict[str, Any]:
    """Return a task as Task/Detail and Task/List show it."""
    dialect = display.dialect
    has_ended = task.has_ended(now)
    result = result_of(task) if has_ended else None
    return {
        "id": str(task.number),
        "uuid": task.uuid,
        "socketaccesstoken": task.token,
        "parameters": (
            json.dumps(task.parameters) if dialect == "alternate" else dict(task.parameters)
        ),
        "status": task.status(now),
        "pexit": result.exit_code if result else "",
        "debugoutput": debug_output(task, now),
        "debugerror": debug_error(task, now),
        "createtime": stated_time(task.created_at, display),
        **_times(task, now, display),
        "elapsedseconds": number(task.elapsed_seconds(now).quantize(Decimal("0.0001")), dialect),
        "cps": number(model.cost_per_second_usd or Decimal(0), dialect),
        "totalcost": money(task.cost_usd if has_ended else Decimal(0), dialect),
        "projectid": task.project_id or "",
        "modelid": model.number,
        "callbackurl": task.callback_url or "",
        "modelslugowner": model.owner,
        "modelslugproject": model.project,
        "categories": list(model.categories),
        "size": number(sum(plan.size_bytes for plan in outputs), dialect),
        "outputs": [
            show_output(task, plan, url_of(plan), display=display, expires_at=expires_at)
            for plan in outputs
        ],
        "refreshcount": "0",
        "shareinfo": {"ispublic": False, "views": "0"},
    }


def show_output(
    task: Task, plan: OutputPlan, url: str, *, display: Display, expires_at: float | None
) -> dict[str, Any]:
    """Return one output as the API shows it; a language model's holds its text."""
    if plan.kind == "raw":
        text = answer_text(plan.text)
        content: Any = text
        if display.dialect == "alternate":
            content = {"prompt": plan.text, "raw": text, "thinking": [], "answer": [text]}
        return {"contenttype": "raw", "content": content}
    added = stated_time(task.ends_at or task.created_at, display)
    return {
        "id": f"{task.uuid[:24]}{plan.index:08x}",
        "name": plan.name,
        "contenttype": plan.content_type,
        "parentid": task.uuid,
        "uuid": f"{task.uuid[8:]}{plan.index:08x}",
        "size": number(plan.size_bytes, display.dialect),
        "addedtime": added,
        "modifiedtime": added,
        "accesskey": task.uuid[:16],
        "expiretime": stated_time(expires_at, display),
        "url": url,
        "thumbnail": None,
    }


def answer_text(prompt: str) -> str:
    """Return what the emulated language model writes."""
    return f"You wrote {len(prompt)} characters: {prompt}"


def debug_output(task: Task, now: float) -> str:
    """Return what the model has written to stdout by now."""
    share = progress(task, now)
    if share is None:
        return ""
    lines = [f"step {step}/10" for step in range(1, int(share * 10) + 1)]
    return "\n".join(lines)


def debug_error(task: Task, now: float) -> str:
    """Return what the service says went wrong by now."""
    if task.has_ended(now):
        return result_of(task).error
    if task.status(now) == "task_error":
        return task.script.reason
    return ""


def progress(task: Task, now: float) -> float | None:
    """Return how far the model is, from 0 to 1; None before it starts."""
    started = task.reached("task_start", now)
    if started is None:
        return None
    full = next(
        (m.at for m in task.timeline if m.status in ("task_output_full", "task_end")),
        task.ends_at,
    )
    if full is None or full <= started:
        return 0.0
    return min(1.0, max(0.0, (now - started) / (full - started)))


def _times(task: Task, now: float, display: Display) -> dict[str, Any]:
    return {
        name: stated_time(task.reached(status, now), display)
        for name, status in STATUS_OF_TIME.items()
    }
