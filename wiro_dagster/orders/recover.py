"""Recovering: finding out what became of a submission whose answer was lost.

Wiro has no idempotency key, so the only way to know is its list of tasks. An order whose outcome is
unknown is never sent again before that list, which may lag behind, has had time to show its task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from wiro_dagster.api.types import Task
from wiro_dagster.errors import ApiError
from wiro_dagster.ledger import Order
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.policy import is_same_request

_PAGE = 100
_MAXIMUM_PAGES = 100
_NEXT_LOOK_SECONDS = 10.0


@dataclass(frozen=True)
class Listing:
    """Wiro's newest tasks, back to some time.

    Args:
        tasks: the oldest first.
        reached_back: whether the list really goes back that far, so that absence means something.
    """

    tasks: tuple[Task, ...]
    reached_back: bool


def list_tasks_since(context: OrderContext, created_after: float) -> Listing:
    """Reads Wiro's task list, newest first, until tasks are older than `created_after`."""
    tasks: dict[str, Task] = {}
    for page in range(_MAXIMUM_PAGES):
        found = context.client.list_tasks(start=page * _PAGE, limit=_PAGE).tasks
        tasks |= {task.id: task for task in found}
        oldest = min((task.created_at for task in found if task.created_at), default=None)
        if len(found) < _PAGE or (oldest is not None and oldest < created_after):
            return Listing(tuple(_oldest_first(tasks)), reached_back=True)
    return Listing(tuple(_oldest_first(tasks)), reached_back=False)


def _oldest_first(tasks: dict[str, Task]) -> Iterator[Task]:
    return iter(sorted(tasks.values(), key=lambda task: (task.created_at or 0, task.id)))


def recover_orders(context: OrderContext, claimed: list[Order]) -> list[str]:
    """Looks up what became of orders whose submission has no known outcome.

    Args:
        context: the collection's orders.
        claimed: in state `submitting` (their lease has ended) or `unknown`, claimed by us.

    Returns:
        What a person should know.
    """
    skew = context.policy.clock_skew_seconds
    since = min(order.claimed_at or order.created_at for order in claimed) - skew
    try:
        listing = list_tasks_since(context, since)
    except ApiError as error:
        for order in claimed:
            context.ledger.advance(order, state="unknown", due_at=context.retry_at(order))
        return [f"Cannot look up {len(claimed)} lost answers yet: {error}"]
    # The oldest order first: equal requests adopt tasks in the order in which they were made.
    return [
        _recover(context, order, listing)
        for order in sorted(claimed, key=lambda order: order.claimed_at or 0)
    ]


def _recover(context: OrderContext, order: Order, listing: Listing) -> str:
    for task in _candidates(context, order, listing):
        try:
            if context.ledger.record_task(order, task.id, due_at=context.now()):
                return f"{order.name}: its lost answer was task {task.id}, which is adopted."
        except sa.exc.IntegrityError:
            continue  # another order has this task
        return f"{order.name}: its task was noted by somebody else meanwhile."
    waited = context.now() - (order.claimed_at or order.created_at)
    if listing.reached_back and waited > context.policy.resubmit_after_seconds:
        state = order.stop_state or "ordered"
        context.ledger.advance(
            order, state=state, claimed_at=None, due_at=context.now(), error=order.stop_reason
        )
        return (
            f"{order.name}: Wiro has listed no task of it for {waited:.0f} s, so nothing was "
            f"bought. It is {'submitted again' if state == 'ordered' else state}."
        )
    due_at = context.now() + _NEXT_LOOK_SECONDS
    context.ledger.advance(order, state="unknown", due_at=due_at)
    return f"{order.name}: its answer was lost, and Wiro does not list its task yet."


def _candidates(context: OrderContext, order: Order, listing: Listing) -> list[Task]:
    marked = [t for t in listing.tasks if t.callback_url and order.marker in t.callback_url]
    if marked:
        return marked
    since = (order.claimed_at or order.created_at) - context.policy.clock_skew_seconds
    similar = [
        task
        for task in listing.tasks
        if (task.created_at or 0) >= since and is_same_request(order, task)
    ]
    taken = context.ledger.find_known_tasks(context.account, [task.id for task in similar])
    return [task for task in similar if task.id not in taken]
