"""A task's events as they happen, over Wiro's WebSocket.

Events are a hint that makes things faster, never the record: frames may be late, doubled or
missing, and hold neither cost nor exit code. After the last event, read the task.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wiro_dagster.api.answers import shorten
from wiro_dagster.api.bounds import find_word
from wiro_dagster.api.hosts import AllowedHosts, check_service_url
from wiro_dagster.api.wire import find_name, find_object, find_truth, read_percentage
from wiro_dagster.errors import ConfigurationError, WiroError

_LAST_STATUSES = frozenset({"task_postprocess_end", "task_cancel"})
_OPEN_SECONDS = 10.0
_SILENCE_SECONDS = 60.0
"""After so long without a frame the connection may be dead, so another one is opened."""
_LONGEST_PAUSE_SECONDS = 15.0
_LARGEST_FRAME_BYTES = 1024 * 1024
_FAR_AWAY = 86_400.0
_MOST_TASKS = 16


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """One event of a task."""

    status: str
    """Wiro's own word, also one that is not documented."""
    percentage: float | None
    """0 to 100."""
    message: str | None
    """What the model printed, one line of at most 300 characters."""
    is_last: bool
    """Whether nothing follows."""


class ProgressFeed:
    """Listens to the events of several tasks, each in a daemon thread of its own.

    It only makes things faster. Without a connection, or without the package `websockets`, there
    are no events, and that is all.

    Args:
        url: of the WebSocket, for example `wss://socket.wiro.ai/v1`.
        most_tasks: how many may be followed at once; further ones are left alone.
        allow_http_hosts: hosts that may be called without TLS, beside this machine.
    """

    def __init__(
        self,
        url: str,
        *,
        most_tasks: int = _MOST_TASKS,
        allow_http_hosts: Sequence[str] = (),
    ) -> None:
        self._url = url
        self._most_tasks = most_tasks
        self._allow_http_hosts = tuple(allow_http_hosts)
        self._latest: dict[str, ProgressEvent] = {}
        self._followers: dict[str, threading.Thread] = {}
        self._stopped = threading.Event()
        self._news = threading.Event()

    def close(self) -> None:
        """Stop listening. The threads end within a minute."""
        self._stopped.set()

    def follow(self, task_id: str, get_token: Callable[[], str]) -> None:
        """Start to listen to a task. Do nothing if it is followed already, or too many are.

        Args:
            task_id: the task.
            get_token: gives its token; called in the follower's thread, since it may ask Wiro.
        """
        alive = sum(follower.is_alive() for follower in self._followers.values())
        if task_id in self._followers or alive >= self._most_tasks:
            return
        follower = threading.Thread(
            target=self._listen,
            args=(task_id, get_token),
            name=f"wiro-progress-{task_id}",
            daemon=True,
        )
        self._followers[task_id] = follower
        follower.start()

    def find_latest(self, task_id: str) -> ProgressEvent | None:
        """Return the last event of a task; None if there was none."""
        return self._latest.get(task_id)

    def wait(self, seconds: float) -> bool:
        """Sleep until a task ends, or for so many seconds. Return whether one ended."""
        ended = self._news.wait(max(0.0, seconds))
        self._news.clear()
        return ended

    def _listen(self, task_id: str, get_token: Callable[[], str]) -> None:
        # Once the feed is closed, this clock is past the deadline and the follower ends.
        def clock() -> float:
            return _FAR_AWAY if self._stopped.is_set() else 0.0

        with suppress(WiroError):  # there are no events then, and polling goes on
            for event in follow_task(
                self._url,
                get_token(),
                deadline=_FAR_AWAY,
                allow_http_hosts=self._allow_http_hosts,
                clock=clock,
                sleep=self._pause,
            ):
                self._latest[task_id] = event
                if event.is_last:
                    self._news.set()
                if self._stopped.is_set():
                    return

    def _pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)


def follow_task(
    url: str,
    task_token: str,
    *,
    deadline: float,
    allow_http_hosts: Sequence[str] = (),
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[ProgressEvent]:
    """Follow a task until its last event or the deadline, across lost connections.

    A fault of the network never raises: at worst there are no events.

    Args:
        url: of the WebSocket, for example `wss://socket.wiro.ai/v1`.
        task_token: from the submission.
        deadline: when to stop, by the clock.
        allow_http_hosts: hosts that may be called without TLS, beside this machine.
        clock: gives seconds.
        sleep: waits for that many seconds.

    Raises:
        ConfigurationError: the package `websockets` is not installed, or the URL is malformed or
            would send the token in the clear.
    """
    http_hosts = AllowedHosts("allow_http_hosts", allow_http_hosts)
    checked_url = check_service_url("websocket_url", url, ("wss", "ws"), http_hosts)
    try:
        import websockets.sync.client  # noqa: F401  (optional, and slow to import)
    except ImportError:
        raise ConfigurationError(
            "Following a task needs the package websockets: install wiro-dagster[websocket]."
        ) from None
    return _follow(checked_url, task_token, deadline, clock, sleep)


def _follow(
    url: str,
    task_token: str,
    deadline: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[ProgressEvent]:
    pause_seconds = 1.0
    while clock() < deadline:
        for event in _follow_connection(url, task_token, deadline, clock):
            pause_seconds = 1.0
            yield event
            if event.is_last:
                return
        sleep(max(0.0, min(pause_seconds, deadline - clock())))
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


def _follow_connection(
    url: str, task_token: str, deadline: float, clock: Callable[[], float]
) -> Iterator[ProgressEvent]:
    """Yield the events of one connection, until it ends for whatever reason."""
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    try:
        with connect(
            url,
            open_timeout=max(0.1, min(_OPEN_SECONDS, deadline - clock())),
            close_timeout=1.0,
            max_size=_LARGEST_FRAME_BYTES,
            logger=build_silent_logger(),
        ) as socket:
            socket.send(json.dumps({"type": "task_info", "tasktoken": task_token}))
            while (remaining_seconds := deadline - clock()) > 0:
                frame = socket.recv(timeout=min(remaining_seconds, _SILENCE_SECONDS))
                event = find_event(frame, task_token)
                if event is not None:
                    yield event
    except (WebSocketException, OSError, ValueError):  # TimeoutError is an OSError
        return


def build_silent_logger() -> logging.Logger:
    """Return a logger that drops everything: websockets logs whole frames, the token included."""
    logger = logging.Logger("wiro_dagster.progress", level=logging.CRITICAL)  # noqa: LOG001, kept out of the tree of loggers
    logger.addHandler(logging.NullHandler())
    return logger


def find_event(frame: str | bytes, task_token: str) -> ProgressEvent | None:
    """Return the event in a frame.

    Returns:
        None for a binary frame, another task's frame, and a frame that is not an event.
    """
    if isinstance(frame, bytes):
        return None
    fields = find_object(frame)
    status = None if fields is None else find_word(fields.get("type"))
    if fields is None or status is None:
        return None
    # The newest frames do not name their task.
    if find_name(fields.get("tasktoken")) not in (None, task_token):
        return None
    message = fields.get("message")
    progress = find_object(message) or {}
    return ProgressEvent(
        status=status,
        percentage=read_percentage(progress.get("percentage")),
        message=_find_message(message),
        is_last=status in _LAST_STATUSES or find_truth(fields.get("terminal")) is True,
    )


def _find_message(message: Any) -> str | None:
    """Return text that the model printed; structured messages only count by their percentage."""
    if not isinstance(message, str) or find_object(message) is not None:
        return None
    return shorten(message) or None
