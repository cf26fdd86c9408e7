"""A pool of threads that finish what a tick has begun, even after that tick is over."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_AHEAD_SECONDS = 0.25
_MOST_AHEAD = 2
_LEAST_SECONDS = 0.1
"""A shorter time says little of how quickly steps end."""


class Ends:
    """Counts the steps that have ended in several pools. Thread-safe."""

    def __init__(self) -> None:
        self._has_changed = threading.Condition()
        self.count = 0

    def add(self) -> None:
        """Count one more."""
        with self._has_changed:
            self.count += 1
            self._has_changed.notify_all()

    def wait(self, before: int, seconds: float) -> bool:
        """Wait until more have ended than before. Return False if time is up."""
        with self._has_changed:
            return self._has_changed.wait_for(lambda: self.count > before, seconds)


class WorkerPool:
    """Threads whose steps return notices for the tick's log. Thread-safe.

    Args:
        size: how many steps run at once.
        name: of the threads.
        ends: counts the steps that end, also those of other pools.
    """

    def __init__(self, size: int, name: str, ends: Ends | None = None) -> None:
        self.size = size
        self._ends = ends or Ends()
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._unfinished: set[Future[None]] = set()
        self._ended = 0
        self._notices: deque[str] = deque()
        self._failures: deque[BaseException] = deque()

    @property
    def free(self) -> int:
        """How many more steps would start at once."""
        with self._lock:
            return max(0, self.size - len(self._unfinished))

    @property
    def waiting(self) -> int:
        """How many steps wait for a thread."""
        with self._lock:
            return max(0, len(self._unfinished) - self.size)

    @property
    def ended(self) -> int:
        """How many steps have ended so far."""
        with self._lock:
            return self._ended

    @property
    def is_busy(self) -> bool:
        """Whether any step is running or waiting, also of earlier ticks."""
        with self._lock:
            return bool(self._unfinished)

    def list_unfinished(self) -> set[Future[None]]:
        """Return all steps that are running or waiting, also those of earlier ticks."""
        with self._lock:
            return set(self._unfinished)

    def start(self, step: Callable[[], Iterable[str]]) -> Future[None]:
        """Run a step; it returns its notices."""

        def run() -> None:
            try:
                self._notices.extend(step())
            except BaseException as error:
                self._failures.append(error)
                raise

        with self._lock:
            future = self._pool.submit(run)
            self._unfinished.add(future)
        future.add_done_callback(self._finish)
        return future

    def take_notices(self) -> list[str]:
        """Return the notices since the last call."""
        return take_all(self._notices)

    def take_failures(self) -> list[BaseException]:
        """Return what steps have raised since the last call."""
        return take_all(self._failures)

    def close(self) -> None:
        """Wait for what is under way, and start nothing new."""
        self._pool.shutdown()

    def _finish(self, future: Future[None]) -> None:
        with self._lock:
            self._unfinished.discard(future)
            self._ended += 1
        self._ends.add()


class Intake:
    """How many more steps a pool can begin soon.

    To claim orders costs much the same for any number of them. So if steps end quickly, more of
    them are claimed than there are free threads: as many as lately ended in a quarter of a second,
    and at most two for each thread, as what is claimed waits for its lease if the process dies.

    Args:
        pool: takes the steps.
        monotonic: gives seconds.
    """

    def __init__(self, pool: WorkerPool, monotonic: Callable[[], float]) -> None:
        self._pool = pool
        self._monotonic = monotonic
        self._claimed_at = -math.inf
        self._ended_before = 0

    def count(self) -> int:
        """Return how many more steps would begin soon."""
        if self._pool.waiting:
            return 0
        seconds = max(self.seconds_since_claim(), _LEAST_SECONDS)
        ended = self._pool.ended - self._ended_before
        ahead = int(ended / seconds * _AHEAD_SECONDS)
        return self._pool.free + min(ahead, _MOST_AHEAD * self._pool.size)

    def seconds_since_claim(self) -> float:
        """Return how long ago steps were claimed last."""
        return self._monotonic() - self._claimed_at

    def note_claim(self) -> None:
        """Note that steps are claimed now."""
        self._claimed_at, self._ended_before = self._monotonic(), self._pool.ended


def take_all(queue: deque[T]) -> list[T]:
    """Empty a queue that others may add to."""
    taken = []
    while queue:
        taken.append(queue.popleft())
    return taken
