"""Which part of Wiro's list shows the tasks that are due, for the fewest calls in all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wiro_dagster.ledger import Order
from wiro_dagster.orders.task_list import PAGE

SLACK = 20
"""How many places a task may have drifted down the list since its rank was computed."""


@dataclass(frozen=True)
class Span:
    """A part of Wiro's list, newest first.

    Args:
        first: how many tasks come before it.
        pages: how long it is.
        left_out: due tasks that are not in it.
    """

    first: int
    pages: int
    left_out: tuple[Order, ...]

    @property
    def calls(self) -> int:
        """How many calls it takes to read all due tasks."""
        return self.pages + len(self.left_out)


def find_span(due: Iterable[Order], rank: Callable[[Order], int], *, from_newest: bool) -> Span:
    """Return the part of the list to read; what it leaves out is read by Task/Detail.

    A few tasks that are much older than the others, such as those that stand in Wiro's queue, are
    left out, rather than all pages read down to them. All are, if they are very few.

    Args:
        due: at least one order with a task.
        rank: says where in the list, newest first, the task of an order should be.
        from_newest: begin with the newest task of the account.
    """
    newest_first = sorted(due, key=lambda order: order.claimed_at or 0.0, reverse=True)
    first = 0 if from_newest else max(0, rank(newest_first[0]) - SLACK)
    best, left_out = Span(first, 0, tuple(newest_first)), 0
    while left_out < len(newest_first):
        kept = len(newest_first) - left_out
        last = rank(newest_first[kept - 1]) + SLACK
        span = Span(first, (last - first) // PAGE + 1, tuple(newest_first[kept:]))
        if span.calls <= best.calls:
            best = span
        if span.pages == 1:
            break
        left_out = 2 * left_out or 1
    return best
