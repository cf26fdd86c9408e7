"""The emulator's clock: wall time plus an offset, which can be frozen and moved forward."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Tells the emulated time in unix seconds.

    Args:
        offset_seconds: how far ahead of the wall clock it runs.
        frozen_at: the time it stands still at, or None while it runs.
        remember: called with (offset_seconds, frozen_at) after each change, to keep them.
    """

    offset_seconds: float = 0.0
    frozen_at: float | None = None
    remember: Callable[[float, float | None], None] = lambda _offset, _frozen: None
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _planned: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> float:
        """Return the emulated time."""
        if self.frozen_at is not None:
            return self.frozen_at
        return time.time() + self.offset_seconds

    def advance(self, seconds: float) -> float:
        """Move the clock forward; it never goes back. Return the new time."""
        if seconds < 0:
            raise ValueError(f"the clock only moves forward, not by {seconds} s")
        if self.frozen_at is not None:
            self.frozen_at += seconds
        else:
            self.offset_seconds += seconds
        self._changed()
        return self.now()

    def freeze(self) -> float:
        """Stop the clock, and return the time it stands at."""
        self.frozen_at = self.now()
        self._changed()
        return self.frozen_at

    def resume(self) -> float:
        """Let a frozen clock run on from its time, and return that."""
        if self.frozen_at is not None:
            self.offset_seconds = self.frozen_at - time.time()
            self.frozen_at = None
            self._changed()
        return self.now()

    def reset(self) -> None:
        """Go back to wall time."""
        self.offset_seconds, self.frozen_at = 0.0, None
        self._changed()

    def wake_all(self) -> None:
        """Wake everything that waits on the clock, so that it looks at the state again."""
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()
        self.wake_planner()

    def wake_planner(self) -> None:
        """Wake only what plans: something new is to happen, and nothing else has changed.

        Each listener of a socket waits on the clock, and a new task concerns none of them.
        """
        planned, self._planned = self._planned, asyncio.Event()
        planned.set()

    async def wait(self, until: float | None, *, plans: bool = False) -> None:
        """Wait until the time is reached, or something changed, whichever is first.

        Args:
            until: the time; `None` waits for a change alone.
            plans: whether to hear of new things that are to happen, too.
        """
        timeout: float | None = None
        if until is not None and self.frozen_at is None:
            timeout = max(0.0, until - self.now())
        elif until is not None and until <= self.now():
            timeout = 0.0
        try:
            changed = self._planned if plans else self._woken
            await asyncio.wait_for(changed.wait(), timeout)
        except asyncio.TimeoutError:
            return

    def _changed(self) -> None:
        self.remember(self.offset_seconds, self.frozen_at)
        self.wake_all()
