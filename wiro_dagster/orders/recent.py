"""What was read or done a moment ago, and need not be read or done again yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def is_recent(at: float | None, now: float, seconds: float) -> bool:
    """Whether something happened less than so long ago.

    What lies in the future is not recent: the clock was set back, by an unknown amount.

    Args:
        at: when it happened; `None` = never.
        now: by the same clock.
        seconds: how long it is recent.
    """
    return at is not None and 0 <= now - at < seconds


class RecentlyRead(Generic[T]):
    """Values by name, each used for a moment before it is read again. Thread-safe.

    Args:
        seconds: how long a value is used.
        clock: gives seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._values: dict[str, tuple[float, T]] = {}

    def get(self, name: str, read: Callable[[str], T]) -> T:
        """Return the value of a name.

        Args:
            name: of the value.
            read: reads the value of a name, if what is known is too old.
        """
        now, known = self._clock(), self._values.get(name)
        if known is not None and is_recent(known[0], now, self._seconds):
            return known[1]
        value = read(name)
        self._values[name] = now, value
        return value

    def put(self, name: str, value: T) -> None:
        """Use a value that is known for other reasons."""
        self._values[name] = self._clock(), value
