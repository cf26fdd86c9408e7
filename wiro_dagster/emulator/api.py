"""The REST door: authentication, bodies, faults and the journal around each call."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from wiro_dagster.emulator.auth import check_headers
from wiro_dagster.emulator.bodies import describe, read_fields
from wiro_dagster.emulator.broken_answers import IS_KEPT, RawAnswer, html_page
from wiro_dagster.emulator.faults import Fault, FaultMoment, covers
from wiro_dagster.emulator.journal import Entry
from wiro_dagster.emulator.json_answer import JsonAnswer
from wiro_dagster.emulator.other_calls import create_folder, list_tools, show_tool, upload_file
from wiro_dagster.emulator.refusals import (
    KEY_NOT_FOUND,
    TASK_NOT_FOUND,
    UNKNOWN_ENDPOINT,
    Refusal,
    Refused,
)
from wiro_dagster.emulator.runs import run_model
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.task_calls import (
    cancel_task,
    delete_files,
    kill_task,
    list_tasks,
    show_detail,
)
from wiro_dagster.emulator.wire import accepted, refused

Call = Callable[[Service, Mapping[str, Any], float, str], dict[str, Any]]

_CALLS: Mapping[str, Call] = {
    "Task/Detail": show_detail,
    "Task/List": list_tasks,
    "Task/Cancel": cancel_task,
    "Task/Kill": kill_task,
    "Task/InputOutputDelete": delete_files,
    "Tool/Detail": show_tool,
    "Tool/List": list_tools,
    "File/FolderCreate": create_folder,
    "File/Upload": upload_file,
}
_RUN_PARTS = 3
_LIBRARY_USER_AGENTS = ("python-requests", "python-urllib", "python-httpx", "aiohttp", "node-fetch")
_HTTP_FAULTS = {
    "http_500": (500, "500 Internal Server Error"),
    "http_502": (502, "502 Bad Gateway"),
    "http_503": (503, "503 Service Temporarily Unavailable"),
    "http_504": (504, "504 Gateway Time-out"),
    "html": (200, "Please wait"),
}
# A server fault that no list of validation texts knows.
_SERVER_FAULT = Refusal(0, "An unexpected error occurred.")
_REFUSALS = {"http_401": KEY_NOT_FOUND, "not_found": TASK_NOT_FOUND}


@dataclass
class _Answer:
    """What a call comes to, and what the journal shall say of it."""

    status: int
    body: dict[str, Any]
    fault: Fault | None = None


class Api:
    """Answers everything below ``/v1``.

    Args:
        service: the emulated service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def answer(self, request: Request) -> ASGIApp:
        """Carry one call out, or spoil it."""
        started = time.perf_counter()
        endpoint = str(request.path_params["endpoint"]).strip("/")
        if self._service.settings.refuse_default_user_agents and is_library_user_agent(
            request.headers.get("user-agent", "")
        ):
            return Response(html_page("403 Forbidden"), 403, media_type="text/html")
        fields, refusal = await _read(request)
        call = self._service.faults.count_call(endpoint)
        is_kept = request.scope.get(IS_KEPT, False)
        spoil = self._take(endpoint, "before", fields, call, is_kept=is_kept)
        if spoil and spoil.kind == "delay":
            await asyncio.sleep(spoil.seconds)
        elif spoil:
            broken = break_answer(spoil, self._service)
            self._note(request, endpoint, fields, _Answer(_status(broken), {}, spoil), started)
            return broken
        answer = self._carry_out(request, endpoint, fields, refusal)
        answer.fault = spoil
        if answer.body["result"]:
            late = self._take(endpoint, "after", fields, call, is_kept=is_kept)
            answer.fault = late or spoil
            if late and late.kind == "delay":
                await asyncio.sleep(late.seconds)
            elif late:
                broken = break_answer(late, self._service)
                answer.status = _status(broken)
                self._note(request, endpoint, fields, answer, started)
                return broken
        self._note(request, endpoint, fields, answer, started)
        return JsonAnswer(answer.body, answer.status)

    def _take(
        self,
        endpoint: str,
        moment: FaultMoment,
        fields: Mapping[str, Any],
        call: int,
        *,
        is_kept: bool,
    ) -> Fault | None:
        text = json.dumps(describe(fields), ensure_ascii=False)
        now = self._service.clock.now()
        fault = self._service.faults.take(endpoint, moment, text, call, now, is_kept=is_kept)
        return fault or self._world_fault(endpoint, moment, now)

    def _world_fault(self, endpoint: str, moment: FaultMoment, now: float) -> Fault | None:
        for world in self._service.worlds.active(now):
            if world.fault and world.moment == moment and covers(world.endpoint, endpoint):
                return Fault(world.fault, origin=f"world {world.name}")
        return None

    def _carry_out(
        self, request: Request, endpoint: str, fields: Mapping[str, Any], refusal: Refusal | None
    ) -> _Answer:
        service = self._service
        now = service.clock.now()
        service.settle(now)
        try:
            call = _find_call(request.method, endpoint)
            account = check_headers(service.keys, request.headers, now)
            if refusal is not None:
                raise Refused(refusal)
            return _Answer(200, accepted(call(service, fields, now, account)))
        except Refused as error:
            status, body = refused(error.refusal, service.settings.dialect)
            return _Answer(status, body)

    def _note(
        self,
        request: Request,
        endpoint: str,
        fields: Mapping[str, Any],
        answer: _Answer,
        started: float,
    ) -> None:
        fault = answer.fault
        task_id = fields.get("taskid") or answer.body.get("taskid") or _only_task(answer.body)
        self._service.journal.add(
            Entry(
                kind="call",
                endpoint=endpoint,
                at=self._service.clock.now(),
                http_status=answer.status or None,
                fault=None if fault is None else f"{fault.kind} ({fault.origin})",
                task_id=None if task_id is None else str(task_id),
                duration_ms=round((time.perf_counter() - started) * 1000, 3),
                request=describe(fields),
                answer=_brief(answer.body),
                note=request.headers.get("user-agent"),
            )
        )


