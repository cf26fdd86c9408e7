"""The person who runs a campaign: decides what the product leaves to its user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.system.campaigns.own_tasks import Task, list_own_tasks
from wiro_dagster.emulator import EmulatorControl
from wiro_dagster.ledger import Ledger, Order


class Operator:
    """Looks at the emulator's own books and decides about orders whose answers were lost.

    Args:
        ledger: of the campaign.
        emulator: whose books hold the truth.
    """

    def __init__(self, ledger: Ledger, emulator: EmulatorControl) -> None:
        self._ledger = ledger
        self._emulator = emulator
        self.decisions: Counter[str] = Counter()

    def decide(self) -> None:
        """Adopt the task of each order of unknown outcome, or send the order again."""
        unknown = self._ledger.list_orders(states=["unknown"])
        # They know what Wiro's list or an answer shows, and no more.
        made = list_own_tasks(self._emulator) if unknown else []
        for order in unknown:
            tasks = self._find_tasks(order, made)
            for task_id in tasks:
                self._ledger.note_task(order, task_id, due_at=self._ledger.clock())
            if tasks or self._ledger.send_again(order):
                self.decisions["adopt" if tasks else "resend"] += 1

    def stop_standing(self, *, older_than_seconds: float = 0.0) -> None:
        """Stop tasks that never end: those that were submitted longer ago than this."""
        before = self._ledger.clock() - older_than_seconds
        for order in self._ledger.list_orders(states=["running", "settling"]):
            is_old = (order.submitted_at or 0.0) <= before
            if is_old and self._ledger.request_stop(
                order.id, state="cancelled", reason="Given up."
            ):
                self.decisions["stop"] += 1

    def recover(self) -> None:
        """Look again at orders whose files could not be fetched while all went wrong."""
        for order in self._ledger.list_orders(states=["uncollected"]):
            if self._ledger.recover(order.id):
                self.decisions["recover"] += 1

    def _find_tasks(self, order: Order, made: Sequence[Task]) -> list[str]:
        markers = {record.marker for record in self._ledger.list_submissions(order_id=order.id)}
        return [
            task["id"]
            for task in made
            if any(marker in str(task["callbackurl"]) for marker in markers)
        ]
