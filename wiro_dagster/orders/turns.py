"""Turns at what takes all of a core: threads beyond that would only contend for Python's lock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets a few threads at a time do something. Thread-safe.

    Args:
        count: how many at once.
        longest_seconds: how long to wait for a turn; then it is done without, as another thread
            may be stuck.
    """

    def __init__(self, count: int, *, longest_seconds: float) -> None:
        self._places = threading.BoundedSemaphore(count)
        self._longest_seconds = longest_seconds

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn, and hold it for as long as the block takes."""
        has_place = self._places.acquire(timeout=self._longest_seconds)
        try:
            yield
        finally:
            if has_place:
                self._places.release()
