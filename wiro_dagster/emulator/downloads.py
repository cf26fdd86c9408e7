"""The files' host: outputs and uploads, open to anyone with their URL, and its faults."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from wiro_dagster.emulator.broken_answers import RawAnswer, html_page, raw_http
from wiro_dagster.emulator.faults import FILE_ENDPOINT, Fault
from wiro_dagster.emulator.journal import Entry
from wiro_dagster.emulator.media import Media
from wiro_dagster.emulator.output_urls import is_open
from wiro_dagster.emulator.outputs import OutputPlan
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.task import Task

_API_HEADERS = ("x-api-key", "x-signature", "x-nonce", "authorization")
_LEAK_NOTE = "API headers were sent to the files' host: a client must never do that"
# Redirects lead from localhost to this name, which clients see as a different host.
_OTHER_HOST_NAME = "127.0.0.1"
_NO_FAULT_MARK = "moved"


@dataclass(frozen=True)
class _Found:
    """An output that can be fetched now."""

    task: Task
    plan: OutputPlan


class Downloads:
    """Serves files.

    Args:
        service: the emulated service.
        media: makes the outputs.
    """

    def __init__(self, service: Service, media: Media) -> None:
        self._service = service
        self._media = media

    def app(self) -> Starlette:
        """Return the application for the files' port."""
        methods = ["GET", "HEAD"]
        return Starlette(
            routes=[
                Route("/uploads/{upload_id}/{name}", self.send_upload, methods=methods),
                Route("/{output}/{name}", self.send_output, methods=methods),
            ]
        )

    async def send_upload(self, request: Request) -> ASGIApp:
        """Return a file that a caller sent."""
        upload = self._service.uploads.find(request.path_params["upload_id"])
        if upload is None or upload.name != request.path_params["name"]:
            return _page(404, "404 Not Found")
        path = self._service.uploads.path(upload.id)
        return FileResponse(path, media_type=upload.content_type)

    async def send_output(self, request: Request) -> ASGIApp:
        """Return a file that a task made."""
        service = self._service
        service.settle(service.clock.now())
        found = self._find(request)
        fault = None
        if not isinstance(found, Response) and _NO_FAULT_MARK not in request.query_params:
            call = service.faults.count_call(FILE_ENDPOINT)
            inputs = json.dumps(found.task.parameters, ensure_ascii=False)
            text = f"{request.url.path} {found.task.number} {inputs}"
            fault = service.faults.take(FILE_ENDPOINT, "before", text, call, service.clock.now())
        answer, status = await self._answer(request, found, fault)
        self._note(request, found, fault, status)
        return answer

    def _find(self, request: Request) -> _Found | Response:
        service, now = self._service, self._service.clock.now()
        name = request.path_params["name"]
        task_uuid, _, index = request.path_params["output"].partition("-")
        task = service.tasks.find_by_uuid(task_uuid)
        plans = () if task is None else service.left_outputs(task, now)
        plan = next((p for p in plans if str(p.index) == index and p.name == name), None)
        if task is None or plan is None or plan.kind == "raw" or not service.has_file_of(task, now):
            return _page(404, "404 Not Found")
        is_over = now >= (service.expires_at(task) or now)
        if is_over or not is_open(task, request.query_params, service.settings, now):
            return _page(403, "403 Forbidden")
        return _Found(task, plan)

    async def _answer(
        self, request: Request, found: _Found | Response, fault: Fault | None
    ) -> tuple[ASGIApp, int | None]:
        if isinstance(found, Response):
            return found, found.status_code
        if fault is not None and fault.kind in _PAGES:
            status, title = _PAGES[fault.kind]
            return _page(status, title), status
        if fault is not None and fault.kind in ("file_redirect", "file_redirect_elsewhere"):
            return self._redirect(request, fault), 302
        content = await self._media.open(found.task, found.plan)
        if fault is not None:
            return _SPOILERS[fault.kind](content, found.plan.content_type, fault), None
        return _whole_or_part(request, content, found.plan.content_type)

    def _redirect(self, request: Request, fault: Fault) -> Response:
        target = request.url.include_query_params(**{_NO_FAULT_MARK: "1"})
        if fault.kind == "file_redirect_elsewhere":
            target = target.replace(hostname=_OTHER_HOST_NAME)
        return RedirectResponse(str(target), 302)

    def _note(
        self, request: Request, found: _Found | Response, fault: Fault | None, status: int | None
    ) -> None:
        is_leak = any(name in request.headers for name in _API_HEADERS)
        self._service.journal.add(
            Entry(
                kind="download",
                endpoint=str(request.path_params["name"]),
                at=self._service.clock.now(),
                http_status=status,
                fault=None if fault is None else f"{fault.kind} ({fault.origin})",
                task_id=None if isinstance(found, Response) else str(found.task.number),
                request={"method": request.method, "host": request.url.netloc},
                note=_LEAK_NOTE if is_leak else request.headers.get("user-agent"),
            )
        )


