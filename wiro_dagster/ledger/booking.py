"""Booking: a task is entered for the order that it was bought for, or for one of its own.

Nothing that Wiro may bill is left out: a second task of an order gets an order too.
"""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.claims import Move, take_step
from wiro_dagster.ledger.identity import make_marker, next_sequence
from wiro_dagster.ledger.order import (
    ORDER_COLUMNS,
    SELECT_ONE,
    Order,
    OrderRequest,
    live_key,
    order_from_row,
)
from wiro_dagster.ledger.placing import insert_order, take_turns
from wiro_dagster.ledger.schema import orders, submissions
from wiro_dagster.ledger.strays import Stray, insert_stray, remove_stray
from wiro_dagster.ledger.task_costs import Cost
from wiro_dagster.ledger.transitions import UNSENT

TaskNote = Literal["noted", "known", "extra", "taken"]
"""What became of a task id that was noted for an order.

noted  the order follows it now
known  the order had it already
extra  the order already has a task or is owned: this one gets an order of its own on the books
taken  another submission has it
"""

_HAS_TASK = sa.select(submissions.c.order_id).where(
    submissions.c.account == sa.bindparam("account"),
    submissions.c.task_id == sa.bindparam("task"),
)
_LOCK_ONE = SELECT_ONE.with_for_update()
_EXPLAIN = sa.update(submissions).where(
    submissions.c.marker == sa.bindparam("of_marker"), submissions.c.task_id.is_(None)
)


def book_task(
    connection: Connection,
    order: Order,
    task_id: str,
    *,
    now: float,
    due_at: float,
    marker: str | None,
) -> TaskNote:
    """Put a task on the books inside a transaction; see `Submissions.note_task`."""
    # The answer to the POST and the watch of another process may bring the same task at once.
    take_turns(connection, [(order.account, task_id)])
    given = {"account": order.account, "task": task_id}
    taken_by = connection.execute(_HAS_TASK, given).one_or_none()
    if taken_by is not None:
        return "known" if taken_by.order_id == order.id else "taken"
    asked = order_from_row(connection.execute(_LOCK_ONE, {"one_id": order.id}).one())
    found = _find_unsent_successor(connection, asked)
    # It may have been believed lost, and written off: now it counts again.
    task = {"task_id": task_id, "outcome": "task", "has_ended": False, "cost_usd": None}
    mine = {"of_marker": marker, "order_id": found.id, **task}
    explained = connection.execute(_EXPLAIN, mine).rowcount
    remove_stray(connection, order.account, task_id)
    if found.task_id is not None or found.is_owned:
        _insert_extra(
            connection,
            found,
            task_id,
            now=now,
            due_at=due_at,
            marker=marker if explained else None,
        )
        return "extra"
    if not explained:  # a task that the user names, for an order without an open POST
        insert_submission(
            connection,
            found.request,
            found.live_key or found.fingerprint,
            order_id=found.id,
            task_id=task_id,
            claimed_at=found.claimed_at or now,
        )
    records = {
        "task_id": task_id,
        "submitted_at": now,
        "lost_since": None,
        "ended_at": None,
        "due_at": due_at,
        "attempts": 0,
        "hold": None,
        "error": None,
    }
    take_step(connection, Move(found, "accept", records), now=now)
    return "noted"


def _find_unsent_successor(connection: Connection, order: Order) -> Order:
    """Return the order that has taken the place of an ended one and is not sent yet, or the order.

    The late task of the ended one makes its video: another POST would buy it a second time.
    """
    if order.live_key is not None or order.task_id is not None:
        return order
    key = live_key(order.collection, order.partition, order.fingerprint)
    query = sa.select(*ORDER_COLUMNS).where(orders.c.live_key == key, orders.c.state.in_(UNSENT))
    row = connection.execute(query.with_for_update()).one_or_none()
    return order if row is None else order_from_row(row)


def insert_submission(
    connection: Connection,
    request: OrderRequest,
    key: str,
    *,
    order_id: int,
    task_id: str,
    claimed_at: float,
    cost: Cost | None = None,
) -> None:
    """Enter a task that was not bought through this ledger, or not for this order."""
    ledger_id, secret, _ = next_sequence(connection)
    connection.execute(
        sa.insert(submissions).values(
            order_id=order_id,
            account=request.account,
            collection=request.collection,
            model_slug=request.model_slug,
            marker=make_marker(ledger_id, secret, key),
            claimed_at=claimed_at,
            outcome="task",
            task_id=task_id,
            ceiling_usd=request.ceiling_usd,
            cost_usd=None if cost is None else cost.usd,
            has_ended=cost is not None and cost.has_ended,
            recheck_at=None if cost is None else cost.recheck_at,
        )
    )


def _insert_extra(
    connection: Connection,
    order: Order,
    task_id: str,
    *,
    now: float,
    due_at: float,
    marker: str | None,
) -> None:
    """Give a second task of one order an order of its own, superseded from the start.

    So its cost is on the books and its file is fetched, though it is not shown. The check
    `books_match` reports it until the user accepts it.
    """
    insert_stray(connection, order.account, Stray(task_id, order.model_slug, None, None), now)
    extra_id = insert_order(
        connection,
        order.request,
        now=now,
        key=None,
        state="running",
        claimed_at=order.claimed_at or now,
        submitted_at=now,
        due_at=due_at,
        task_id=task_id,
        superseded_by=order.id,
        posts=1,
        error=f"Made for order {order.id}, which already had a task or had ended.",
    )
    if marker is None:
        insert_submission(
            connection,
            order.request,
            order.fingerprint,
            order_id=extra_id,
            task_id=task_id,
            claimed_at=order.claimed_at or now,
        )
    else:
        connection.execute(
            sa.update(submissions).where(submissions.c.marker == marker).values(order_id=extra_id)
        )
