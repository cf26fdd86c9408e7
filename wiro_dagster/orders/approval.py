"""Approval from your own code: from a Slack action, for example.

ledger = LedgerResource(url="postgresql://…").get_ledger()
waiting = list_proposed_orders(ledger, collection="video")
approve_orders(ledger, waiting, by="anna@example.com")
"""

from __future__ import annotations

from collections.abc import Collection

from wiro_dagster.ledger import Ledger, Order, Proposal


def list_proposed_orders(
    ledger: Ledger,
    *,
    ids: Collection[int] | None = None,
    collection: str | None = None,
    partitions: Collection[str] | None = None,
) -> list[Order]:
    """Return the orders that wait for approval and fit every condition, the oldest first.

    Args:
        ledger: of the project: `LedgerResource(…).get_ledger()`.
        ids: of orders.
        collection: as `wiro-dagster orders --wide` names it: `video`, or `ads/video`.
        partitions: ids of prompts.
    """
    return ledger.list_orders(
        states=["proposed"], ids=ids, collection=collection, partitions=partitions
    )


def approve_orders(ledger: Ledger, shown: Collection[Order], *, by: str) -> Proposal:
    """Approve orders at the prices that were shown, and record who did it.

    The sensor submits them if the budget allows. An order whose price has changed since it was
    listed, or that was declined or approved in the meantime, is left alone.

    Args:
        ledger: of the project.
        shown: what `list_proposed_orders` returned.
        by: who approves: a name or an address.

    Returns:
        What was approved: `count`, `quote_usd` and more.
    """
    approved = set(ledger.approve(shown, by=by))
    return Proposal.of(order for order in shown if order.id in approved)


def decline_orders(ledger: Ledger, shown: Collection[Order], *, by: str) -> int:
    """Drop orders that wait for approval. Nothing was bought, so it costs nothing.

    Args:
        ledger: of the project.
        shown: what `list_proposed_orders` returned. What was approved in the meantime goes on.
        by: who declines.

    Returns:
        How many were dropped.
    """
    return len(ledger.decline(shown, by=by))
