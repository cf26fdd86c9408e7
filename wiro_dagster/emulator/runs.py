"""Accepting a Run: the one call that creates something billable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wiro_dagster.emulator.account import MINIMUM_BALANCE_USD, concurrency_limit
from wiro_dagster.emulator.catalogue import Model
from wiro_dagster.emulator.refusals import (
    INSUFFICIENT_BALANCE,
    INVALID_BODY,
    MODEL_NOT_ACCESSIBLE,
    MODEL_NOT_FOUND,
    SIGN_IN_REQUIRED,
    Refusal,
    Refused,
)
from wiro_dagster.emulator.refusals import concurrency_limit as over_limit
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.task import Task, make_token, make_uuid
from wiro_dagster.emulator.task_script import (
    ONCE_MARKER,
    TaskScript,
    find_markers,
    script_from_json,
)
from wiro_dagster.emulator.uploads import SentFile
from wiro_dagster.emulator.validation import check_inputs, files_of
from wiro_dagster.emulator.worlds.companions import add_companions, course_of, keep_new
from wiro_dagster.emulator.worlds.overrides import apply_fields
from wiro_dagster.emulator.worlds.tasks import merge_scripts

# Fields of the request that are not inputs of the model.
_NOT_INPUTS = ("callbackUrl", "projectid")
_ACCESS_REFUSALS: Mapping[str, Refusal] = {
    "private": MODEL_NOT_ACCESSIBLE,
    "members": SIGN_IN_REQUIRED,
}


def run_model(
    service: Service, slug: str, fields: Mapping[str, Any], now: float, account: str
) -> dict[str, Any]:
    """Carry out ``/Run/{owner}/{model}``.

    Args:
        service: the emulated service.
        slug: ``owner/model``.
        fields: the request's fields; a SentFile for each file.
        now: the time of the call.
        account: pays for it.

    Raises:
        Refused: nothing was created.
    """
    model = service.models.at(now).find(slug)
    if model is None:
        raise Refused(MODEL_NOT_FOUND)
    refusal = _ACCESS_REFUSALS.get(str(model.entry.get("access")))
    if refusal is not None:
        raise Refused(refusal)
    inputs = {name: value for name, value in fields.items() if name not in _NOT_INPUTS}
    callback_url = fields.get("callbackUrl") or None
    if callback_url is not None and not isinstance(callback_url, str):
        raise Refused(INVALID_BODY)
    check_inputs(model, inputs)
    _check_account(service, account)
    with service.state.transaction():
        task = _create(service, model, inputs, callback_url, fields.get("projectid"), now, account)
        add_companions(service, task)
    service.clock.wake_planner()
    answer = {"taskid": str(task.number), "socketaccesstoken": task.token}
    for override in task.script.overrides:
        if override.calls == "run":
            answer = apply_fields(answer, override)
    return answer


def _check_account(service: Service, account: str) -> None:
    balance = service.account_of(account).balance_usd
    if balance < MINIMUM_BALANCE_USD:
        raise Refused(INSUFFICIENT_BALANCE)
    limit = concurrency_limit(balance)
    if limit is not None and service.tasks.count_live(account) >= limit:
        raise Refused(over_limit(balance, limit))


def _create(
    service: Service,
    model: Model,
    inputs: Mapping[str, Any],
    callback_url: str | None,
    project_id: object,
    now: float,
    account: str,
) -> Task:
    number = service.tasks.next_number()
    echoed, files = _keep_files(service, model, inputs, number, now)
    script = _choose_script(service, model, echoed, number)
    task = Task(
        number=number,
        uuid=make_uuid(),
        token=make_token(),
        slug=model.slug,
        parameters=echoed,
        input_files=files,
        callback_url=callback_url,
        project_id=None if project_id is None else str(project_id),
        created_at=now,
        script=script,
        edition=service.models.edition(now),
        account=account,
        **course_of(service, script, now),
    )
    keep_new(service, task)
    return task


def apply_script(service: Service, task: Task, script: TaskScript) -> Task:
    """Make a task run as the script says, counted from the time of its Run."""
    course = course_of(service, script, task.created_at)
    timeline = course.pop("timeline")
    return service.tasks.set_course(service.tasks.set_script(task, script, **course), timeline)


def _choose_script(
    service: Service, model: Model, inputs: Mapping[str, Any], number: int
) -> TaskScript:
    """Merge what chance, the markers in the prompt and scripts want, the last one winning."""
    fields = merge_scripts(
        service.worlds.draw_task_script(number), service.faults.draw_task_script(number)
    )
    if service.settings.prompt_markers:
        for value in inputs.values():
            if isinstance(value, str) and not _is_spent(service, value):
                fields = merge_scripts(fields, find_markers(value))
    text = f"{model.slug} {json.dumps(inputs, ensure_ascii=False)}"
    return script_from_json(merge_scripts(fields, service.scripts.take(text)))


def _is_spent(service: Service, text: str) -> bool:
    """Whether the markers of a text were for its first Run only, and that has been."""
    return ONCE_MARKER in text.lower() and service.tasks.has_value(text)


def _keep_files(
    service: Service, model: Model, inputs: Mapping[str, Any], number: int, now: float
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the inputs with URLs in place of files, and the URLs of each file input."""

    def keep(value: Any) -> Any:
        if isinstance(value, SentFile):
            upload = service.uploads.add(value, now=now, task_number=number)
            return f"{service.settings.files_url}{upload.url_path()}"
        return [keep(item) for item in value] if isinstance(value, list) else value

    echoed = {
        name: "" if isinstance(value, SentFile) and not value.name else keep(value)
        for name, value in inputs.items()
    }
    # A model without a schema may be given files under any name.
    names = model.file_inputs or [
        name for name, value in inputs.items() if isinstance(value, SentFile)
    ]
    files = {
        name: [url for url in files_of(echoed, name) if isinstance(url, str)] for name in names
    }
    return echoed, {name: urls for name, urls in files.items() if urls}
