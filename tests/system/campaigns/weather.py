"""Worlds of a campaign in real time: those of tasks by chance, those of the service by turns."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from wiro_dagster.emulator import EmulatorControl
from wiro_dagster.emulator.worlds.periods import PERIOD_WORLDS
from wiro_dagster.emulator.worlds.tasks import TASK_WORLDS

_TOO_SLOW = {"listed_late"}
"""A list that lags by five minutes: longer than a campaign waits before it sends again. The table
of worlds has it."""

_PERIOD_SECONDS, _PAUSE_SECONDS = 2.0, 4.0


@dataclass
class Weather:
    """Lets one world of the service after the other come for two seconds.

    Args:
        emulator: whose worlds.
        rate: of each world of tasks; 0 = calm.
        seed: of the turns.
        clock: seconds.
    """

    emulator: EmulatorControl
    rate: float
    seed: int
    clock: Callable[[], float] = time.monotonic
    _next_at: float = 0.0
    _turns: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Let the worlds of tasks come by chance."""
        names = TASK_WORLDS.keys() - _TOO_SLOW
        self.emulator.set_world_rates(dict.fromkeys(names, self.rate))

    def change(self) -> None:
        """Begin the next world of the service, if it is time."""
        if not self.rate or self.clock() < self._next_at:
            return
        if not self._turns:
            self._turns = sorted(PERIOD_WORLDS)
            random.Random(self.seed).shuffle(self._turns)
        self.emulator.begin_world(self._turns.pop(), seconds=_PERIOD_SECONDS)
        self._next_at = self.clock() + _PAUSE_SECONDS
