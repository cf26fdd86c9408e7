"""Which worlds there are now: those drawn by chance, and the periods begun by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wiro_dagster.emulator.chance import happens
from wiro_dagster.emulator.state import State
from wiro_dagster.emulator.worlds.periods import PERIOD_WORLDS, PeriodWorld
from wiro_dagster.emulator.worlds.tasks import TASK_WORLDS, marker_of, merge_scripts


class Worlds:
    """The rates of all worlds and the begun periods, kept in the state."""

    def __init__(self, state: State, seed: int) -> None:
        self._state = state
        self._seed = seed
        self.rates: dict[str, float] = state.get("world_rates", {})
        self._rates_since: float = state.get("world_rates_since", 0.0)
        # Asked many times for each call: what was drawn for each world, in which period.
        self._drawn: dict[str, tuple[int, bool]] = {}
        self._periods: list[tuple[str, float, float | None]] = [
            (name, begin, end) for name, begin, end in state.get("periods", [])
        ]

    def set_rates(self, rates: Mapping[str, float], now: float) -> None:
        """Replace the rates of worlds that come by chance.

        Args:
            rates: from 0 to 1 by the world's name. A world of tasks is drawn for each task, one
                of the service for each period.
            now: the first period begins here.

        Raises:
            ValueError: a name is unknown, or a rate is not from 0 to 1.
        """
        for name, rate in rates.items():
            if name not in world_names():
                raise ValueError(f"unknown world {name}; choose from {', '.join(world_names())}")
            if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
                raise ValueError(f"the rate of {name} must be a number from 0 to 1")
        self.rates, self._rates_since = dict(rates), now
        self._drawn.clear()
        self._state.keep("world_rates", self.rates)
        self._state.keep("world_rates_since", now)

    def begin(self, name: str, now: float, seconds: float | None) -> None:
        """Begin a period; without seconds it lasts until it is ended.

        Raises:
            ValueError: the name is unknown.
        """
        if name not in PERIOD_WORLDS:
            raise ValueError(
                f"the service has no world {name}; choose from {', '.join(PERIOD_WORLDS)}"
            )
        end = None if seconds is None else now + float(seconds)
        self._keep([*self._periods, (name, now, end)])

    def end(self, name: str, now: float) -> None:
        """End the periods of this name that were begun by hand."""
        self._keep(
            [
                (known, begin, now if known == name and (end is None or end > now) else end)
                for known, begin, end in self._periods
            ]
        )

    def clear(self, now: float) -> None:
        """End all periods, and let nothing more happen by chance."""
        for name in PERIOD_WORLDS:
            self.end(name, now)
        self.set_rates({}, now)

    def forget(self) -> None:
        """Begin as in an empty state."""
        self.rates, self._periods = {}, []
        self._drawn.clear()

    def holds(self, name: str, at: float) -> bool:
        """Return whether the service was in this world at that time."""
        if self._periods and any(
            known == name and begin <= at and (end is None or at < end)
            for known, begin, end in self._periods
        ):
            return True
        rate = self.rates.get(name)
        if not rate:
            return False
        period = int((at - self._rates_since) / PERIOD_WORLDS[name].seconds)
        drawn_for, drawn = self._drawn.get(name, (None, False))
        if drawn_for != period:
            drawn = happens(rate, self._seed, name, period)
            self._drawn[name] = period, drawn
        return drawn

    def active(self, now: float) -> list[PeriodWorld]:
        """Return all worlds of the service that hold now."""
        return [world for world in PERIOD_WORLDS.values() if self.holds(world.name, now)]

    def draw_task_script(self, task_number: int) -> dict[str, Any]:
        """Return what chance does to a new task, as fields of a task script."""
        fields: dict[str, Any] = {}
        for world in TASK_WORLDS.values():
            if happens(self.rates.get(world.name, 0.0), self._seed, world.name, task_number):
                fields = merge_scripts(world.fields(), fields)
        return fields

    def describe(self, now: float) -> list[dict[str, Any]]:
        """Return all worlds, for the control API and the page."""
        active = {world.name for world in self.active(now)}
        shown: list[dict[str, Any]] = [
            {"name": world.name, "of": "task", "marker": marker_of(world), "what": world.what}
            | {"seconds": world.seconds, "source": world.source}
            for world in TASK_WORLDS.values()
        ]
        shown += [
            {"name": world.name, "of": "service", "what": world.what, "seconds": world.seconds}
            | {"source": world.source, "is_active": world.name in active}
            for world in PERIOD_WORLDS.values()
        ]
        return [{**world, "rate": self.rates.get(world["name"], 0.0)} for world in shown]

    def _keep(self, periods: list[tuple[str, float, float | None]]) -> None:
        self._periods = periods
        self._state.keep("periods", periods)


def world_names() -> tuple[str, ...]:
    """Return the names of all worlds."""
    return (*TASK_WORLDS, *PERIOD_WORLDS)
