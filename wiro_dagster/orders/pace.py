"""When a task is worth a first look: not before one of its model may be done."""

from __future__ import annotations

from wiro_dagster.ledger import Ledger
from wiro_dagster.orders.policy import Timing
from wiro_dagster.orders.recent import RecentlyRead

_SHARE_OF_USUAL = 0.9
_LONGEST_WAIT_SECONDS = 300.0
_KNOWN_SECONDS = 3.0
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
        self._usual = RecentlyRead[float | None](_KNOWN_SECONDS, ledger.clock)

    def first_look_at(self, model_slug: str, submitted_at: float) -> float:
        """Return when to look first at a task.

        The quickest of the model's recent tasks says how long one takes, also those of the batch
        that is under way. A task of a model that we know nothing of is looked at soon, and then
        less and less often.
        """
        usual = self._usual.get(model_slug, self._ledger.find_usual_seconds)
        wait = self._timing.first_look_seconds
        if usual is not None:
            wait = min(max(wait, usual * _SHARE_OF_USUAL), _LONGEST_WAIT_SECONDS)
        return submitted_at + wait
