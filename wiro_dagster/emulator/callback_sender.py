"""Posts to callback URLs, and bills tasks as they end: what happens without a caller."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from wiro_dagster.emulator.callbacks import CallbackKind, DueCallback
from wiro_dagster.emulator.journal import Entry, redact_url
from wiro_dagster.emulator.local_hosts import is_reachable
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.task import Task

_TIMEOUT_SECONDS = 5.0
_HTTP_OK = 200
_HUGE_BYTES = 4 * 1024 * 1024
_FORGED_FILE_URL = "https://files.example.invalid/forged.mp4"


async def follow_clock(service: Service) -> None:
    """Settle ended tasks and send due callbacks for as long as the emulator runs."""
    under_way: set[asyncio.Task[None]] = set()
    while True:
        now = service.clock.now()
        service.settle(now)
        for due in service.callbacks.take_due(now):
            sending = asyncio.create_task(_send(service, due))
            under_way.add(sending)
            sending.add_done_callback(under_way.discard)
        moments = (service.tasks.next_end(), service.callbacks.next_due())
        next_at = min((at for at in moments if at is not None), default=None)
        await service.clock.wait(next_at, plans=True)


async def _send(service: Service, due: DueCallback) -> None:
    task = service.tasks.find(str(due.task_number))
    if task is None or not task.callback_url:
        return
    url = _forged_url(task.callback_url) if due.kind == "forged_url" else task.callback_url
    if not is_reachable(url, service.settings.callback_hosts):
        _note(service, task, due, None, "not sent: only hosts of this machine are called")
        return
    body = _body(service, task, due)
    status, problem = await asyncio.to_thread(_call, url, _encode(due.kind, body))
    _note(service, task, due, status, problem, body)
    if status != _HTTP_OK and due.kind in ("end", "early"):
        service.callbacks.plan_again(due, service.clock.now())
        service.clock.wake_planner()


def _body(service: Service, task: Task, due: DueCallback) -> dict[str, Any]:
    now = service.clock.now()
    shown = service.show(task, now)
    names = ("id", "status", "pexit", "totalcost", "elapsedseconds", "outputs")
    body = {"taskid": str(task.number), **{name: shown.get(name) for name in names}}
    if due.kind in ("forged", "forged_url"):
        # Claims what is not true: a receiver that believes it fetches a stranger's file.
        body |= {
            "status": "task_postprocess_end",
            "pexit": "0",
            "totalcost": "0",
            "outputs": [
                {"name": "0.mp4", "contenttype": "video/mp4", "size": "1", "url": _FORGED_FILE_URL}
            ],
        }
    return body


def _forged_url(url: str) -> str:
    """Return the URL with its last letter changed, as after a guess at the token."""
    return url[:-1] + ("0" if url[-1] != "0" else "1")


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        """Follow nothing: a redirect is an answer other than 200."""


def _opener() -> OpenerDirector:
    return build_opener(_NoRedirects)


def _encode(kind: CallbackKind, body: dict[str, Any]) -> bytes | None:
    """Return the bytes to send; None for a GET."""
    if kind == "get":
        return None
    if kind == "malformed":
        return b'{"taskid": \xff'
    text = json.dumps(body)
    return (text + " " * _HUGE_BYTES if kind == "huge" else text).encode()


def _call(url: str, body: bytes | None) -> tuple[int | None, str | None]:
    request = Request(
        url,
        data=body,
        headers={"content-type": "application/json", "user-agent": "wiro-dagster-emulator"},
    )
    try:
        with _opener().open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return int(answer.status), None
    except HTTPError as error:
        with error:
            return int(error.code), None
    except (OSError, ValueError) as error:
        return None, type(error).__name__


def _note(
    service: Service,
    task: Task,
    due: DueCallback,
    status: int | None,
    problem: str | None,
    body: dict[str, Any] | None = None,
) -> None:
    service.journal.add(
        Entry(
            kind="callback",
            endpoint=redact_url(task.callback_url or ""),
            at=service.clock.now(),
            http_status=status,
            task_id=str(task.number),
            request=body,
            answer={"kind": due.kind, "attempt": due.attempt},
            note=problem,
        )
    )
