"""What the emulator says by itself: WebSocket frames, old and new, and callbacks of every sort."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

from tests.support.emulator_calls import HAILUO, Caller
from tests.support.waiting import wait_until
from wiro_dagster.emulator import Emulator

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Caller:
    return Caller(wiro_emulator)


def join(caller: Caller, token: str) -> ClientConnection:
    socket = connect(caller.emulator.websocket_url, open_timeout=5, proxy=None)
    socket.send(json.dumps({"type": "task_info", "tasktoken": token}))
    return socket


def frames(socket: Connection) -> list[dict[str, Any]]:
    """Every frame until the emulator closes the connection."""
    return [json.loads(frame) for frame in socket if isinstance(frame, str)]


def follow(caller: Caller, **inputs: Any) -> list[dict[str, Any]]:
    """All frames of a task whose listener joins in the queue, on a clock moved past its end."""
    caller.emulator.freeze()
    run = caller.call(f"Run/{HAILUO}", **{"prompt": "a fox", **inputs})
    with join(caller, run["socketaccesstoken"]) as socket:
        first = json.loads(socket.recv(5))
        for _ in range(5):
            caller.emulator.advance(1)
        return [first, *frames(socket)]


def test_the_socket_tells_every_status_in_the_older_frames(caller: Caller) -> None:
    """Each has type, id, token, message and result; progress is an object of strings."""
    told = follow(caller)
    assert all(set(frame) == {"type", "id", "tasktoken", "message", "result"} for frame in told)
    types = list(dict.fromkeys(frame["type"] for frame in told))
    assert types[0] == "task_queue"
    assert types[-3:] == ["task_end", "task_postprocess_start", "task_postprocess_end"]
    progress = [f["message"] for f in told if isinstance(f["message"], dict)]
    assert [step["percentage"] for step in progress] == ["20", "40", "60", "80", "100"]
    assert progress[0]["type"] == "progressGenerate"
    assert next(f for f in told if f["type"] == "task_queue")["message"] is None
    assert told[-1]["message"][0]["name"] == "0.mp4"
    assert "pexit" not in told[-1]


def test_the_newer_frames_drop_the_token_and_tell_the_result(caller: Caller) -> None:
    """Success, terminal and an integer exit code come with the last; progress is text."""
    caller.emulator.change_settings(socket_frames="new")
    told = follow(caller)
    assert not any("tasktoken" in frame for frame in told)
    last = told[-1]
    assert (last["success"], last["terminal"], last["exitCode"]) == (True, True, 0)
    assert any('"progressGenerate"' in str(f["message"]) for f in told)


def test_an_error_on_the_socket_may_be_nothing_but_stderr(caller: Caller) -> None:
    """task_error and task_error_full come, and the task succeeds."""
    caller.emulator.script_task(has_stderr=True)
    types = [frame["type"] for frame in follow(caller)]
    assert {"task_error", "task_error_full"} <= set(types)
    assert types[-1] == "task_postprocess_end"


def test_a_late_listener_sees_the_last_event_only(caller: Caller) -> None:
    """Nothing is repeated; after the end it is the end alone."""
    run = caller.call(f"Run/{HAILUO}", prompt="a fox")
    caller.emulator.advance(60)
    with join(caller, run["socketaccesstoken"]) as socket:
        assert [frame["type"] for frame in frames(socket)] == ["task_postprocess_end"]


def test_a_cancelled_task_ends_its_socket(caller: Caller) -> None:
    """A listener hears of it at once."""
    caller.emulator.freeze()
    run = caller.call(f"Run/{HAILUO}", prompt="a fox")
    with join(caller, run["socketaccesstoken"]) as socket:
        socket.recv(5)
        caller.call("Task/Cancel", taskid=run["taskid"])
        assert [frame["type"] for frame in frames(socket)] == ["task_cancel"]


@pytest.mark.parametrize(
    ("plan", "types"),
    [
        ("early_close", 3),
        ("refused", 0),
        ("last_only", 1),
    ],
)
def test_a_socket_may_close_early_or_hold_back(caller: Caller, plan: str, types: int) -> None:
    """Nothing is promised about it: Task/Detail is the record."""
    caller.emulator.script_task(socket=plan)
    caller.emulator.freeze()
    run = caller.call(f"Run/{HAILUO}", prompt="a fox")
    with join(caller, run["socketaccesstoken"]) as socket:
        time.sleep(0.1)
        caller.emulator.advance(10)
        assert len(frames(socket)) == types


def test_a_realtime_model_sends_binary_frames(caller: Caller) -> None:
    """And its own events around them."""
    caller.emulator.freeze()
    run = caller.call("Run/emulator/realtime-voice", prompt="hello")
    with join(caller, run["socketaccesstoken"]) as socket:
        socket.recv(5)
        caller.emulator.advance(10)
        received = list(socket)
    assert any(isinstance(frame, bytes) for frame in received)
    types = [json.loads(frame)["type"] for frame in received if isinstance(frame, str)]
    assert {"task_stream_ready", "task_cost", "task_stream_end"} <= set(types)


def test_an_unknown_token_is_told_so(caller: Caller) -> None:
    """One frame, then the connection is closed."""
    with join(caller, "no such token") as socket:
        assert json.loads(socket.recv(5))["result"] is False
        with pytest.raises(ConnectionClosedError):
            socket.recv(5)


class Receiver:
    """A callback receiver that notes what comes and answers as told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.bodies: list[tuple[str, bytes]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"] or 0))
                receiver.bodies.append((self.command, body))
                if is_text_json(body):
                    receiver.calls.append((self.path, json.loads(body)))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_arguments: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/token-7"

    def wait_for(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        wait_until(lambda: len(self.calls) >= count)
        return self.calls


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_callback_comes_when_the_task_ends(caller: Caller, receiver: Receiver) -> None:
    """Once, as JSON, to the URL of the run, whether it succeeded or not; none without a URL."""
    task_id = caller.run("a fox [fail]", callbackUrl=receiver.url)
    caller.run("nobody waits for this")
    assert receiver.calls == []
    caller.emulator.advance(10)
    (call,) = receiver.wait_for(1)
    assert call[0] == "/hook/token-7"
    assert (call[1]["taskid"], call[1]["status"]) == (task_id, "task_postprocess_end")
    time.sleep(0.1)
    assert len(receiver.calls) == 1


def test_a_callback_is_sent_again_until_it_is_answered_with_200(
    caller: Caller, receiver: Receiver
) -> None:
    """A few tries, seconds apart, then no more."""
    receiver.statuses = [500, 302, 204, 503, 500]
    caller.run(callbackUrl=receiver.url)
    caller.emulator.advance(10)
    for count in (1, 2, 3):
        receiver.wait_for(count)
        wait_until(lambda n=count: len(caller.emulator.journal(kind="callback")) >= n)  # type: ignore[misc]
        caller.emulator.advance(2)
    assert len(receiver.wait_for(4)) == 4
    caller.emulator.advance(60)
    time.sleep(0.1)
    assert len(receiver.calls) == 4


@pytest.mark.parametrize(
    ("plan", "before_end", "at_end", "later"),
    [("twice", 0, 1, 2), ("late", 0, 0, 1), ("never", 0, 0, 0), ("early", 1, 2, 2)],
)
def test_a_callback_may_come_twice_late_early_or_never(
    caller: Caller, receiver: Receiver, plan: str, before_end: int, at_end: int, later: int
) -> None:
    """The script says when; an early one tells of a task that still runs."""
    caller.emulator.script_task(callback=plan, callback_late_seconds=30)
    caller.emulator.freeze()
    caller.run(callbackUrl=receiver.url)
    for seconds, count in ((1, before_end), (1, at_end), (60, later)):
        caller.emulator.advance(seconds)
        receiver.wait_for(count)
        time.sleep(0.1)
        assert len(receiver.calls) == count
    if plan == "early":
        assert receiver.calls[0][1]["status"] == "task_output"


def test_a_forged_callback_claims_what_is_not_true(caller: Caller, receiver: Receiver) -> None:
    """Success of a running task, a file of a stranger, and a URL with a guessed token."""
    caller.emulator.script_task(callback="forged", outcome="fail")
    caller.emulator.freeze()
    task_id = caller.run(callbackUrl=receiver.url)
    caller.emulator.advance(0.6)
    calls = receiver.wait_for(2)
    assert caller.detail(task_id)["status"] == "task_start"
    assert {path for path, _ in calls} == {"/hook/token-7", "/hook/token-0"}
    assert all(body["pexit"] == "0" for _, body in calls)
    caller.emulator.advance(10)
    assert receiver.wait_for(3)[2][1]["pexit"] == "1"


@pytest.mark.parametrize(
    ("plan", "method", "is_json", "is_huge"),
    [
        ("malformed", "POST", False, False),
        ("huge", "POST", True, True),
        ("get", "GET", False, False),
    ],
)
def test_a_callback_may_have_a_wrong_body_or_method(
    caller: Caller, receiver: Receiver, plan: str, method: str, *, is_json: bool, is_huge: bool
) -> None:
    """It comes once, at the end, whatever it is answered with."""
    caller.emulator.script_task(callback=plan)
    receiver.statuses = [500]
    caller.run(callbackUrl=receiver.url)
    caller.emulator.advance(10)
    wait_until(lambda: bool(receiver.bodies))
    caller.emulator.advance(10)
    ((told, body),) = receiver.bodies
    assert told == method
    assert (len(body) > 4_000_000) == is_huge
    assert is_text_json(body) == is_json


def is_text_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def test_callbacks_leave_this_machine_only_when_told(caller: Caller) -> None:
    """A test must not call strangers: the journal says that it was not sent."""
    caller.run(callbackUrl="https://example.org/hook")
    caller.emulator.advance(10)
    wait_until(lambda: bool(caller.emulator.journal(kind="callback")))
    (line,) = caller.emulator.journal(kind="callback")
    assert line["http_status"] is None
    assert "not sent" in line["note"]