async def _read(request: Request) -> tuple[dict[str, Any], Refusal | None]:
    try:
        return await read_fields(request), None
    except Refused as error:
        return {}, error.refusal


def _find_call(method: str, endpoint: str) -> Call:
    if method != "POST":
        raise Refused(UNKNOWN_ENDPOINT)
    parts = endpoint.split("/")
    if len(parts) == _RUN_PARTS and parts[0] == "Run":
        slug = f"{parts[1]}/{parts[2]}"
        return lambda service, fields, now, account: run_model(service, slug, fields, now, account)
    if endpoint not in _CALLS:
        raise Refused(UNKNOWN_ENDPOINT)
    return _CALLS[endpoint]


def _status(answer: ASGIApp) -> int:
    return answer.status_code if isinstance(answer, Response) else 0


def _only_task(body: Mapping[str, Any]) -> str | None:
    tasks = body.get("tasklist") or []
    return str(tasks[0].get("id")) if len(tasks) == 1 else None


def _brief(body: Mapping[str, Any]) -> Any:
    """Return the answer for the journal, with lists of tasks and models cut to their identity."""
    if "tasklist" in body:
        kept = ("id", "status", "pexit", "totalcost")
        tasks = [{name: task.get(name) for name in kept} for task in body["tasklist"]]
        return {**body, "tasklist": tasks}
    if "tool" in body:
        return {**body, "tool": [f"{t['slugowner']}/{t['slugproject']}" for t in body["tool"]]}
    return dict(body)


def is_library_user_agent(user_agent: str) -> bool:
    """Return whether a caller kept the user agent of its HTTP library."""
    return not user_agent or user_agent.lower().startswith(_LIBRARY_USER_AGENTS)


def break_answer(fault: Fault, service: Service) -> ASGIApp:
    """Return the answer that a fault of a call leaves."""
    if fault.kind in ("drop", "drop_kept", "reset"):
        return RawAnswer(is_reset=fault.kind == "reset")
    if fault.kind in _HTTP_FAULTS:
        status, title = _HTTP_FAULTS[fault.kind]
        return Response(html_page(title), status, media_type="text/html")
    if fault.kind == "broken_json":
        return Response(b'{"result": true, "errors": [], "ta', 200, media_type="application/json")
    if fault.kind == "empty":
        return Response(b"", 200)
    if fault.kind == "unrecognised":
        return JsonAnswer({"status": "ok"})
    if fault.kind == "rate_limited":
        headers = {} if fault.retry_after is None else {"retry-after": fault.retry_after}
        body = {"result": False, "errors": [{"code": 0, "message": "Too Many Requests"}]}
        return JsonAnswer(body, 429, headers)
    if fault.kind == "no_tasks":
        return JsonAnswer(accepted({"total": "0", "tasklist": []}))
    refusal = _REFUSALS.get(fault.kind, _SERVER_FAULT)
    status, envelope = refused(refusal, service.settings.dialect)
    return JsonAnswer(envelope, status)
