"""A task's events as they happen, over Wiro's WebSocket.

A hint that makes things faster, never the record: frames may be late, twice or missing, and hold
neither cost nor exit code. Read the task for the truth once this has ended.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wiro_dagster.api.answers import shorten
from wiro_dagster.api.wire import find_decimal, find_name, find_object, find_truth
from wiro_dagster.errors import ConfigurationError

_LAST_STATUSES = frozenset({"task_postprocess_end", "task_cancel"})
_OPEN_SECONDS = 10.0
_SILENCE_SECONDS = 60.0
"""After so long without a frame the connection may be dead: another one is opened."""
_LONGEST_PAUSE_SECONDS = 15.0
_LARGEST_FRAME_BYTES = 1024 * 1024


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


def follow_task(
    url: str,
    task_token: str,
    *,
    deadline: float,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[ProgressEvent]:
    """Follow a task until its last event or the deadline; connect again whenever that is needed.

    Faults of the network never show: at worst there are no events.

    Args:
        url: of the WebSocket, for example `wss://socket.wiro.ai/v1`.
        task_token: from the submission.
        deadline: when to stop, as the clock tells it.
        clock: gives seconds.
        sleep: waits for that many seconds.

    Raises:
        ConfigurationError: the package `websockets` is not installed, or the URL is none.
    """
    try:
        import websockets.sync.client  # noqa: F401  (optional, and slow to import)
    except ImportError:
        raise ConfigurationError(
            "Following a task needs the package websockets: install wiro-dagster[websocket]."
        ) from None
    if not url.startswith(("ws://", "wss://")):
        raise ConfigurationError("The WebSocket URL must look like wss://socket.wiro.ai/v1.")
    return _follow(url, task_token, deadline, clock, sleep)


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
    """Yield the events of one connection; end with it, whatever ends it."""
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    try:
        with connect(
            url,
            open_timeout=max(0.1, min(_OPEN_SECONDS, deadline - clock())),
            close_timeout=1.0,
            max_size=_LARGEST_FRAME_BYTES,
            logger=_build_silent_logger(),
        ) as socket:
            socket.send(json.dumps({"type": "task_info", "tasktoken": task_token}))
            while (remaining_seconds := deadline - clock()) > 0:
                frame = socket.recv(timeout=min(remaining_seconds, _SILENCE_SECONDS))
                event = find_event(frame, task_token)
                if event is not None:
                    yield event
    except (WebSocketException, OSError, ValueError):  # TimeoutError is an OSError
        return


def _build_silent_logger() -> logging.Logger:
    """The websockets package logs whole frames at debug level, the token among them."""
    logger = logging.Logger("wiro_dagster.progress", level=logging.CRITICAL)  # noqa: LOG001, kept out of the tree of loggers
    logger.addHandler(logging.NullHandler())
    return logger


def find_event(frame: str | bytes, task_token: str) -> ProgressEvent | None:
    """Return what a frame tells.

    Returns:
        None for a binary frame, another task's frame, and one that is no event.
    """
    if isinstance(frame, bytes):
        return None
    fields = find_object(frame)
    status = None if fields is None else find_name(fields.get("type"))
    if fields is None or status is None:
        return None
    # The newest frames name no task at all.
    if find_name(fields.get("tasktoken")) not in (None, task_token):
        return None
    message = fields.get("message")
    return ProgressEvent(
        status=status,
        percentage=_find_percentage(find_object(message)),
        message=_find_message(message),
        is_last=status in _LAST_STATUSES or find_truth(fields.get("terminal")) is True,
    )


def _find_percentage(progress: Mapping[str, Any] | None) -> float | None:
    if progress is None:
        return None
    percentage = find_decimal(progress.get("percentage"))
    return None if percentage is None else float(min(max(percentage, Decimal(0)), Decimal(100)))


def _find_message(message: Any) -> str | None:
    """Text that the model printed; structured messages are told by their percentage."""
    if not isinstance(message, str) or find_object(message) is not None:
        return None
    return shorten(message) or None
