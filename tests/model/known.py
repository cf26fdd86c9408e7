"""What the model knows: the states that an order and its POSTs can be in, and what it sends there.

A trace is held against it. Nothing of this is written by hand: it is what a search reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from tests.model.rules import Rules
from tests.model.search import Bounds, Search
from tests.model.steps import Steps
from tests.model.wish import POSTS, TWIN, Wish
from tests.model.world import STOPS


class Sight(NamedTuple):
    """What a ledger shows of one order.

    Args:
        state: of the order.
        open: how many of its POSTs may have bought something.
        tasks: how many of them are known to have made a task.
    """

    state: str
    open: int
    tasks: int


@dataclass(frozen=True)
class Known:
    """What the model allows.

    Args:
        sights: everything that a ledger can show of an order.
        sends: what it shows when a Run comes in.
        stops: what it shows when a task is killed.
    """

    sights: frozenset[Sight]
    sends: frozenset[Sight]
    stops: frozenset[Sight]


@cache
def know(faults: int = 2) -> Known:
    """Search one order with all rules on; return what was seen."""
    bounds = Bounds(processes=1, wishes=1, budget=3, faults=faults, backups=False)
    search = Search(Rules(), bounds)
    result = search.run()
    if not result.is_complete:
        raise RuntimeError(f"the model is not searched to its end: {result}")
    # A double that Wiro made is an order of its own on the books.
    wishes = [wish for wish in search.wishes if not wish.tasks[TWIN].phase]
    steps, sends, stops = Steps(Rules(), bounds.processes), set(), set()
    for wish in wishes:
        for step in steps.list(wish):
            if step.what == STOPS:
                stops.add(see(wish))
            elif set(step.wish.flying) - set(wish.flying):
                sends.add(see(step.wish))
    return Known(
        sights=frozenset(map(see, wishes)),
        sends=frozenset(sends),
        stops=frozenset(stops),
    )


def see(wish: Wish) -> Sight:
    """Return what the ledger shows of the present order."""
    own = [
        outcome
        for slot, outcome in enumerate(wish.books.submissions[:POSTS])
        if slot < len(wish.rows) and int(wish.rows[slot]) == wish.books.row
    ]
    return Sight(wish.state, own.count("o"), own.count("t") + own.count("z"))
