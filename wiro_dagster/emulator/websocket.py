"""The WebSocket: a task's events as they come due, in the older or the newer frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from wiro_dagster.emulator.journal import Entry
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.settings import SocketFrames
from wiro_dagster.emulator.shown_task import debug_output
from wiro_dagster.emulator.task import Task, result_of
from wiro_dagster.emulator.timeline import TERMINAL, Moment

_PROGRESS_STEPS = 5
_FRAMES_BEFORE_EARLY_CLOSE = 3
_UNKNOWN_TOKEN = 1008
_WARNING = "Warning: falling back to a slower kernel."


@dataclass(frozen=True)
class Event:
    """One frame, without the task's identity.

    Args:
        at: when it is due.
        type: a status.
        message: its content, None for life-cycle events.
        binary: raw bytes in place of JSON.
    """

    at: float
    type: str
    message: Any = None
    binary: bytes | None = None

    @property
    def key(self) -> tuple[float, str, str]:
        """Tells events of one task apart, also after its course has been changed."""
        return self.at, self.type, json.dumps(self.message)[:40] if self.binary is None else "b"


class Sockets:
    """Serves ``/v1`` over WebSocket.

    Args:
        service: the emulated service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def serve(self, socket: WebSocket) -> None:
        """Follow one task until it ends or the listener leaves."""
        await socket.accept()
        try:
            task = self._find_task(await _receive_registration(socket))
            if task is None:
                await socket.send_json(
                    {"type": "error", "message": "task-not-founded", "result": False}
                )
                await socket.close(_UNKNOWN_TOKEN)
                return
            self._note(task)
            await self._follow(socket, task)
        except (WebSocketDisconnect, RuntimeError):
            return

    def _find_task(self, registration: Any) -> Task | None:
        if not isinstance(registration, dict) or registration.get("type") != "task_info":
            return None
        return self._service.tasks.find_by_token(str(registration.get("tasktoken")))

    async def _follow(self, socket: WebSocket, task: Task) -> None:
        plan = task.script.socket
        if plan == "refused":
            await socket.close()
            return
        gone = asyncio.create_task(_until_gone(socket))
        try:
            await self._send_events(socket, task, gone)
        finally:
            gone.cancel()

    async def _send_events(self, socket: WebSocket, task: Task, gone: asyncio.Task[None]) -> None:
        service, plan, count = self._service, task.script.socket, 0
        now, events = service.clock.now(), list_events(service, task)
        passed = [event for event in events if event.at <= now]
        # A late listener sees the last event only.
        sent = {event.key for event in passed[:-1]}
        while not gone.done():
            now, known = service.clock.now(), task
            service.settle(now)
            task = service.tasks.find(str(task.number)) or task
            if task is not known or task.has_ended(now):  # what it shows may have changed
                events = list_events(service, task)
            for event in events:
                if event.at > now or event.key in sent:
                    continue
                sent.add(event.key)
                if plan == "last_only" and event.type not in TERMINAL:
                    continue
                await self._send(socket, task, event)
                count += 1
                if plan == "early_close" and count == _FRAMES_BEFORE_EARLY_CLOSE:
                    await socket.close()
                    return
            if task.has_ended(now):
                await socket.close()
                return
            upcoming = min((event.at for event in events if event.at > now), default=None)
            waiting = asyncio.create_task(service.clock.wait(upcoming))
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()

    async def _send(self, socket: WebSocket, task: Task, event: Event) -> None:
        if event.binary is not None:
            await socket.send_bytes(event.binary)
            return
        shown = frame(task, event, self._service.settings.socket_frames)
        # Escaped, as overrides may hold what UTF-8 cannot.
        await socket.send_text(json.dumps(shown))

    def _note(self, task: Task) -> None:
        now = self._service.clock.now()
        self._service.journal.add(
            Entry(
                kind="socket",
                endpoint="task_info",
                at=now,
                task_id=str(task.number),
                note=f"a listener came at {task.status(now)}",
            )
        )


def frame(task: Task, event: Event, frames: SocketFrames) -> dict[str, Any]:
    """Return an event's frame; the newer shape drops the token and ends with the result."""
    if frames == "old":
        return {
            "type": event.type,
            "id": str(task.number),
            "tasktoken": task.token,
            "message": event.message,
            "result": True,
        }
    # Progress may come as JSON inside a string there.
    message = json.dumps(event.message) if isinstance(event.message, dict) else event.message
    shown = {"type": event.type, "id": str(task.number), "message": message, "result": True}
    if event.type in TERMINAL:
        result = result_of(task)
        is_success = event.type == "task_postprocess_end" and result.exit_code == "0"
        shown |= {"success": is_success, "terminal": True, "exitCode": int(result.exit_code or 1)}
    return shown


def list_events(service: Service, task: Task) -> list[Event]:
    """Return all events of a task, the coming ones included, in order."""
    events = [
        event for index in range(len(task.timeline)) for event in _events_from(service, task, index)
    ]
    return sorted(events, key=lambda event: event.at)


def _events_from(service: Service, task: Task, index: int) -> Iterator[Event]:
    moment = task.timeline[index]
    following = task.timeline[index + 1] if index + 1 < len(task.timeline) else None
    if moment.status in TERMINAL:
        yield Event(moment.at, moment.status, _last_message(service, task, moment))
        return
    if moment.status == "task_end" and (task.script.has_stderr or task.script.fails):
        yield Event(moment.at, "task_error_full", _stderr(task))
    if moment.status == "task_output_full":
        yield Event(moment.at, moment.status, debug_output(task, moment.at))
        return
    message = task.script.reason if moment.status == "task_error" else None
    if moment.status == "task_output":
        message = "model is running"
    yield Event(moment.at, moment.status, message)
    if moment.status == "task_output" and following is not None:
        yield from _progress_events(moment.at, following.at - moment.at)
        if task.script.has_stderr or task.script.fails:
            yield Event(moment.at + 0.45 * (following.at - moment.at), "task_error", _stderr(task))
    if moment.status == "task_start" and service.model_of(task).output.get("is_realtime"):
        yield Event(moment.at, "task_stream_ready")
        yield Event(moment.at, "binary", binary=bytes(320))
        yield Event(moment.at, "task_cost", str(service.cost_of(task)))
        yield Event(moment.at, "task_stream_end")


def _progress_events(start: float, seconds: float) -> Iterator[Event]:
    for step in range(1, _PROGRESS_STEPS + 1):
        elapsed = seconds * step / (_PROGRESS_STEPS + 1)
        message = {
            "type": "progressGenerate",
            "task": "Generate",
            "percentage": str(100 * step // _PROGRESS_STEPS),
            "stepCurrent": str(step),
            "stepTotal": str(_PROGRESS_STEPS),
            "speed": "1.00",
            "speedType": "it/s",
            "elapsedTime": f"{elapsed:.1f}",
            "remainingTime": f"{max(0.0, seconds - elapsed):.1f}",
        }
        yield Event(start + elapsed, "task_output", message)


def _stderr(task: Task) -> str:
    return task.script.reason if task.script.fails else _WARNING


def _last_message(service: Service, task: Task, end: Moment) -> Any:
    if end.status == "task_cancel":
        return None
    return service.show(task, end.at).get("outputs")


async def _receive_registration(socket: WebSocket) -> Any:
    try:
        return await socket.receive_json()
    except (ValueError, KeyError):
        return None


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
