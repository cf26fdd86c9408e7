"""Clocks and pauses of sensors and waiting runs, so that tests can replace them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class WaitTiming:
    """How runs of `video` wait, and what goes on between the ticks of the sensor, in seconds.

    Args:
        pause_seconds: between two ticks of a waiting run.
        tick_seconds: the longest a tick of a waiting run may take.
        heartbeat_seconds: how long after a waiting run's last sign of life the sensor leaves its
            orders alone.
        awake_seconds: how long tasks are followed without a further tick of the sensor, which may
            have been stopped; until the next one is overdue in any case. 0 = nothing happens
            between ticks.
        stay_seconds: how long a tick stays for tasks that may end in that time. All sensors of an
            instance share a thread by default, so this is short.
        monotonic: the clock of deadlines.
        sleep: sleeps for a number of seconds.
    """

    pause_seconds: float = 2.0
    tick_seconds: float = 10.0
    heartbeat_seconds: float = 60.0
    awake_seconds: float = 120.0
    stay_seconds: float = 5.0
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
