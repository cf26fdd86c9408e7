"""Hints that tasks have ended, as sockets give them."""

from __future__ import annotations

import threading
from collections.abc import Collection

from wiro_dagster.api.sockets import TaskSockets


class EndHints:
    """Collects hints that tasks of one collection have ended, while it is on. Thread-safe.

    Args:
        sockets: of the account; `None` = only the ledger gives hints.
    """

    def __init__(self, sockets: TaskSockets | None = None) -> None:
        self._sockets = sockets
        self._news = threading.Condition()
        self._is_on = False
        self._followed: set[str] = set()
        self._ended: set[str] = set()
        self._is_nudged = False

    def listen(self, task_id: str, token: str) -> None:
        """Listen for the end of a task, if this is switched on."""
        with self._news:
            if self._sockets is None or not self._is_on or task_id in self._followed:
                return
            self._followed.add(task_id)
        self._sockets.follow(task_id, token, self.hear)

    def list_followed(self) -> list[str]:
        """Return the tasks that are listened to."""
        with self._news:
            return list(self._followed)

    def forget(self, task_ids: Collection[str]) -> None:
        """Stop listening to tasks whose ends are known."""
        with self._news:
            followed = self._followed.intersection(task_ids)
            self._followed -= followed
        if self._sockets is not None:
            for task_id in followed:
                self._sockets.forget(task_id)

    def wait(self, seconds: float, *, gather_seconds: float = 0.0) -> set[str]:
        """Wait until a task ends, a nudge comes or time is up. Return the tasks that ended.

        Args:
            seconds: how long at most.
            gather_seconds: how much longer, once a task has ended, for more that end.
        """
        with self._news:
            self._news.wait_for(lambda: self._ended or self._is_nudged, seconds)
            if self._ended:
                self._news.wait_for(lambda: self._is_nudged, gather_seconds)
            ended, self._ended, self._is_nudged = self._ended, set(), False
        return ended

    def nudge(self) -> None:
        """End a wait."""
        with self._news:
            self._is_nudged = True
            self._news.notify()

    def switch_on(self) -> None:
        """Listen from now on."""
        with self._news:
            self._is_on = True

    def switch_off(self) -> None:
        """Stop listening until it is switched on again."""
        with self._news:
            self._is_on = False
        self.forget(self.list_followed())

    def hear(self, task_id: str) -> None:
        """Hear that a task has ended."""
        with self._news:
            self._followed.discard(task_id)
            self._ended.add(task_id)
            self._news.notify()
