"""A task's events over a real WebSocket: a hint that survives whatever happens to it."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import WebSocketException
from websockets.sync.server import ServerConnection, serve

from tests.api.test_server import TOKEN
from tests.support.ports import free_port
from wiro_dagster.api.progress import ProgressEvent, find_event, follow_task
from wiro_dagster.errors import ConfigurationError

Handler = Callable[[ServerConnection], None]


@contextmanager
def listening(*handlers: Handler) -> Iterator[str]:
    """Serve each connection with the next handler, the last one from then on."""
    waiting = list(handlers)

    def answer(connection: ServerConnection) -> None:
        assert json.loads(connection.recv()) == {"type": "task_info", "tasktoken": TOKEN}
        (waiting.pop(0) if len(waiting) > 1 else waiting[0])(connection)

    with serve(answer, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1"
        server.shutdown()


def send(*frames: Any) -> Handler:
    """Return a handler that sends these frames and closes."""

    def handle(connection: ServerConnection) -> None:
        for frame in frames:
            connection.send(frame if isinstance(frame, (str, bytes)) else json.dumps(frame))

    return handle


def follow(url: str, seconds: float = 30.0) -> list[ProgressEvent]:
    """Return the events until the last one, or until so many seconds have passed."""
    pauses: list[float] = []
    deadline = time.monotonic() + seconds
    return list(
        follow_task(url, TOKEN, deadline=deadline, clock=time.monotonic, sleep=pauses.append)
    )


PROGRESS = {"type": "progressGenerate", "percentage": "42.5", "stepCurrent": "4"}


def test_old_frames_are_followed_to_the_last_one() -> None:
    """Life-cycle events, printed text and progress, and the end with its outputs."""
    with listening(
        send(
            {"type": "task_queue", "tasktoken": TOKEN, "message": None, "result": True},
            {"type": "task_output", "tasktoken": TOKEN, "message": "step\n1"},
            {"type": "task_output", "tasktoken": TOKEN, "message": PROGRESS},
            {"type": "task_error", "tasktoken": TOKEN, "message": "warning"},
            {"type": "task_end", "tasktoken": TOKEN, "message": None},
            {"type": "task_postprocess_end", "tasktoken": TOKEN, "message": [{"url": "u"}]},
            {"type": "task_after_the_end"},
        )
    ) as url:
        events = follow(url)
    assert events == [
        ProgressEvent("task_queue", None, None, False),
        ProgressEvent("task_output", None, "step 1", False),
        ProgressEvent("task_output", 42.5, None, False),
        ProgressEvent("task_error", None, "warning", False),
        ProgressEvent("task_end", None, None, False),
        ProgressEvent("task_postprocess_end", None, None, True),
    ]


def test_new_frames_are_followed_to_the_last_one() -> None:
    """No token, progress as JSON inside a string, and a last frame that says so."""
    with listening(
        send(
            b"\x00binary",
            "not json",
            "[]",
            {"message": "no type"},
            {"type": "task_output", "tasktoken": "another task"},
            {"type": "task_output", "message": json.dumps(PROGRESS)},
            {"type": "task_finished", "success": False, "terminal": True, "exitCode": 1},
        )
    ) as url:
        events = follow(url)
    assert events == [
        ProgressEvent("task_output", 42.5, None, False),
        ProgressEvent("task_finished", None, None, True),
    ]


def test_a_connection_that_breaks_is_made_again() -> None:
    """Events go on after an early close, and after one without any frame."""

    def abort(connection: ServerConnection) -> None:
        connection.socket.shutdown(socket.SHUT_RDWR)

    with listening(
        send({"type": "task_start"}), abort, send(), send({"type": "task_cancel"})
    ) as url:
        events = follow(url)
    assert [event.status for event in events] == ["task_start", "task_cancel"]


def test_a_silent_task_is_followed_until_the_deadline() -> None:
    """Every wait has an end."""

    def stay_silent(connection: ServerConnection) -> None:
        with suppress(WebSocketException, TimeoutError):
            connection.recv(timeout=3)

    with listening(stay_silent) as url:
        assert follow(url, seconds=0.3) == []


def test_a_server_that_is_not_there_gives_no_events() -> None:
    """Attempts are spaced further and further apart, and none goes past the deadline."""
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    url = f"ws://127.0.0.1:{free_port()}/v1"
    assert list(follow_task(url, TOKEN, deadline=40.0, clock=lambda: now[0], sleep=sleep)) == []
    assert pauses == [1.0, 2.0, 4.0, 8.0, 15.0, 10.0]


def test_the_token_does_not_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at debug level, where whole frames would be logged."""
    with listening(send({"type": "task_cancel"})) as url, caplog.at_level(logging.DEBUG, ""):
        follow(url)
    ours = [record for record in caplog.records if record.name != "websockets.server"]
    assert TOKEN not in " ".join(record.getMessage() for record in ours)


def test_following_needs_the_optional_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the error names what to install."""
    monkeypatch.setitem(sys.modules, "websockets.sync.client", None)
    with pytest.raises(ConfigurationError, match=r"wiro-dagster\[websocket\]"):
        follow_task("wss://socket.wiro.ai/v1", TOKEN, deadline=0.0)


@pytest.mark.parametrize("url", ["", "https://socket.wiro.ai/v1", "socket.wiro.ai"])
def test_a_malformed_url_is_refused_at_once(url: str) -> None:
    """The setting is checked before anything is awaited."""
    with pytest.raises(ConfigurationError):
        follow_task(url, TOKEN, deadline=0.0)


@given(
    st.binary()
    | st.text()
    | st.fixed_dictionaries(
        {},
        optional={
            "type": st.text() | st.integers() | st.none(),
            "message": st.none()
            | st.text()
            | st.dictionaries(st.just("percentage"), st.text() | st.floats() | st.integers()),
            "terminal": st.booleans() | st.text(),
        },
    ).map(json.dumps)
)
def test_any_frame_is_survived(frame: bytes | str) -> None:
    """An event or None; a percentage is between 0 and 100."""
    event = find_event(frame, TOKEN)
    if event is not None:
        assert event.status
        assert event.percentage is None or 0 <= event.percentage <= 100
