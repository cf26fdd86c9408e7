"""The WebSocket and the callback: hints that make things faster, never the record."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.contract.case import case
from tests.contract.runs import HAILUO
from tests.contract.target import CHEAP_MODEL, Target
from tests.support.waiting import wait_until
from wiro_dagster.api.progress import ProgressEvent, follow_task

END = "task_postprocess_end"
_SECONDS = 20.0


@contextmanager
def time_passing(target: Target) -> Iterator[None]:
    """Lets the emulator's clock run once a socket listens; the real service needs no help."""
    emulator = target.emulator
    if emulator is None:
        yield
        return
    known = len(emulator.journal(kind="socket"))

    def resume() -> None:
        assert wait_until(lambda: len(emulator.journal(kind="socket")) > known)
        emulator.resume()

    resuming = threading.Thread(target=resume, daemon=True)
    resuming.start()
    yield
    resuming.join()
    emulator.freeze()


def read_frames(target: Target, token: str) -> list[Any]:
    """All frames of a task until the connection is closed, JSON parsed."""
    frames: list[Any] = []
    with connect(target.websocket_url) as socket:
        socket.send(json.dumps({"type": "task_info", "tasktoken": token}))
        try:
            while True:
                frame = socket.recv(timeout=_SECONDS)
                frames.append(frame if isinstance(frame, bytes) else json.loads(frame))
        except ConnectionClosed:
            return frames


def follow(target: Target, token: str) -> list[ProgressEvent]:
    deadline = time.time() + _SECONDS
    return list(follow_task(target.websocket_url, token, deadline=deadline, sleep=lambda _: None))


@case("WebSocket", "old frames: type, id, tasktoken, message, result; outputs at the end")
def _(target: Target) -> None:
    assert target.control
    run = target.run(CHEAP_MODEL)
    with time_passing(target):
        frames = read_frames(target, run["socketaccesstoken"])
    for frame in frames:
        assert frame.keys() >= {"type", "id", "tasktoken", "message", "result"}
        assert frame["tasktoken"] == run["socketaccesstoken"]
    assert frames[-1]["type"] == END
    assert frames[-1]["message"][0]["url"]
    assert "pexit" not in frames[-1]
    progress = [f["message"] for f in frames if isinstance(f["message"], dict)]
    assert all(isinstance(message["percentage"], str) for message in progress)
    assert progress


@case("WebSocket", "new frames: no token, success, terminal, exitCode; progress inside a text")
def _(target: Target) -> None:
    target.control.change_settings(socket_frames="new")
    run = target.run(CHEAP_MODEL)
    with time_passing(target):
        frames = read_frames(target, run["socketaccesstoken"])
    assert all("tasktoken" not in frame for frame in frames)
    last = frames[-1]
    assert (last["success"], last["terminal"], last["exitCode"]) == (True, True, 0)
    texts = [f["message"] for f in frames if f["type"] == "task_output"]
    assert any("progressGenerate" in text for text in texts if isinstance(text, str))


@case("WebSocket", "the client follows old and new frames to the end, with progress")
def _(target: Target) -> None:
    for shape in ("old", "new"):
        target.control.change_settings(socket_frames=shape)
        run = target.run(CHEAP_MODEL)
        with time_passing(target):
            events = follow(target, run["socketaccesstoken"])
        assert (events[-1].status, events[-1].is_last) == (END, True)
        percentages = [event.percentage for event in events if event.percentage is not None]
        assert percentages == sorted(percentages)
        assert percentages


@case("WebSocket", "task_error on the socket is noise: the task succeeds")
def _(target: Target) -> None:
    target.control.script_task(has_stderr=True)
    run = target.run(CHEAP_MODEL)
    with time_passing(target):
        events = follow(target, run["socketaccesstoken"])
    assert any(event.status == "task_error" for event in events)
    assert not any(event.is_last for event in events[:-1])
    assert target.client.get_task(run["taskid"]).state == "succeeded"


@case("WebSocket", "an early close: the client connects again")
def _(target: Target) -> None:
    target.control.script_task(socket="early_close")
    run = target.run(CHEAP_MODEL)
    with time_passing(target):
        events = follow(target, run["socketaccesstoken"])
    assert events[-1].is_last
    assert len(target.control.journal(kind="socket")) > 1


@case("WebSocket", "a late listener sees the last event only")
def _(target: Target) -> None:
    assert target.control
    ended = target.ended_task()
    frames = read_frames(target, ended["socketaccesstoken"])
    assert [frame["type"] for frame in frames] == [END]
    assert [event.is_last for event in follow(target, ended["socketaccesstoken"])] == [True]


@case("WebSocket", "binary frames and realtime events are passed over")
def _(target: Target) -> None:
    assert target.control
    run = target.run("emulator/realtime-voice")
    with time_passing(target):
        frames = read_frames(target, run["socketaccesstoken"])
    assert any(isinstance(frame, bytes) for frame in frames)
    other = target.run("emulator/realtime-voice")
    with time_passing(target):
        events = follow(target, other["socketaccesstoken"])
    statuses = {event.status for event in events}
    assert statuses >= {"task_stream_ready", "task_stream_end", "task_cost"}
    assert events[-1].is_last


@contextmanager
def receiving(*, refusals: int = 0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of callbacks: its URL, and the bodies that came; the first ones are refused."""
    bodies: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            bodies.append(
                {"path": self.path, "body": json.loads(self.rfile.read(length))},
            )
            self.send_response(503 if len(bodies) <= refusals else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook/3f9a2b1c44", bodies
        server.shutdown()


def _callbacks(target: Target, plan: str, *, count: int, refusals: int = 0) -> list[dict[str, Any]]:
    """The calls that come for one task until there are `count`, and for a moment after that."""
    target.control.script_task(callback=plan)
    with receiving(refusals=refusals) as (url, bodies):
        target.client.submit(HAILUO, {"prompt": "a fox"}, callback_url=url)
        deadline = time.monotonic() + (_SECONDS if count else 0.5)
        while time.monotonic() < deadline and (len(bodies) < count or not count):
            target.control.advance(20)
            time.sleep(0.05)
        target.control.advance(3600)
        time.sleep(0.2)
        return bodies


@case("callback", "one JSON POST to callbackUrl when the task ends")
def _(target: Target) -> None:
    (call,) = _callbacks(target, "once", count=1)
    assert call["path"] == "/hook/3f9a2b1c44"
    assert isinstance(call["body"], dict)


@case("callback", "sent again on any answer but 200")
def _(target: Target) -> None:
    assert len(_callbacks(target, "once", count=2, refusals=1)) > 1


@case("callback", "may come twice, late, early, never")
def _(target: Target) -> None:
    assert len(_callbacks(target, "twice", count=2)) > 1
    assert len(_callbacks(target, "late", count=1)) == 1
    assert len(_callbacks(target, "early", count=1)) >= 1
    assert _callbacks(target, "never", count=0) == []


@case("callback", "may be forged: Task/Detail has the truth")
def _(target: Target) -> None:
    target.control.script_task(callback="forged", outcome="fail")
    with receiving() as (url, bodies):
        submission = target.client.submit(HAILUO, {"prompt": "a fox"}, callback_url=url)
        deadline = time.monotonic() + _SECONDS
        while not _claims_success(bodies) and time.monotonic() < deadline:
            target.control.advance(20)
            time.sleep(0.05)
        assert _claims_success(bodies)
    target.control.advance(3600)
    assert target.client.get_task(submission.task_id).state == "failed"


def _claims_success(bodies: list[dict[str, Any]]) -> bool:
    return any(call["body"].get("pexit") == "0" for call in bodies)
