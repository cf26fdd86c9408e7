"""When a task is worth a first look: not before one of its model may be done."""

from __future__ import annotations

from wiro_dagster.ledger import Ledger
from wiro_dagster.orders.policy import Timing
from wiro_dagster.orders.recent import RecentlyRead

_SHARE_OF_QUICKEST = 0.9
_LONGEST_WAIT_SECONDS = 300.0
_KNOWN_SECONDS = 1.0
"""How long what was learned of a model is used before the ledger is asked again."""


class Pace:
    """Says when tasks are worth a look. Thread-safe.

    Args:
        ledger: knows how long the tasks of each model took.
        timing: the shortest waits.
    """

    def __init__(self, ledger: Ledger, timing: Timing) -> None:
        self._ledger = ledger
        self._timing = timing
        self._quickest = RecentlyRead[float | None](_KNOWN_SECONDS, ledger.clock)

    def first_look_at(self, model_slug: str, submitted_at: float) -> float:
        """Return when to look first at a task.

        The quickest of the model's recent tasks says how long one takes, also those of the batch
        that is under way. A task of a model that we know nothing of is looked at soon, and then
        less and less often.
        """
        quickest, wait = self.find_quickest(model_slug), self._timing.first_look_seconds
        if quickest is not None:
            wait = min(max(wait, quickest * _SHARE_OF_QUICKEST), _LONGEST_WAIT_SECONDS)
        return submitted_at + wait

    def find_quickest(self, model_slug: str) -> float | None:
        """Return how many seconds the quickest of a model's recent tasks took, if it had any."""
        return self._quickest.get(model_slug, self._ledger.find_quickest_seconds)
