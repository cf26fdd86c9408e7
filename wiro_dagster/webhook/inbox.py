"""Callbacks on their way into the ledger: few writes and few looks, however many calls come.

Only a marker that the ledger signed is kept, and nothing else of a call. What strangers send costs
a signature check, and neither memory nor a question to the database.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.identity import find_marker

_LOGGER = logging.getLogger(__name__)

_AT_ONCE = 200
_LOOKS_OF_A_RUN = 5
"""A marker that calls more often is heard no more: the watch follows its task anyway."""

_PAUSE_SECONDS = 3.0
"""The shortest time between two looks that one marker asks for."""

_AGAIN_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""When to try again if the answer to the run's POST is not known yet, or the ledger is away."""


class Inbox:
    """Collects callbacks and brings them into the ledger, many in one go. Thread-safe.

    Args:
        ledger: whose orders call.
        clock: gives seconds.
        most_waiting: how many markers may wait; further calls are left to the watch.
        most_remembered: of how many markers it is known that they were heard.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], float] = time.monotonic,
        most_waiting: int = 10_000,
        most_remembered: int = 50_000,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._most_waiting = most_waiting
        self._most_remembered = most_remembered
        self._check = ledger.load_marker_check()
        self._news = threading.Condition()
        # When to bring a marker into the ledger, and how often that failed.
        self._waiting: dict[str, tuple[float, int]] = {}
        # How often a marker was heard, and when last.
        self._heard: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def take(self, text: str) -> None:
        """Take what a call's URL ends with. Nothing happens unless the ledger signed it."""
        marker = find_marker(text)
        if marker is None or not self._check.is_own(marker):
            return
        with self._news:
            looks, heard_at = self._heard.get(marker.text, (0, -_PAUSE_SECONDS))
            if looks >= _LOOKS_OF_A_RUN or marker.text in self._waiting:
                return
            if len(self._waiting) < self._most_waiting:
                due_at = max(self._clock(), heard_at + _PAUSE_SECONDS if looks else 0.0)
                self._waiting[marker.text] = due_at, 0
                self._start()
                self._news.notify()

    def bring(self) -> None:
        """Bring what is due into the ledger."""
        with self._news:
            now = self._clock()
            due = (marker for marker, (due_at, _) in self._waiting.items() if due_at <= now)
            called = list(islice(due, _AT_ONCE))
        if not called:
            return
        try:
            again = self._ledger.hear_callbacks(called)
        except LedgerError as error:
            _LOGGER.warning("Callbacks could not be noted: %s", error)
            again = set(called)
        with self._news:
            for marker in called:
                self._note(marker, is_heard=marker not in again)

    def close(self) -> None:
        """Stop. Callbacks that are not noted yet are dropped: the watch finds their tasks."""
        with self._news:
            self._is_closed = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join()

    def _note(self, marker: str, *, is_heard: bool) -> None:
        _, failures = self._waiting.pop(marker)
        if not is_heard and failures < len(_AGAIN_SECONDS):
            self._waiting[marker] = self._clock() + _AGAIN_SECONDS[failures], failures + 1
            return
        looks, _ = self._heard.pop(marker, (0, 0.0))
        self._heard[marker] = looks + 1, self._clock()
        if len(self._heard) > self._most_remembered:
            self._heard.popitem(last=False)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="wiro-webhook", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._news:
                if self._is_closed:
                    return
                pause = self._seconds_until_due()
                if pause is None or pause > 0:
                    self._news.wait(pause)
                    continue
            self.bring()

    def _seconds_until_due(self) -> float | None:
        if not self._waiting:
            return None
        return min(due_at for due_at, _ in self._waiting.values()) - self._clock()
