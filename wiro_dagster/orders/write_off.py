"""Writing off: what Wiro's list must show before a lost POST stops counting in the budget."""

from __future__ import annotations

from dataclasses import dataclass

from wiro_dagster.ledger import Order, SubmissionRecord
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.permission import measure_clocks
from wiro_dagster.orders.recover import search_list


@dataclass(frozen=True)
class Evidence:
    """What Wiro's list says about one lost POST.

    Args:
        record: the POST.
        objections: why it may have bought something; empty if the list proves that it did not.
        listed: how many tasks were compared with the books.
    """

    record: SubmissionRecord
    objections: tuple[str, ...]
    listed: int


def find_evidence(context: OrderContext, order: Order) -> list[Evidence]:
    """Compare every lost POST of an order with Wiro's whole list since it was sent.

    A task that carries the marker of one of them is adopted on the way.

    Args:
        context: of the account that sent them.
        order: whose.

    Raises:
        ApiError: the list cannot be read now.
    """
    return [
        evidence
        for record in context.ledger.list_lost(order.id)
        if (evidence := _find_evidence(context, record)) is not None
    ]


def _find_evidence(context: OrderContext, record: SubmissionRecord) -> Evidence | None:
    wrong_clock = measure_clocks(context, context.ledger.measure_database_clock())
    if wrong_clock is not None:
        return Evidence(record, (wrong_clock,), 0)
    search = search_list(
        context,
        sent_at=record.claimed_at,
        # By then we had stopped waiting for its answer, and the list has had time to show it.
        given_up_at=record.claimed_at + context.listing_seconds(),
        notices=[],
    )
    if all(left.id != record.id for left in context.ledger.list_lost(record.order_id)):
        return None  # its task was found
    objections = [f"no order explains task {task.id}" for task in search.unexplained]
    return Evidence(record, (*objections, *search.listing.doubts), len(search.listing.tasks))