def _whole_or_part(
    request: Request, content: bytes, content_type: str
) -> tuple[ASGIApp, int | None]:
    """Return the file, or the part that a player asks for after a jump."""
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    headers = {"accept-ranges": "bytes"}
    if wanted is None:
        return Response(content, 200, headers, content_type), 200
    first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
    if first > last:
        headers["content-range"] = f"bytes */{len(content)}"
        return Response(b"", 416, headers), 416
    headers["content-range"] = f"bytes {first}-{last}/{len(content)}"
    return Response(content[first : last + 1], 206, headers, content_type), 206


def _page(status: int, title: str) -> Response:
    return Response(html_page(title), status, media_type="text/html")


_PAGES: Mapping[str, tuple[int, str]] = {
    "file_html": (200, "Please wait"),
    "file_not_found": (404, "404 Not Found"),
    "file_forbidden": (403, "403 Forbidden"),
    "file_http_500": (500, "500 Internal Server Error"),
}


def _drop(_content: bytes, _content_type: str, _fault: Fault) -> ASGIApp:
    return RawAnswer()


def _cut(content: bytes, content_type: str, _fault: Fault) -> ASGIApp:
    headers = {"content-type": content_type, "content-length": len(content)}
    return RawAnswer(raw_http("200 OK", headers, content[: len(content) // 2]))


def _short(content: bytes, content_type: str, _fault: Fault) -> ASGIApp:
    # Honest about its length, which is not the one that the task announced.
    return Response(content[: len(content) // 2], media_type=content_type)


def _long_length(content: bytes, content_type: str, _fault: Fault) -> ASGIApp:
    headers = {"content-type": content_type, "content-length": len(content) + 1000}
    return RawAnswer(raw_http("200 OK", headers, content))


def _short_length(content: bytes, content_type: str, _fault: Fault) -> ASGIApp:
    headers = {"content-type": content_type, "content-length": max(1, len(content) - 1000)}
    return RawAnswer(raw_http("200 OK", headers, content))


def _no_length(content: bytes, content_type: str, _fault: Fault) -> ASGIApp:
    return RawAnswer(raw_http("200 OK", {"content-type": content_type}, content))


def _no_length_cut(content: bytes, content_type: str, _fault: Fault) -> ASGIApp:
    half = content[: len(content) // 2]
    return RawAnswer(raw_http("200 OK", {"content-type": content_type}, half))


def _empty(_content: bytes, content_type: str, _fault: Fault) -> ASGIApp:
    return Response(b"", media_type=content_type)


def _garbage(content: bytes, content_type: str, _fault: Fault) -> ASGIApp:
    return Response(bytes(len(content)), media_type=content_type)


def _zero_length(content: bytes, content_type: str, _fault: Fault) -> ASGIApp:
    return RawAnswer(
        raw_http("200 OK", {"content-type": content_type, "content-length": 0}, content)
    )


def _wrong_type(content: bytes, _content_type: str, _fault: Fault) -> ASGIApp:
    return Response(content, media_type="application/octet-stream")


def _stall(content: bytes, content_type: str, fault: Fault) -> ASGIApp:
    headers = {"content-type": content_type, "content-length": len(content)}
    half = raw_http("200 OK", headers, content[: len(content) // 2])
    return RawAnswer(half, stall_seconds=fault.seconds)


_SPOILERS: Mapping[str, Callable[[bytes, str, Fault], ASGIApp]] = {
    "file_drop": _drop,
    "file_cut": _cut,
    "file_short": _short,
    "file_long_length": _long_length,
    "file_short_length": _short_length,
    "file_no_length": _no_length,
    "file_no_length_cut": _no_length_cut,
    "file_empty": _empty,
    "file_garbage": _garbage,
    "file_stall": _stall,
    "file_zero_length": _zero_length,
    "file_wrong_type": _wrong_type,
}
