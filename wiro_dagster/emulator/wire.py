"""Puts answers on the wire: the envelope, and tasks and models as the API shows them.

The `alternate` dialect takes the other side of each contradiction between the documents: numbers
as numbers, objects as JSON strings, refusals with their own HTTP statuses, bare error strings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from wiro_dagster.emulator.catalogue import Model
from wiro_dagster.emulator.outputs import OutputPlan
from wiro_dagster.emulator.refusals import TASK_NOT_FOUND, TASK_NOT_FOUND_LIVE, Refusal
from wiro_dagster.emulator.settings import Dialect
from wiro_dagster.emulator.task import Task, result_of
from wiro_dagster.emulator.uploads import Upload

_ALTERNATE_STATUS = {0: 400, 1: 404}
# The task's time fields and the statuses they tell of.
_TIMES = {
    "accepttime": "task_accept",
    "preprocessstarttime": "task_preprocess_start",
    "preprocessendtime": "task_preprocess_end",
    "assigntime": "task_assign",
    "starttime": "task_start",
    "endtime": "task_end",
    "postprocessstarttime": "task_postprocess_start",
    "postprocessendtime": "task_postprocess_end",
    "canceltime": "task_cancel",
}


def accepted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The envelope of a call that was carried out."""
    return {"result": True, "errors": [], **fields, "servedby": "wiro-dagster emulator"}


def refused(refusal: Refusal, dialect: Dialect) -> tuple[int, dict[str, Any]]:
    """HTTP status and envelope of a refusal."""
    if dialect == "alternate":
        if refusal == TASK_NOT_FOUND:
            refusal = TASK_NOT_FOUND_LIVE
        status = refusal.http_status
        if status == 200:
            status = _ALTERNATE_STATUS.get(refusal.code, 200)
        # Some entries are bare strings: validation texts, which need no code to be understood.
        errors: list[Any] = (
            [refusal.message]
            if refusal.code == 0
            else [{"code": refusal.code, "message": refusal.message}]
        )
        return status, {"result": False, "errors": errors}
    error = {"code": refusal.code, "message": refusal.message}
    return refusal.http_status, {"result": False, "errors": [error]}


def number(value: Decimal | int, dialect: Dialect) -> str | int | float:
    """A number as this dialect writes it."""
    if dialect == "documents":
        return str(value)
    return int(value) if value == int(value) else float(value)


def show_task(
    task: Task,
    model: Model,
    outputs: Sequence[OutputPlan],
    *,
    now: float,
    dialect: Dialect,
    files_url: str,
    expires_at: float | None,
) -> dict[str, Any]:
    """A task as Task/Detail and Task/List show it."""
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
        "createtime": number(int(task.created_at), dialect),
        **_times(task, now, dialect),
        "elapsedseconds": number(task.elapsed_seconds(now).quantize(Decimal("0.0001")), dialect),
        "cps": number(model.cost_per_second_usd or Decimal(0), dialect),
        "totalcost": money(task.cost_usd if task.is_settled else Decimal(0), dialect),
        "projectid": task.project_id or "",
        "modelid": model.number,
        "callbackurl": task.callback_url or "",
        "modelslugowner": model.owner,
        "modelslugproject": model.project,
        "categories": list(model.categories),
        "size": number(sum(plan.size_bytes for plan in outputs), dialect),
        "outputs": [
            show_output(task, plan, dialect=dialect, files_url=files_url, expires_at=expires_at)
            for plan in outputs
        ],
        "refreshcount": "0",
        "shareinfo": {"ispublic": False, "views": "0"},
    }


