"""A crew: threads that finish what a tick has begun, also after that tick is over."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor


class Crew:
    """A pool of threads whose steps leave notices for people. Thread-safe.

    Args:
        size: how many steps go on at once.
        name: of the threads.
    """

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._unfinished: set[Future[None]] = set()
        self._notices: deque[str] = deque()

    @property
    def free(self) -> int:
        """How many more steps would begin at once."""
        with self._lock:
            return max(0, self.size - len(self._unfinished))

    def list_unfinished(self) -> set[Future[None]]:
        """All steps that go on or wait, also those of earlier ticks."""
        with self._lock:
            return set(self._unfinished)

    def start(self, step: Callable[[], Iterable[str]]) -> Future[None]:
        """Has a step done; what it returns are its notices."""

        def run() -> None:
            self._notices.extend(step())

        with self._lock:
            future = self._pool.submit(run)
            self._unfinished.add(future)
        future.add_done_callback(self._finish)
        return future

    def take_notices(self) -> list[str]:
        """The notices since they were last taken."""
        taken = []
        while self._notices:
            taken.append(self._notices.popleft())
        return taken

    def close(self) -> None:
        """Lets what is under way end, and starts no more."""
        self._pool.shutdown()

    def _finish(self, future: Future[None]) -> None:
        with self._lock:
            self._unfinished.discard(future)
