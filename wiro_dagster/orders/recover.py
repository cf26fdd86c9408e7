"""Recovering: finding out what became of a submission whose answer was lost.

Wiro has no idempotency key, so the only way to know is its list of tasks. An order whose outcome is
unknown is never sent again before that list, which may lag behind, has had time to show its task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import sqlalchemy as sa

from wiro_dagster.api.types import Task
from wiro_dagster.errors import ApiError, NotFound, OutcomeUnknown, RateLimited
from wiro_dagster.ledger import Order
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.policy import count_surplus

_PAGE = 100
_MAXIMUM_PAGES = 100
_TRIES_A_PAGE = 4


@dataclass(frozen=True)
class Listing:
    """Wiro's newest tasks, back to some time.

    Args:
        tasks: the oldest first.
        reached_back: whether the list really goes back that far, so that absence means something.
    """

    tasks: tuple[Task, ...]
    reached_back: bool


@dataclass(frozen=True)
class Search:
    """What is known when lost answers are looked up.

    Args:
        unclaimed: listed tasks that no order has, the oldest first.
        reached_back: as in `Listing`.
        unanswered: all orders of the account that wait for a task of theirs.
    """

    unclaimed: tuple[Task, ...]
    reached_back: bool
    unanswered: tuple[Order, ...]

    def after_adoption(self, order: Order, task: Task) -> Search:
        """The search that is left when an order has got a task."""
        return replace(
            self,
            unclaimed=tuple(other for other in self.unclaimed if other.id != task.id),
            unanswered=tuple(other for other in self.unanswered if other.id != order.id),
        )


def list_tasks_since(context: OrderContext, created_after: float) -> Listing:
    """Reads Wiro's task list, newest first, until tasks are older than `created_after`."""
    tasks: dict[str, Task] = {}
    start = 0
    for _ in range(_MAXIMUM_PAGES):
        found = _list_page(context, start)
        tasks |= {task.id: task for task in found}
        # A page's length says nothing: Wiro may give fewer than it is asked for.
        start += len(found)
        newest = max((task.created_at for task in found if task.created_at), default=None)
        if not found or (newest is not None and newest < created_after):
            return Listing(tuple(_oldest_first(tasks)), reached_back=True)
    return Listing(tuple(_oldest_first(tasks)), reached_back=False)


def _list_page(
    context: OrderContext, start: int, *, tries: int = _TRIES_A_PAGE
) -> tuple[Task, ...]:
    try:
        return context.client.list_tasks(start=start, limit=_PAGE).tasks
    except NotFound:
        return ()  # "There is no task yet."
    except OutcomeUnknown:
        # One spoiled page must not spoil a list of many: reading it again costs nothing.
        if tries == 1:
            raise
        return _list_page(context, start, tries=tries - 1)


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
        now = context.now()
        look_at = now + context.policy.look_again_seconds
        if isinstance(error, RateLimited):
            look_at = max(look_at, context.slow_down(error))
        for order in claimed:
            # Nothing was learned: the pause does not grow.
            context.ledger.advance(
                order,
                state="unknown",
                lost_since=order.lost_since or now,
                due_at=look_at,
            )
        return [f"Cannot look up {len(claimed)} lost answers yet: {error}"]
    known = context.ledger.find_known_tasks(context.account, [task.id for task in listing.tasks])
    search = Search(
        unclaimed=tuple(task for task in listing.tasks if task.id not in known),
        reached_back=listing.reached_back,
        unanswered=tuple(context.ledger.list_unanswered(context.account)),
    )
    notices = []
    for order in sorted(claimed, key=lambda order: order.claimed_at or 0):
        notice, search = _recover(context, order, search)
        notices.append(notice)
    return notices


