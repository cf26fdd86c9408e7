"""Breadth-first search over several wishes that share a gate, a clock and a ledger.

A state of the whole is one integer: the numbers of its wishes (see `tables`) in order, since wishes
are alike, and a few shared bits.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from tests.model.rules import Rules
from tests.model.tables import Tables
from tests.model.wish import EMPTY, Wish

_PLACES = 3
_WISH_BITS = 20
_WISH = (1 << _WISH_BITS) - 1
_SHARED_BITS = 8
_SHARED = (1 << _SHARED_BITS) - 1
_MIDDLE, _HIGH = _SHARED_BITS + _WISH_BITS, _SHARED_BITS + 2 * _WISH_BITS
_FAULTS = 0b1111
_BEHIND, _BACKED_UP, _RESTORED, _SKEWED = 16, 32, 64, 128


@dataclass(frozen=True)
class Bounds:
    """What is searched.

    Args:
        processes: how many work on one order at most.
        wishes: how many there are.
        budget: in prices of one video.
        faults: how many things go wrong at most, beside what is slow.
        states: where the search stops.
        backups: whether the ledger may be restored from one.
    """

    processes: int = 3
    wishes: int = 3
    budget: int = 3
    faults: int = 3
    states: int = 10_000_000
    backups: bool = True


@dataclass(frozen=True)
class Result:
    """What a search found.

    Args:
        states: how many different ones.
        wishes: how many different states of one wish among them.
        steps: how many steps were taken.
        depth: the longest of the shortest ways to a state.
        seconds: how long it took.
        is_complete: whether every state within the bounds was reached.
        problem: what is lost; empty if nothing is.
        trace: the shortest way there, one line for a step.
    """

    states: int
    wishes: int
    steps: int
    depth: int
    seconds: float
    is_complete: bool
    problem: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        end = "all of them" if self.is_complete else "then it was stopped"
        summary = (
            f"{self.states:,} states ({end}) of {self.wishes:,} of one order, "
            f"{self.steps:,} steps, depth {self.depth}, "
            f"{self.seconds:.1f} s, {self.states / max(self.seconds, 1e-9):,.0f} states/s: "
        )
        if not self.problem:
            return summary + "nothing is lost."
        return "\n".join([summary + self.problem, *(f"  {line}" for line in self.trace)])


class Search:
    """One search.

    Args:
        rules: which rules hold.
        bounds: what is searched.
    """

    def __init__(self, rules: Rules, bounds: Bounds) -> None:
        self._bounds = bounds
        self._tables = Tables(rules, bounds.processes)
        self._is_fenced_by_clocks = rules.clocks_are_measured
        self._over_budget: int | None = None
        self._taken = 0

    @property
    def wishes(self) -> list[Wish]:
        """All states of one wish that were reached."""
        return self._tables.wishes

    def run(self) -> Result:
        """Search until a loss is found, all is seen, or there are states enough."""
        gc.disable()  # nothing here is a cycle, and looking for some would take half of the time
        try:
            return self._run()
        finally:
            gc.enable()

    def _run(self) -> Result:
        began, bounds = time.perf_counter(), self._bounds
        numbers = [0] * (_PLACES - bounds.wishes) + [self._tables.number(EMPTY)] * bounds.wishes
        parents: dict[int, int] = {_pack(numbers, 0): -1}
        frontier, depth = list(parents), 0
        problem, trace = "", ()  # type: str, tuple[str, ...]
        while frontier and len(parents) < bounds.states and not problem:
            found = self._advance(frontier, parents)
            problem, trace = self._find_loss((*frontier, *found), parents)
            frontier, depth = found, depth + bool(found)
        return Result(
            states=len(parents),
            wishes=len(self._tables.wishes) - 1,
            steps=self._taken,
            depth=depth,
            seconds=time.perf_counter() - began,
            is_complete=not frontier and not problem,
            problem=problem,
            trace=trace,
        )

    def _advance(  # noqa: C901, calls would cost as much as the work
        self, frontier: list[int], parents: dict[int, int]
    ) -> list[int]:
        """Take every step from every state of the frontier. Return the states that are new."""
        found: list[int] = []
        limit, most_faults, tables = self._bounds.states, self._bounds.faults, self._tables
        after, after_fault, after_claim = tables.after, tables.after_fault, tables.after_claim
        for state in frontier:
            shared = state & _SHARED
            first, second = state >> _HIGH, state >> _MIDDLE & _WISH
            third = state >> _SHARED_BITS & _WISH
            nexts: list[int] = []
            may_fail, worse = shared & _FAULTS < most_faults, shared + 1
            previous = 0
            for number, low, high in (
                (first, second, third),
                (second, first, third),
                (third, first, second),
            ):
                if number == previous:
                    continue  # wishes that are alike have the same steps
                previous = number
                free = after[number]
                if free is None:
                    free = tables.expand(number)
                self._join(nexts, free, low, high, shared)
                if may_fail:
                    faulty = after_fault[number]
                    if faulty is None:
                        faulty = tables.expand_faults(number)
                    self._join(nexts, faulty, low, high, worse)
                claims = after_claim[number]
                if claims and self._is_open(state, first, second, third):
                    self._join(nexts, claims, low, high, shared)
                if shared & _SKEWED:
                    self._join(nexts, tables.after_skew.get(number, ()), low, high, shared)
            self._step_together(nexts, state, (first, second, third))
            self._taken += len(nexts)
            for new in nexts:
                if new not in parents:
                    parents[new] = state
                    found.append(new)
            if len(parents) >= limit:
                break
        return found

    @staticmethod
    def _join(nexts: list[int], news: tuple[int, ...], low: int, high: int, shared: int) -> None:
        """Put each new wish beside the others, in order: they are alike, so order says nothing."""
        below = low << _HIGH | high << _MIDDLE | shared
        between = low << _HIGH | high << _SHARED_BITS | shared
        above = low << _MIDDLE | high << _SHARED_BITS | shared
        nexts += [
            new << _HIGH | above
            if new <= low
            else (new << _MIDDLE | between if new <= high else new << _SHARED_BITS | below)
            for new in news
        ]

    def _is_open(self, state: int, first: int, second: int, third: int) -> bool:
        """Whether the gate lets one more order through."""
        if state & _BEHIND or (state & _SKEWED and self._is_fenced_by_clocks):
            return False
        committed, at_stake = self._tables.committed, self._tables.at_stake
        budget = self._bounds.budget
        is_open = committed[first] + committed[second] + committed[third] < budget
        if is_open and at_stake[first] + at_stake[second] + at_stake[third] >= budget:
            self._over_budget = state
        return is_open

    def _step_together(self, nexts: list[int], state: int, numbers: tuple[int, ...]) -> None:
        """What happens to all wishes at once: clocks, backups, a rebuilt ledger."""
        shared, tables = state & _SHARED, self._tables
        if shared & _FAULTS < self._bounds.faults:
            if not shared & _SKEWED:
                nexts.append((state + 1) | _SKEWED)
            if self._bounds.backups and not shared & _BACKED_UP:
                backed_up = [tables.backed_up(number) for number in numbers]
                nexts.append(_pack(backed_up, (shared + 1) | _BACKED_UP))
        if shared & _SKEWED:
            nexts.append(state & ~_SKEWED)
        if shared & _BACKED_UP and not shared & _RESTORED:
            is_behind = any(tables.is_ahead(number) for number in numbers)
            now = shared | _RESTORED | (_BEHIND if is_behind else 0)
            nexts.append(_pack([tables.restored(number) for number in numbers], now))
        if shared & _BEHIND:
            rebuilt = [tables.rebuilt(number) for number in numbers]
            if -1 not in rebuilt:
                nexts.append(_pack(rebuilt, shared & ~_BEHIND))

    # ---- what was found ----

    def _find_loss(
        self, states: Iterable[int], parents: dict[int, int]
    ) -> tuple[str, tuple[str, ...]]:
        if self._over_budget is not None:
            problem = "more is bought than the budget allows"
            return problem, tuple(self._retrace(self._over_budget, parents))
        if self._tables.lost:
            for state in states:
                for number in _unpack(state):
                    if number in self._tables.lost:
                        return self._tables.lost[number], tuple(self._retrace(state, parents))
        return "", ()

    def _retrace(self, state: int, parents: dict[int, int]) -> list[str]:
        """Return the way to a state, in words."""
        way = [state]
        while parents[way[-1]] != -1:
            way.append(parents[way[-1]])
        way.reverse()
        return [self._tell(before, after) for before, after in pairwise(way)]

    def _tell(self, before: int, after: int) -> str:
        gone, come = before & ~after, after & ~before
        for bit, words in _TOGETHER.items():
            if come & bit:
                return words
        if gone & _BEHIND:
            return "the ledger is rebuilt from the evidence"
        if gone & _SKEWED:
            return "the clocks agree again"
        was, now = list(_unpack(before)), list(_unpack(after))
        for number in tuple(was):
            if number in now:
                was.remove(number)
                now.remove(number)
        step = self._tables.find_step(was[0], now[0])
        return f"{step.kind}: {step.what}; the order is {step.wish.state}"


_TOGETHER = {
    _BACKED_UP: "the ledger is backed up",
    _RESTORED: "the ledger is restored from its backup",
    _SKEWED: "the clocks differ",
}


def _pack(numbers: list[int], shared: int) -> int:
    first, second, third = sorted(numbers)
    return first << _HIGH | second << _MIDDLE | third << _SHARED_BITS | shared


def _unpack(state: int) -> tuple[int, int, int]:
    return state >> _HIGH & _WISH, state >> _MIDDLE & _WISH, state >> _SHARED_BITS & _WISH
