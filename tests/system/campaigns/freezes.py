"""Processes of a campaign that stand still for a while, as on a busy machine or a stuck disk."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

_LENGTHS_SECONDS = (0.5, 3.0, 9.0, 20.0)
"""A lease of a campaign lasts 15 seconds."""

_MOST_PAUSE_SECONDS = 6.0


class Freezes:
    """Stops some of the processes, the emulator among them, and lets them go on later.

    If the emulator and a process that has just sent a run stand still together, the run comes in
    after another process has taken the order over.

    Args:
        pids: the processes.
        seed: of who is stopped, when and for how long.
    """

    def __init__(self, pids: Sequence[int], seed: int) -> None:
        self._pids = pids
        self._random = random.Random(seed)
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Freeze them within the block; at its end all of them go on."""
        thread = threading.Thread(target=self._freeze, name="freezes", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _freeze(self) -> None:
        while not self._over.wait(self._random.uniform(0.0, _MOST_PAUSE_SECONDS)):
            some = self._random.sample(self._pids, self._random.randint(1, len(self._pids)))
            self._signal(some, signal.SIGSTOP)
            self._over.wait(self._random.choice(_LENGTHS_SECONDS))
            self._signal(some, signal.SIGCONT)

    def _signal(self, pids: Sequence[int], number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
