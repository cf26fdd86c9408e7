"""The ends of many tasks, heard by one thread over real WebSockets."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from tests.support.ports import free_port
from tests.support.waiting import wait_until
from wiro_dagster.api.sockets import TaskSockets
from wiro_dagster.errors import ConfigurationError

OLD_END = {"type": "task_postprocess_end", "message": []}
NEW_END = {"type": "task_error", "terminal": True, "success": False}
NOISE = [
    {"type": "task_output", "message": "task_queue"},
    {"type": "task_output", "message": "task_postprocess_end is near"},
    b"\x00\x01",
    "no JSON, though it says terminal",
]


class Wiro:
    """A service whose sockets end when the test says so."""

    def __init__(self) -> None:
        self.url = ""
        self.joined: list[str] = []
        self.open = 0
        self.most_open = 0
        self.lose_first = 0
        self.ends: dict[str, Any] = {}
        self.is_over = False
        self.news = threading.Condition()

    def answer(self, connection: ServerConnection) -> None:
        token = json.loads(connection.recv())["tasktoken"]
        with self.news:
            self.joined.append(token)
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            is_lost = len(self.joined) <= self.lose_first
        try:
            if is_lost:
                return
            for frame in NOISE:
                connection.send(frame if isinstance(frame, (str, bytes)) else json.dumps(frame))
            with self.news:
                is_told = self.news.wait_for(lambda: token in self.ends or self.is_over, 60)
        finally:
            with self.news:
                self.open -= 1
        # No longer open by now: whoever hears the end may open the next socket at once.
        if is_told and not self.is_over:
            connection.send(json.dumps(self.ends[token]))

    def end(self, token: str, frame: dict[str, Any] = OLD_END) -> None:
        with self.news:
            self.ends[token] = frame
            self.news.notify_all()


@pytest.fixture
def wiro() -> Iterator[Wiro]:
    made = Wiro()
    with serve(made.answer, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1"
        yield made
        with made.news:
            made.is_over = True
            made.news.notify_all()
        server.shutdown()


@contextmanager
def listening(url: str, **options: Any) -> Iterator[TaskSockets]:
    quick = {"pause_seconds": 0.01, "refill_seconds": 0.0}
    with closing(TaskSockets(url, **{**quick, **options})) as sockets:
        yield sockets


def test_the_ends_of_many_tasks_are_heard_by_one_thread(wiro: Wiro) -> None:
    """Each once, in old and new frames; what merely speaks of an end is none."""
    ended: list[str] = []
    before = set(threading.enumerate())

    def list_new() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread not in before]

    with listening(wiro.url) as sockets:
        for number in range(10):
            for _ in range(2):
                sockets.follow(f"task-{number}", f"token-{number}", ended.append)
        assert wait_until(lambda: wiro.open == 10)
        assert [name for name in list_new() if name.startswith("wiro")] == ["wiro-sockets"]
        assert ended == []
        for number in range(10):
            wiro.end(f"token-{number}", OLD_END if number % 2 else NEW_END)
        assert wait_until(lambda: len(ended) == 10)
        assert set(ended) == {f"task-{number}" for number in range(10)}
    assert "wiro-sockets" not in list_new()


def test_no_more_sockets_are_open_than_allowed(wiro: Wiro) -> None:
    """The oldest tasks first; when one ends, the next has its turn."""
    ended: list[str] = []
    with listening(wiro.url, most=2) as sockets:
        for number in range(5):
            sockets.follow(f"task-{number}", f"token-{number}", ended.append)
        assert wait_until(lambda: wiro.open == 2)
        for number in range(5):
            wiro.end(f"token-{number}")
        assert wait_until(lambda: len(ended) == 5)
    assert wiro.most_open == 2


def test_a_task_whose_end_is_known_is_left(wiro: Wiro) -> None:
    """Its place goes to the next one."""
    ended: list[str] = []
    with listening(wiro.url, most=1) as sockets:
        for name in ("first", "second", "third"):
            sockets.follow(name, name, ended.append)
        assert wait_until(lambda: wiro.joined == ["first"])
        sockets.forget("second")  # before the first, whose place it would take at once
        sockets.forget("first")
        assert wait_until(lambda: "third" in wiro.joined)
        assert sockets.count_open() == 1
        wiro.end("third")
        assert wait_until(lambda: ended == ["third"])
    assert wiro.joined == ["first", "third"]


def test_a_task_that_ends_with_the_one_before_needs_no_socket(wiro: Wiro) -> None:
    """The end of the first brings a look, which sees the other ends of its batch."""
    ended = threading.Event()
    with listening(wiro.url, most=1, refill_seconds=0.2) as sockets:
        for name in ("first", "second", "third"):
            sockets.follow(name, name, lambda _: ended.set())
        assert wait_until(lambda: wiro.joined == ["first"])
        wiro.end("first")
        assert ended.wait(60)
        sockets.forget("second")
        assert wait_until(lambda: wiro.joined == ["first", "third"])


def test_a_lost_connection_is_opened_again(wiro: Wiro) -> None:
    """The end may be the first thing that is heard then."""
    ended: list[str] = []
    wiro.lose_first = 2
    with listening(wiro.url) as sockets:
        sockets.follow("task", "token", ended.append)
        assert wait_until(lambda: len(wiro.joined) == 3)
        wiro.end("token")
        assert wait_until(lambda: ended == ["task"])


def test_a_socket_that_is_lost_again_and_again_is_given_up(wiro: Wiro) -> None:
    """The watch follows its task anyway; others get the place."""
    wiro.lose_first = 5
    with listening(wiro.url, most=1) as sockets:
        sockets.follow("lost", "lost", lambda _: None)
        sockets.follow("next", "next", lambda _: None)
        assert wait_until(lambda: wiro.joined == ["lost"] * 5 + ["next"])


def test_a_service_that_cannot_be_reached_is_silence(caplog: pytest.LogCaptureFixture) -> None:
    """No error, no log, and no token anywhere."""
    with (
        caplog.at_level(logging.DEBUG),
        listening(f"ws://127.0.0.1:{free_port()}/v1") as sockets,
    ):
        sockets.follow("task", "token-9f3a", lambda _: None)
        assert wait_until(lambda: not sockets._waiting and sockets.count_open() == 0)
    assert "token-9f3a" not in caplog.text


def test_a_token_is_never_sent_in_the_clear() -> None:
    """Except on this machine, and where that is allowed."""
    with pytest.raises(ConfigurationError, match="websocket_url"):
        TaskSockets("ws://wiro.example/v1")
    TaskSockets("ws://wiro.example/v1", allow_http_hosts=["wiro.example"]).close()


def test_after_its_end_nothing_is_followed(wiro: Wiro) -> None:
    """Nor a task without a token."""
    sockets = TaskSockets(wiro.url)
    sockets.follow("task", "", lambda _: None)
    sockets.close()
    sockets.follow("task", "token", lambda _: None)
    assert sockets.count_open() == 0
    assert wiro.joined == []


def test_closed_sockets_keep_nothing_open(wiro: Wiro) -> None:
    """The loop is closed with its sockets; to close again or to forget a task then is no error."""
    with listening(wiro.url) as sockets:
        sockets.follow("task", "token", lambda _task_id: None)
        loop = sockets._loop
        assert loop is not None
        assert wait_until(lambda: wiro.open == 1)
    assert loop.is_closed()
    sockets.forget("task")
    sockets.close()
