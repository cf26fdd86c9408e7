"""When a call is repeated, how long a Retry-After asks to wait, and the shared slow-down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiro_dagster.api.answers import Answer
from wiro_dagster.api.retry import SlowDown, find_pause, read_retry_after
from wiro_dagster.errors import ApiError, OutcomeUnknown, RateLimited, ServiceUnreachable

NOON = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("nan", None),
        ("0", 0.0),
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("99999999", 3600.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60.0),
        ("Tue, 14 Nov 2023 20:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(header: str | None, seconds: float | None) -> None:
    """Seconds and HTTP dates are read, an hour at most; nonsense is as no header."""
    assert read_retry_after(header, now=NOON) == seconds


@given(st.text())
def test_any_retry_after_is_survived(header: str) -> None:
    """No text raises; what comes out is a sensible wait or None."""
    seconds = read_retry_after(header, now=NOON)
    assert seconds is None or 0 <= seconds <= 3600


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 405, 409, 422])
def test_an_answer_that_stays_the_same_is_not_repeated(status: int) -> None:
    """A refusal is not improved by asking again."""
    assert find_pause(Answer(status, b""), 1, jitter=0.5) is None


@pytest.mark.parametrize(
    "outcome",
    [
        *(Answer(status, b"") for status in (408, 429, 500, 502, 503, 504, 520, 524)),
        OutcomeUnknown("reset"),
        ServiceUnreachable("refused"),
    ],
)
def test_a_fault_is_repeated_with_growing_waits(outcome: Answer | ApiError) -> None:
    """At once, then after about a second, two and four, never after more than eight."""
    pauses = [find_pause(outcome, attempt, jitter=0.5) for attempt in (1, 2, 3, 4, 5, 60)]
    assert pauses == [0.0, 1.25, 2.25, 4.25, 8.0, 8.0]


def test_callers_drift_apart() -> None:
    """The random part is up to half a second."""
    fault = Answer(503, b"")
    assert [find_pause(fault, 2, jitter=jitter) for jitter in (0.0, 1.0)] == [1.0, 1.5]


def test_a_repeat_waits_as_long_as_the_answer_asks() -> None:
    """Retry-After wins over a shorter back-off, and a longer back-off over Retry-After."""
    assert find_pause(Answer(429, b"", 7.0), 1, jitter=0.5) == 7.0
    assert find_pause(Answer(429, b"", 1.0), 3, jitter=0.5) == 2.25


class Clock:
    """A clock that moves when someone sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds


def test_after_a_429_every_caller_waits_for_the_same_moment() -> None:
    """The slow-down is shared, and over once its moment has come."""
    clock = Clock()
    slow_down = SlowDown(clock, clock.sleep)
    slow_down.wait(longest_seconds=20)
    assert clock.now == 0.0
    slow_down.postpone(5.0)
    slow_down.postpone(2.0)
    slow_down.wait(longest_seconds=20)
    assert clock.now == 5.0
    slow_down.wait(longest_seconds=20)
    assert clock.now == 5.0


def test_who_will_not_wait_that_long_is_told_at_once() -> None:
    """A caller with less patience gets RateLimited with the time left, and nobody sleeps."""
    clock = Clock()
    slow_down = SlowDown(clock, clock.sleep)
    slow_down.postpone(5.0)
    with pytest.raises(RateLimited) as caught:
        slow_down.wait(longest_seconds=0.5)
    assert caught.value.retry_after_seconds == 5.0
    assert clock.now == 0.0


@pytest.mark.parametrize(("asked", "held"), [(None, 1.0), (0.0, 1.0), (30.0, 30.0), (3600, 300)])
def test_a_slow_down_is_neither_nothing_nor_for_ever(asked: float | None, held: float) -> None:
    """A 429 holds back for a second at least and five minutes at most."""
    clock = Clock()
    slow_down = SlowDown(clock, clock.sleep)
    slow_down.postpone(asked)
    slow_down.wait(longest_seconds=10_000)
    assert clock.now == held
