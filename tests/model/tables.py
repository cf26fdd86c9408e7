"""The states of one wish as small numbers, and their steps, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tests.model.rules import Rules
from tests.model.steps import Steps
from tests.model.wish import EMPTY, Wish, at_stake, committed, find_problem, find_problem_at_rest
from tests.model.world import Step, rebuild, restore_backup

NO_WISH = 0
"""Stands where there are fewer wishes than places."""

WISH_BITS = 19
_MOST_WISHES = 1 << WISH_BITS
_UNKNOWN, _IMPOSSIBLE = -2, -1

Numbers = npt.NDArray[np.int64]


class Following:
    """What follows each state of a wish, in one flat array."""

    def __init__(self) -> None:
        self._first = np.full(_MOST_WISHES, -1, np.int64)
        self._count = np.zeros(_MOST_WISHES, np.int64)
        self._flat = np.empty(1 << 12, np.int64)
        self._size = 0
        self.put(NO_WISH, ())

    def put(self, number: int, following: Sequence[int]) -> None:
        """Note what follows a state."""
        end = self._size + len(following)
        if end > len(self._flat):
            self._flat = np.resize(self._flat, 2 * end)
        self._flat[self._size : end] = following
        self._first[number], self._count[number] = self._size, len(following)
        self._size = end

    def find_missing(self, numbers: Numbers) -> list[int]:
        """Return those of these states of which it is not known yet."""
        return np.unique(numbers[self._first[numbers] < 0]).tolist()

    def count(self, numbers: Numbers) -> Numbers:
        """Return how much follows each of these states."""
        return self._count[numbers]

    def take(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """Return all that follows these states, and for each the index of its state."""
        counts = self._count[numbers]
        which = np.repeat(np.arange(len(numbers)), counts)
        offsets = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        return which, self._flat[self._first[numbers][which] + offsets]


class Tables:
    """What follows each state of a wish, by number.

    Args:
        rules: which rules hold.
        processes: how many work on one order at most.
    """

    def __init__(self, rules: Rules, processes: int) -> None:
        self._rules = rules
        self._steps = Steps(rules, processes)
        self.wishes: list[Wish] = [EMPTY]
        self.after = Following()
        """By the product, by Wiro and by users."""
        self.after_fault = Following()
        self.after_claim = Following()
        self.after_skew = Following()
        self.committed = np.zeros(_MOST_WISHES, np.int64)
        self.at_stake = np.zeros(_MOST_WISHES, np.int64)
        self.is_ahead = np.zeros(_MOST_WISHES, bool)
        """Whether the witnesses know of more than the backup."""
        self.is_lost = np.zeros(_MOST_WISHES, bool)
        self.lost: dict[int, str] = {}
        """What is lost in a state."""
        self._numbers: dict[Wish, int] = {}
        self._faults: dict[int, list[Wish]] = {}
        self._together = {
            name: np.full(_MOST_WISHES, _UNKNOWN, np.int64)
            for name in ("back up", "restore", "rebuild")
        }

    def number(self, wish: Wish) -> int:
        """Return the number of a state.

        Raises:
            OverflowError: there are more states of a wish than numbers.
        """
        number = self._numbers.get(wish)
        if number is None:
            number = self._numbers[wish] = len(self.wishes)
            if number >= _MOST_WISHES:
                raise OverflowError(f"one order has more than {_MOST_WISHES} states")
            self.wishes.append(wish)
            self.committed[number] = committed(wish)
            self.at_stake[number] = at_stake(wish)
            self.is_ahead[number] = self._rules.ledger_has_witnesses and wish.is_ahead
            self._note_loss(number, find_problem(wish))
        return number

    def expand(self, numbers: Numbers) -> None:
        """Compute what follows these states, but for what goes wrong.

        Faults are left for later: most states are met when no more of them may come.
        """
        for number in self.after.find_missing(numbers):
            wish = self.wishes[number]
            steps = self._steps.list(wish)
            self._faults[number] = [step.wish for step in steps if step.kind == "fault"]
            self.after_claim.put(number, self._number_all(steps, "claim"))
            self.after_skew.put(number, self._number_all(steps, "skewed"))
            if all(step.kind in ("fault", "user") for step in steps):
                self._look_at_rest(number, wish)
            self.after.put(number, self._number_all(steps, "product", "wiro", "user"))

    def expand_faults(self, numbers: Numbers) -> None:
        """Compute what follows these states, which were expanded, if something goes wrong."""
        for number in self.after_fault.find_missing(numbers):
            self.after_fault.put(number, list(map(self.number, self._faults.pop(number))))

    def back_up(self, numbers: Numbers) -> Numbers:
        """Return the states with a backup of their books."""
        return self._apply("back up", numbers, lambda wish: wish._replace(backup=wish.books))

    def restore(self, numbers: Numbers) -> Numbers:
        """Return the states with the books of their backups."""
        return self._apply("restore", numbers, restore_backup)

    def rebuild(self, numbers: Numbers) -> Numbers:
        """Return the states with books filled from the evidence; -1 if that leaves a doubt."""
        return self._apply("rebuild", numbers, rebuild)

    def find_step(self, number: int, after: int) -> Step:
        """Return the step from one state to another."""
        steps = self._steps.list(self.wishes[number])
        return next(step for step in steps if self._numbers.get(step.wish) == after)

    def _apply(self, name: str, numbers: Numbers, change: Callable[[Wish], Wish | None]) -> Numbers:
        known = self._together[name]
        known[NO_WISH] = NO_WISH
        for number in np.unique(numbers[known[numbers] == _UNKNOWN]).tolist():
            wish = change(self.wishes[number])
            known[number] = _IMPOSSIBLE if wish is None else self.number(wish)
        return known[numbers]

    def _number_all(self, steps: list[Step], *kinds: str) -> list[int]:
        return [self.number(step.wish) for step in steps if step.kind in kinds]

    def _look_at_rest(self, number: int, wish: Wish) -> None:
        if wish.is_ahead and wish.backup is None:
            return  # it is restored, and still to be rebuilt
        lost = find_problem_at_rest(wish, is_told=self._rules.standing_still_is_told)
        self._note_loss(number, lost)

    def _note_loss(self, number: int, lost: str) -> None:
        if lost:
            self.lost[number] = lost
            self.is_lost[number] = True
