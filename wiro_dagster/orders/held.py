"""The collections whose orders a desk moves: its own, and those left without a sensor."""

from __future__ import annotations

from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.recent import is_recent

_HOLD_SECONDS = 30.0
"""How often a desk notes that it works for its collection."""


class HeldCollections:
    """The collections that a desk handles. Keep one for a desk.

    Args:
        collection: its own.
    """

    def __init__(self, collection: str) -> None:
        self.names = [collection]
        self._held_at: float | None = None

    def hold(self, context: OrderContext) -> list[str]:
        """Note that the desk works for its collection. Return all collections to handle.

        Raises:
            ConfigurationError: another project works for the collection.
        """
        now = context.now()
        if not is_recent(self._held_at, now, _HOLD_SECONDS):
            project = context.store.uri_for("video")
            account = context.account
            context.ledger.hold_collection(context.collection, project=project, account=account)
            orphans = context.ledger.list_orphaned(
                context.collection, project=project, account=account
            )
            self.names = [context.collection, *orphans]
            self._held_at = now
        return self.names
