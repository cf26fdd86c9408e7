"""Breadth-first search over several wishes that share a gate, a clock and a ledger.

A state of the whole is one integer: the numbers of its wishes (see `tables`) in order, since wishes
are alike, and a few shared bits. All states of one depth take their steps together, as arrays.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tests.model.packing import PLACES, SHARED, States, list_wishes, pack, unpack
from tests.model.rules import Rules
from tests.model.tables import NO_WISH, Following, Numbers, Tables
from tests.model.wish import EMPTY, Wish

Which = npt.NDArray[np.bool_]

_FAULTS = 0b111
MOST_FAULTS = _FAULTS
_BEHIND, _BACKED_UP, _RESTORED, _SKEWED = 8, 16, 32, 64
_AT_ONCE = 100_000


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
        self._levels: list[States] = []
        """The states of each depth, in order of size."""
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
        start = [NO_WISH] * (PLACES - bounds.wishes)
        start += [self._tables.number(EMPTY)] * bounds.wishes
        frontier = pack(np.array([start]), np.zeros(1, np.uint64))
        seen, self._levels = frontier, [frontier]
        problem, trace = "", ()  # type: str, tuple[str, ...]
        while len(frontier) and len(seen) < bounds.states and not problem:
            found = self._advance(frontier, seen)
            problem, trace = self._find_loss(frontier, found)
            seen = np.concatenate((seen, found))
            seen.sort(kind="stable")  # two sorted parts are merged
            frontier = found
            if len(found):
                self._levels.append(found)
        return Result(
            states=len(seen),
            wishes=len(self._tables.wishes) - 1,
            steps=self._taken,
            depth=len(self._levels) - 1,
            seconds=time.perf_counter() - began,
            is_complete=not len(frontier) and not problem,
            problem=problem,
            trace=trace,
        )

    def _advance(self, frontier: States, seen: States) -> States:
        """Take every step from every state of the frontier. Return the states that are new."""
        found, count = [frontier[:0]], len(seen)
        for start in range(0, len(frontier), _AT_ONCE):
            after, _ = self._follow(frontier[start : start + _AT_ONCE])
            self._taken += len(after)
            new = _leave_out(np.unique(after), seen)
            found.append(new)
            count += len(new)
            if count >= self._bounds.states:
                break
        return np.unique(np.concatenate(found))

    def _follow(self, states: States) -> tuple[States, Numbers]:
        """Return every state that follows, and the index of the one that it follows."""
        wishes, shared = unpack(states)
        tables = self._tables
        tables.expand(wishes)
        may_fail = (shared & _FAULTS) < self._bounds.faults
        tables.expand_faults(wishes[may_fail])
        is_open = self._find_open(states, wishes, shared)
        is_skewed = (shared & _SKEWED) > 0
        kinds = (
            (tables.after, None, 0),
            (tables.after_fault, may_fail, 1),
            (tables.after_claim, is_open, 0),
            (tables.after_skew, is_skewed, 0),
        )
        after, sources = [states[:0]], [np.zeros(0, np.int64)]
        for place in range(PLACES):
            # Wishes that are alike have the same steps.
            is_new = np.ones(len(states), bool)
            if place:
                is_new = wishes[:, place] != wishes[:, place - 1]
            for following, may_come, faults in kinds:
                rows = np.flatnonzero(is_new if may_come is None else is_new & may_come)
                new, rows = _move(following, wishes, rows, place)
                after.append(pack(new, shared[rows] + np.uint64(faults)))
                sources.append(rows)
        for new_states, rows in self._step_together(wishes, shared, may_fail):
            after.append(new_states)
            sources.append(rows)
        return np.concatenate(after), np.concatenate(sources)

    def _find_open(self, states: States, wishes: Numbers, shared: States) -> Which:
        """Return for which states the gate lets one more order through."""
        budget = self._bounds.budget
        is_open = (shared & _BEHIND) == 0
        if self._is_fenced_by_clocks:
            is_open &= (shared & _SKEWED) == 0
        is_open &= self._tables.committed[wishes].sum(axis=1) < budget
        wants = (self._tables.after_claim.count(wishes) > 0).any(axis=1)
        is_over = is_open & wants & (self._tables.at_stake[wishes].sum(axis=1) >= budget)
        if self._over_budget is None and is_over.any():
            self._over_budget = int(states[np.flatnonzero(is_over)[0]])
        return is_open

    def _step_together(
        self, wishes: Numbers, shared: States, may_fail: Which
    ) -> Iterator[tuple[States, Numbers]]:
        """What happens to all wishes at once: clocks, backups, a rebuilt ledger."""
        tables = self._tables
        rows = np.flatnonzero(may_fail & ((shared & _SKEWED) == 0))
        yield pack(wishes[rows], (shared[rows] + np.uint64(1)) | np.uint64(_SKEWED)), rows
        rows = np.flatnonzero((shared & _SKEWED) > 0)
        yield pack(wishes[rows], shared[rows] & np.uint64(SHARED & ~_SKEWED)), rows
        if not self._bounds.backups:
            return
        rows = np.flatnonzero(may_fail & ((shared & _BACKED_UP) == 0))
        now = (shared[rows] + np.uint64(1)) | np.uint64(_BACKED_UP)
        yield pack(tables.back_up(wishes[rows]), now), rows
        rows = np.flatnonzero(((shared & _BACKED_UP) > 0) & ((shared & _RESTORED) == 0))
        is_behind = tables.is_ahead[wishes[rows]].any(axis=1)
        flags = np.where(is_behind, _RESTORED | _BEHIND, _RESTORED).astype(np.uint64)
        yield pack(tables.restore(wishes[rows]), shared[rows] | flags), rows
        rows = np.flatnonzero((shared & _BEHIND) > 0)
        rebuilt = tables.rebuild(wishes[rows])
        is_clear = (rebuilt >= 0).all(axis=1)
        rows = rows[is_clear]
        yield pack(rebuilt[is_clear], shared[rows] & np.uint64(SHARED & ~_BEHIND)), rows

    # ---- what was found ----

    def _find_loss(self, frontier: States, found: States) -> tuple[str, tuple[str, ...]]:
        if self._over_budget is not None:
            problem = "more is bought than the budget allows"
            return problem, tuple(self._retrace(self._over_budget, len(self._levels) - 1))
        if self._tables.lost:
            for depth, states in enumerate((frontier, found), len(self._levels) - 1):
                wishes, _ = unpack(states)
                is_lost = self._tables.is_lost[wishes]
                if is_lost.any():
                    row = int(np.flatnonzero(is_lost.any(axis=1))[0])
                    number = int(wishes[row][is_lost[row]][0])
                    trace = tuple(self._retrace(int(states[row]), depth))
                    return self._tables.lost[number], trace
        return "", ()

    def _retrace(self, state: int, depth: int) -> list[str]:
        """Return the way to a state of a depth, in words."""
        way = [state]
        for level in reversed(self._levels[:depth]):
            way.append(self._find_source(level, way[-1]))
        way.reverse()
        return [self._tell(before, after) for before, after in pairwise(way)]

    def _find_source(self, level: States, state: int) -> int:
        for start in range(0, len(level), _AT_ONCE):
            part = level[start : start + _AT_ONCE]
            after, rows = self._follow(part)
            hits = np.flatnonzero(after == np.uint64(state))
            if len(hits):
                return int(part[rows[hits[0]]])
        raise LookupError(f"no state of the depth before leads to {state}")

    def _tell(self, before: int, after: int) -> str:
        gone, come = before & ~after & SHARED, after & ~before & SHARED
        for bit, words in _TOGETHER.items():
            if come & bit:
                return words
        if gone & _SKEWED:
            return "the clocks agree again"
        if gone & _BEHIND:
            return "the ledger is rebuilt from the evidence"
        was, now = list_wishes(before), list_wishes(after)
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


def _move(
    following: Following, wishes: Numbers, rows: Numbers, place: int
) -> tuple[Numbers, Numbers]:
    """Return what follows if one wish of these rows takes its steps, and the rows again."""
    which, moved = following.take(wishes[rows, place])
    rows = rows[which]
    new = wishes[rows]
    new[:, place] = moved
    return new, rows


def _leave_out(states: States, seen: States) -> States:
    """Return those states that were not seen; both are sorted."""
    places = np.minimum(np.searchsorted(seen, states), len(seen) - 1)
    return states[seen[places] != states]
