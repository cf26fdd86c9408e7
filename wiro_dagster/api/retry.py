"""When a read is sent again, and how long every caller holds back after a 429.

A submission never comes here: see `transport`.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable

from wiro_dagster.api.answers import Answer
from wiro_dagster.api.clock import find_http_date
from wiro_dagster.errors import ApiError, RateLimited

_LONGEST_PAUSE_SECONDS = 8.0
_LONGEST_RETRY_AFTER_SECONDS = 3600.0
_SHORTEST_SLOW_DOWN_SECONDS = 1.0
_LONGEST_SLOW_DOWN_SECONDS = 300.0
"""One odd header must not stop every caller for longer."""
_SECONDS = re.compile(r"\d{1,18}(\.\d{1,9})?")

_REPEATABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 525)})
"""Server faults. A CDN sends 520 to 524 if the origin does not answer."""


def find_pause(outcome: Answer | ApiError, attempt: int, *, jitter: float) -> float | None:
    """Return how many seconds to wait before a read is sent again.

    Args:
        outcome: what the last attempt brought.
        attempt: how many were made, at least 1.
        jitter: a random number from 0 to 1, so that callers drift apart.

    Returns:
        None if another attempt would not change the outcome.
    """
    if isinstance(outcome, Answer) and outcome.status not in _REPEATABLE_STATUSES:
        return None
    asked_seconds = outcome.retry_after_seconds if isinstance(outcome, Answer) else None
    # The first fault is often a stale connection, which another try mends at once.
    pause_seconds = 0.0 if attempt == 1 else 0.5 * (2 ** min(attempt - 1, 10) + jitter)
    return max(min(pause_seconds, _LONGEST_PAUSE_SECONDS), asked_seconds or 0.0)


def read_retry_after(header: str | None, *, now: float) -> float | None:
    """Return what a `Retry-After` header asks for, in seconds, an hour at most.

    Args:
        header: seconds or an HTTP date.
        now: unix seconds, to measure a date against.

    Returns:
        None if the header is missing, or is neither.
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        moment = find_http_date(text)
        if moment is None:
            return None
        seconds = moment - now
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER_SECONDS)


class SlowDown:
    """One moment, shared by all callers of a client, before which nothing is sent.

    Args:
        clock: gives seconds that never go back.
        sleep: waits for that many seconds.
    """

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._not_before = -math.inf

    def postpone(self, retry_after_seconds: float | None) -> None:
        """Hold back from now on, for as long as a 429 asked, or a second if it did not say."""
        asked_seconds = max(retry_after_seconds or 0.0, _SHORTEST_SLOW_DOWN_SECONDS)
        seconds = min(asked_seconds, _LONGEST_SLOW_DOWN_SECONDS)
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def wait(self, *, longest_seconds: float) -> None:
        """Sleep until the moment has come.

        Raises:
            RateLimited: that would take longer than `longest_seconds`; nothing was sent.
        """
        with self._lock:
            remaining_seconds = self._not_before - self._clock()
        if remaining_seconds > longest_seconds:
            raise RateLimited(
                "Wiro asked this key to slow down; nothing was sent. "
                f"Try again in {math.ceil(remaining_seconds)} s.",
                retry_after_seconds=remaining_seconds,
            )
        if remaining_seconds > 0:
            self._sleep(remaining_seconds)