def _recover(context: OrderContext, order: Order, search: Search) -> tuple[str, Search]:
    """Looks one order up. Returns what a person should know, and the search that is left."""
    similar = _find_tasks(order, search, context.policy.clock_skew_seconds)
    certain = [task for task in similar if not _is_contested(order, task, search)]
    for task in certain:
        try:
            if context.ledger.record_task(order, task.id, due_at=context.now()):
                notice = f"{order.name}: its lost answer was task {task.id}, which is adopted."
                return notice, search.after_adoption(order, task)
        except sa.exc.IntegrityError:
            continue  # another order has this task
        return f"{order.name}: its task was noted by somebody else meanwhile.", search
    return _wait_on(context, order, similar, certain, search), search


def _wait_on(
    context: OrderContext, order: Order, similar: list[Task], certain: list[Task], search: Search
) -> str:
    """Decides about an order that no task could be given to."""
    if len(certain) < len(similar):
        _look_later(context, order)
        ids = ", ".join(task.id for task in similar)
        return (
            f"{order.name}: its answer was lost, and its task cannot be told from another order's. "
            f"Look at {ids}, then say which it is: wiro-dagster orders adopt {order.id} TASK_ID"
        )
    waited = context.now() - (order.lost_since or context.now())
    is_ours = order.account == context.account  # absence says something with the same key only
    if is_ours and search.reached_back and waited >= context.policy.resubmit_after_seconds:
        too_old = _find_older_equals(order, search, context.policy.clock_skew_seconds)
        if too_old:
            _look_later(context, order)
            ids = ", ".join(task.id for task in too_old)
            return (
                f"{order.name}: its answer was lost. Wiro lists tasks equal to it ({ids}) that no "
                "order has, but made before it was sent, by this machine's clock. Set the clock "
                f"right, then say what is so: wiro-dagster orders adopt {order.id} TASK_ID, or "
                f"orders abandon {order.id} where none of them is its own."
            )
        state = context.ledger.record_unsent(order, due_at=context.now())
        return (
            f"{order.name}: Wiro has listed no task of it for {waited:.0f} s, so nothing was "
            f"bought. It is {'submitted again' if state == 'ordered' else state}."
        )
    _look_later(context, order)
    return f"{order.name}: its answer was lost, and Wiro does not list its task yet."


def _look_later(context: OrderContext, order: Order) -> None:
    now = context.now()
    lost_since = order.lost_since or now
    due_at = now + context.policy.look_again_after(now - lost_since)
    context.ledger.advance(order, state="unknown", lost_since=lost_since, due_at=due_at)


def _find_tasks(order: Order, search: Search, skew_seconds: float) -> list[Task]:
    """Tasks that may be the order's: by its marker, else its equals that nobody else has marked."""
    marked = [t for t in search.unclaimed if t.callback_url and order.marker in t.callback_url]
    if marked:
        return marked
    sent_at = order.claimed_at or order.created_at
    return sorted(
        (
            task
            for task in _list_equals(order, search)
            if (task.created_at or 0) >= sent_at - skew_seconds
        ),
        key=lambda task: abs((task.created_at or 0) - sent_at),
    )


def _find_older_equals(order: Order, search: Search, skew_seconds: float) -> list[Task]:
    """Equal tasks that seem too old to be the order's.

    A clock may be wrong by more than is allowed for; to send the order again would be to pay again.
    """
    sent_at = order.claimed_at or order.created_at
    return [
        task
        for task in _list_equals(order, search)
        if (task.created_at or 0) < sent_at - skew_seconds
    ]


def _list_equals(order: Order, search: Search) -> list[Task]:
    """Listed tasks that no order has, no callback marks, and that ask for what the order does."""
    return [
        task
        for task in search.unclaimed
        if not task.callback_url and count_surplus(order, task) is not None
    ]


def _is_contested(order: Order, task: Task, search: Search) -> bool:
    """Whether a task may as well be that of an order which is not equal to this one.

    Two orders may differ in the bytes of a local file only, or one has an input more.
    """
    if task.callback_url:
        return False
    ours = count_surplus(order, task)
    for rival in search.unanswered:
        if rival.id == order.id or rival.inputs == order.inputs:
            continue
        theirs = count_surplus(rival, task)
        if theirs is not None and ours is not None and theirs <= ours:
            return True
    return False
