"""Watching a task: the WebSocket tells of it sooner, polling makes sure, Task/Detail has the word.

task = watch_task(client, websocket_url, task_id, deadline=time.time() + 600)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.progress import ProgressEvent, follow_task
from wiro_dagster.api.types import Task
from wiro_dagster.errors import NothingAccepted, OutcomeUnknown, WiroError

_SHORTEST_PAUSE_SECONDS = 0.5
_FAR_AWAY = 86_400.0
_MOST_TASKS = 16


class ProgressFeed:
    """Listens to the events of several tasks, each in a thread of its own that nobody waits for.

    It only ever makes things faster: without a connection, or without the package `websockets`,
    there are no events, and nothing else happens.

    Args:
        url: of the WebSocket, for example `wss://socket.wiro.ai/v1`.
        most_tasks: how many may be followed at once; further ones are left alone.
        on_event: is told of each event, in the follower's thread.
    """

    def __init__(
        self,
        url: str,
        *,
        most_tasks: int = _MOST_TASKS,
        on_event: Callable[[str, ProgressEvent], None] | None = None,
    ) -> None:
        self._url = url
        self._most_tasks = most_tasks
        self._on_event = on_event
        self._latest: dict[str, ProgressEvent] = {}
        self._followers: dict[str, threading.Thread] = {}
        self._stopped = threading.Event()
        self._news = threading.Event()

    def close(self) -> None:
        """Stop listening, without waiting for the threads: they end within a minute."""
        self._stopped.set()

    def is_following(self, task_id: str) -> bool:
        """Return whether a task is followed, or was to its end."""
        return task_id in self._followers

    def follow(self, task_id: str, get_token: Callable[[], str]) -> None:
        """Start to listen to a task; does nothing where it is followed, or too many are.

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
        """Return the last event of a task; None where there was none."""
        return self._latest.get(task_id)

    def wait(self, seconds: float) -> bool:
        """Sleep until some task ends, at most so long; return whether one did."""
        ended = self._news.wait(max(0.0, seconds))
        self._news.clear()
        return ended

    def _listen(self, task_id: str, get_token: Callable[[], str]) -> None:
        # A clock that runs out when nobody listens any more ends the follower from within.
        def clock() -> float:
            return _FAR_AWAY if self._stopped.is_set() else 0.0

        with suppress(WiroError):  # there are no events then, and polling goes on
            for event in follow_task(
                self._url, get_token(), deadline=_FAR_AWAY, clock=clock, sleep=self._pause
            ):
                self._latest[task_id] = event
                if self._on_event is not None:
                    self._on_event(task_id, event)
                if event.is_last:
                    self._news.set()
                if self._stopped.is_set():
                    return

    def _pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)


def watch_task(
    client: WiroClient,
    websocket_url: str | None,
    task_id: str,
    *,
    deadline: float,
    poll_seconds: float = 10.0,
    on_event: Callable[[ProgressEvent], None] | None = None,
    clock: Callable[[], float] = time.time,
) -> Task:
    """Watch a task until it has ended or the deadline has come.

    Args:
        client: reads the task.
        websocket_url: where its events come from; None polls only.
        task_id: the task.
        deadline: when to stop, as the clock tells it.
        poll_seconds: the time between two looks at a task that says nothing of its end.
        on_event: is told of each event, in another thread.
        clock: gives seconds.

    Returns:
        The task as Task/Detail shows it last: ended, or at the deadline as it is then.

    Raises:
        ApiError: it cannot be read at the start, or is refused later.
    """
    task = client.get_task(task_id)
    wait: Callable[[float], object] = time.sleep
    with ExitStack() as stack:
        if websocket_url is not None and not task.is_ended:
            feed = stack.enter_context(
                closing(ProgressFeed(websocket_url, on_event=_tell(on_event)))
            )
            token = task.token
            feed.follow(task_id, lambda: token)
            wait = feed.wait
        pause_seconds = poll_seconds
        while not task.is_ended and (remaining_seconds := deadline - clock()) > 0:
            was_told = wait(min(pause_seconds, remaining_seconds)) is True
            # A last event may come before Task/Detail shows the end: it is read again soon.
            longer = min(2 * pause_seconds, poll_seconds)
            pause_seconds = _SHORTEST_PAUSE_SECONDS if was_told else longer
            with suppress(OutcomeUnknown, NothingAccepted):
                task = client.get_task(task_id)
    return task


def _tell(
    on_event: Callable[[ProgressEvent], None] | None,
) -> Callable[[str, ProgressEvent], None] | None:
    return None if on_event is None else lambda _, event: on_event(event)
