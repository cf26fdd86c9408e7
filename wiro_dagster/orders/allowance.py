"""How often something may be done: on average so often a minute, with bursts after quiet times."""

from __future__ import annotations


class Allowance:
    """Bounds what is done in the long run: what a quiet time leaves over may be spent at once.

    Args:
        a_minute: how much is earned in a minute, and kept at most.
        now: unix seconds.
    """

    def __init__(self, a_minute: int, now: float) -> None:
        self._a_minute = a_minute
        self._left = float(a_minute)
        self._at = now

    def spend(self, count: int, now: float, *, at_least: float = 0.0) -> float:
        """Note that so much was done. Return how long to wait before doing as much again.

        Args:
            count: how much was done.
            now: unix seconds.
            at_least: how much a minute may be done now, if that is more than usual.
        """
        a_minute = max(float(self._a_minute), at_least)
        earned = max(0.0, now - self._at) * a_minute / 60.0
        self._left = min(self._left + earned, a_minute) - count
        self._at = now
        return max(0.0, count - self._left) * 60.0 / a_minute
