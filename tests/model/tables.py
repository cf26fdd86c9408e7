"""The states of one wish as small numbers, and their steps, each computed once."""

from __future__ import annotations

from collections.abc import Callable

from tests.model.rules import Rules
from tests.model.steps import Steps
from tests.model.wish import EMPTY, Wish, at_stake, committed, find_problem, find_problem_at_rest
from tests.model.world import Step, rebuild, restore_backup

NO_WISH = 0
"""Stands where there are fewer wishes than places."""


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
        self.after: list[tuple[int, ...] | None] = [()]
        """By the product, by Wiro and by users; None if not computed yet."""
        self.after_fault: list[tuple[int, ...] | None] = [()]
        self.after_claim: list[tuple[int, ...]] = [()]
        self.after_skew: dict[int, tuple[int, ...]] = {}
        self.committed: list[int] = [0]
        self.at_stake: list[int] = [0]
        self.lost: dict[int, str] = {}
        """What is lost in a state."""
        self._numbers: dict[Wish, int] = {}
        self._faults: dict[int, list[Wish]] = {}
        self._together: dict[tuple[str, int], int] = {}

    def number(self, wish: Wish) -> int:
        """Return the number of a state."""
        number = self._numbers.get(wish)
        if number is None:
            number = self._numbers[wish] = len(self.wishes)
            self.wishes.append(wish)
            self.after.append(None)
            self.after_fault.append(None)
            self.after_claim.append(())
            self.committed.append(committed(wish))
            self.at_stake.append(at_stake(wish))
            lost = find_problem(wish)
            if lost:
                self.lost[number] = lost
        return number

    def expand(self, number: int) -> tuple[int, ...]:
        """Compute what follows a state."""
        wish = self.wishes[number]
        steps = self._steps.list(wish)
        # Faults are left for later: most states are met when no more of them may come.
        self._faults[number] = [step.wish for step in steps if step.kind == "fault"]
        self.after_claim[number] = self._number_all(steps, "claim")
        skewed = self._number_all(steps, "skewed")
        if skewed:
            self.after_skew[number] = skewed
        if all(step.kind in ("fault", "user") for step in steps):
            self._look_at_rest(number, wish)
        free = self.after[number] = self._number_all(steps, "product", "wiro", "user")
        return free

    def expand_faults(self, number: int) -> tuple[int, ...]:
        """Compute what follows a state if something goes wrong."""
        faulty = self.after_fault[number] = tuple(map(self.number, self._faults.pop(number)))
        return faulty

    def backed_up(self, number: int) -> int:
        """Return the state with a backup of its books."""
        return self._apply("backup", number, lambda wish: wish._replace(backup=wish.books))

    def restored(self, number: int) -> int:
        """Return the state with the books of its backup."""
        return self._apply("restore", number, restore_backup)

    def rebuilt(self, number: int) -> int:
        """Return the state with books filled from the evidence; -1 if that leaves a doubt."""
        return self._apply("rebuild", number, rebuild)

    def is_ahead(self, number: int) -> bool:
        """Whether the witnesses know of more than the backup."""
        return self._rules.ledger_has_witnesses and self.wishes[number].is_ahead

    def find_step(self, number: int, after: int) -> Step:
        """Return the step from one state to another."""
        steps = self._steps.list(self.wishes[number])
        return next(step for step in steps if self._numbers.get(step.wish) == after)

    def _apply(self, name: str, number: int, change: Callable[[Wish], Wish | None]) -> int:
        if number == NO_WISH:
            return NO_WISH
        known = self._together.get((name, number))
        if known is None:
            wish = change(self.wishes[number])
            known = self._together[name, number] = -1 if wish is None else self.number(wish)
        return known

    def _number_all(self, steps: list[Step], *kinds: str) -> tuple[int, ...]:
        return tuple(self.number(step.wish) for step in steps if step.kind in kinds)

    def _look_at_rest(self, number: int, wish: Wish) -> None:
        if wish.is_ahead and wish.backup is None:
            return  # it is restored, and still to be rebuilt
        lost = find_problem_at_rest(wish, is_told=self._rules.standing_still_is_told)
        if lost:
            self.lost[number] = lost
