"""What a code location keeps between sensor ticks: connections, thread pools, things looked up."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class ProcessCache:
    """Values that live as long as the process, made when first asked for. Thread-safe.

    Dagster makes new resources for every tick. The collection, which lives in the code location,
    owns this cache, so that downloads and connections outlive a tick.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}
        # Making one value may ask for another.
        self._lock = RLock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key; make it if there is none.

        Args:
            key: names the value, and everything that it was made from.
            make: makes it.
        """
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
            value: T = self._values[key]
            return value

    def find(self, key: Hashable, kind: type[T]) -> T | None:
        """Return the value of a key if there is one of that kind."""
        with self._lock:
            value = self._values.get(key)
        return value if isinstance(value, kind) else None

    def put(self, key: Hashable, value: object) -> None:
        """Set or replace the value of a key."""
        with self._lock:
            self._values[key] = value

    def drop(self, key: Hashable) -> None:
        """Forget the value of a key, if there is one."""
        with self._lock:
            self._values.pop(key, None)

    def close(self) -> None:
        """Forget everything, and close what can be closed: what was made last uses the rest."""
        with self._lock:
            values = list(self._values.values())
            self._values.clear()
        for value in reversed(values):
            if isinstance(value, _Closable):
                value.close()
