"""What was read a moment ago is used, and then read again."""

from __future__ import annotations

from tests.conftest import Clock
from wiro_dagster.orders.recent import RecentlyRead, is_recent


def test_a_value_is_read_again_once_it_is_old(clock: Clock) -> None:
    """Within its seconds it is read once, also if what was read is `None`."""
    reads: list[str] = []
    values = RecentlyRead[None](3.0, clock)
    for _ in range(2):
        assert values.get("a", reads.append) is None
    assert reads == ["a"]
    values.get("b", reads.append)
    clock.advance(3.0)
    values.get("a", reads.append)
    assert reads == ["a", "b", "a"]


def test_a_value_that_is_put_is_not_read(clock: Clock) -> None:
    """What was written is known without reading it back."""
    values = RecentlyRead[int](3.0, clock)
    values.put("a", 1)
    assert values.get("a", lambda _: 2) == 1


def test_nothing_is_recent_after_the_clock_was_set_back() -> None:
    """A wrong time would otherwise keep old values for as long as it was ahead."""
    assert is_recent(10.0, 12.0, 3.0)
    assert not is_recent(None, 12.0, 3.0)
    assert not is_recent(10.0, 13.0, 3.0)
    assert not is_recent(10.0, 9.0, 3.0)
