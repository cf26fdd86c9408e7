"""How far Wiro's clock is from ours, measured by the `Date` header of its answers."""

from __future__ import annotations

from collections import deque
from datetime import timezone
from email.utils import parsedate_to_datetime

_MOST_READINGS = 16
_JUMP_SECONDS = 5.0
"""Readings that differ by more than this, beyond their round trips, show that a clock was set."""


class ServerClock:
    """Keeps the recent readings of Wiro's clock. Shared by threads.

    `Date` has whole seconds, so the offset is right to about one second, plus half a round trip.
    """

    def __init__(self) -> None:
        # Only recent readings: a clock that was set right must not be doubted for long.
        self._readings: deque[tuple[float, float]] = deque(maxlen=_MOST_READINGS)

    def note(self, date: str | None, *, left_at: float, arrived_at: float) -> None:
        """Take a reading from one answer.

        Args:
            date: the `Date` header.
            left_at: unix time by our clock at which the request left.
            arrived_at: unix time by our clock at which the answer's headers were there.
        """
        server_time = find_http_date(date)
        round_trip_seconds = arrived_at - left_at
        if server_time is None or round_trip_seconds < 0:
            return  # no date, or our own clock was set back in between
        # On average half of a second was cut off.
        offset_seconds = server_time + 0.5 - (left_at + arrived_at) / 2
        before = min(self._readings, default=None)
        if before is not None:
            doubt_seconds = _JUMP_SECONDS + before[0] + round_trip_seconds
            if abs(offset_seconds - before[1]) > doubt_seconds:
                self._readings.clear()  # a clock was set: older readings are wrong now
        self._readings.append((round_trip_seconds, offset_seconds))

    @property
    def offset_seconds(self) -> float | None:
        """Wiro's clock minus ours, by the fastest recent answer; None before the first answer."""
        readings = list(self._readings)
        return min(readings)[1] if readings else None


def find_http_date(text: str | None) -> float | None:
    """Return the date of an HTTP header as unix seconds; None for anything else."""
    try:
        moment = parsedate_to_datetime(text or "")
        # A date without a zone would be read by the zone of this machine.
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