def show_output(
    task: Task,
    plan: OutputPlan,
    *,
    dialect: Dialect,
    files_url: str,
    expires_at: float | None,
) -> dict[str, Any]:
    """One output as the API shows it; a language model's holds its text."""
    if plan.kind == "raw":
        text = answer_text(plan.text)
        content: Any = text
        if dialect == "alternate":
            content = {"prompt": plan.text, "raw": text, "thinking": [], "answer": [text]}
        return {"contenttype": "raw", "content": content}
    added = number(int(task.ends_at or task.created_at), dialect)
    return {
        "id": f"{task.uuid[:24]}{plan.index:08x}",
        "name": plan.name,
        "contenttype": plan.content_type,
        "parentid": task.uuid,
        "uuid": f"{task.uuid[8:]}{plan.index:08x}",
        "size": number(plan.size_bytes, dialect),
        "addedtime": added,
        "modifiedtime": added,
        "accesskey": task.uuid[:16],
        "expiretime": number(int(expires_at or 0), dialect),
        "url": f"{files_url}{output_path(task, plan)}",
        "thumbnail": None,
    }


def output_path(task: Task, plan: OutputPlan) -> str:
    """The path of an output on the files' host."""
    return f"/{task.uuid}-{plan.index}/{plan.name}"


def answer_text(prompt: str) -> str:
    """What the emulated language model writes."""
    return f"You wrote {len(prompt)} characters: {prompt}"


def debug_output(task: Task, now: float) -> str:
    """What the model has written to stdout by now."""
    share = progress(task, now)
    if share is None:
        return ""
    lines = [f"step {step}/10" for step in range(1, int(share * 10) + 1)]
    return "\n".join(lines)


def debug_error(task: Task, now: float) -> str:
    """What went wrong by now, as far as the service tells."""
    if task.has_ended(now):
        return result_of(task).error
    if task.status(now) == "task_error":
        return task.script.reason
    return ""


def progress(task: Task, now: float) -> float | None:
    """How far the model is, from 0 to 1; None before it starts."""
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


def money(amount: Decimal, dialect: Dialect) -> str | float:
    """An amount in USD as this dialect writes it."""
    if dialect == "alternate":
        return float(amount)
    return f"{amount:.12f}" if amount else "0"


def _times(task: Task, now: float, dialect: Dialect) -> dict[str, Any]:
    times: dict[str, Any] = {}
    for name, status in _TIMES.items():
        at = task.reached(status, now)
        times[name] = number(int(at or 0), dialect)
    return times


def show_model(model: Model, *, dialect: Dialect, is_summary: bool) -> dict[str, Any]:
    """A model as Tool/Detail and, shorter, Tool/List show it."""
    entry = model.entry
    shown = {
        "id": model.number,
        "title": model.title,
        "slugowner": model.owner,
        "slugproject": model.project,
        "cleanslugowner": model.owner,
        "cleanslugproject": model.project,
        "description": entry.get("description", ""),
        "categories": list(model.categories),
        "tags": [],
        "marketplace": 1,
        "computingtime": entry.get("computingtime"),
        "approximatelycost": entry.get("approximatelycost"),
        "cps": entry.get("cps"),
        "dynamicprice": _show_prices(entry, dialect),
        "taskstat": {"runcount": "0", "successcount": "0", "errorcount": "0"},
    }
    if not is_summary:
        parameters = entry.get("parameters")
        is_text = dialect == "alternate" and parameters is not None
        shown["parameters"] = json.dumps(parameters) if is_text else parameters
        shown["readme"] = entry.get("description", "")
        shown["inspire"] = []
        shown["samples"] = []
    return shown


def _show_prices(entry: Mapping[str, Any], dialect: Dialect) -> Any:
    prices = entry.get("dynamicprice")
    as_list = bool(entry.get("price_as_list")) != (dialect == "alternate")
    return json.dumps(prices) if isinstance(prices, list) and not as_list else prices


def show_upload(upload: Upload, *, dialect: Dialect, files_url: str) -> dict[str, Any]:
    """A kept file as File/Upload shows it."""
    return {
        "id": upload.id,
        "name": upload.name,
        "contenttype": upload.content_type,
        "parentid": upload.folder_id or "root",
        "size": number(upload.size_bytes, dialect),
        "isfolder": False,
        "addedtime": number(int(upload.added_at), dialect),
        "accesskey": upload.id[:16],
        "url": f"{files_url}{upload.url_path()}",
    }
