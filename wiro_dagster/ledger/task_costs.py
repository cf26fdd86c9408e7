"""What tasks cost: what Wiro states, as the books keep it, and what may have been billed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.order import ORDER_COLUMNS, Order, order_from_row
from wiro_dagster.ledger.schema import differences, orders, submissions


@dataclass(frozen=True)
class Cost:
    """What Wiro states of a task's cost.

    Args:
        usd: the cost; `None` if it is not stated, and then the ceiling stays committed.
        has_ended: whether the task has ended: what it cost is spent.
        recheck_at: when to read the cost again, if it is not stated, or if Wiro's list has not
            shown the task by then; `None` = no more.
    """

    usd: Decimal | None
    has_ended: bool = False
    recheck_at: float | None = None


_FIND_COST = sa.select(
    submissions.c.id, submissions.c.order_id, submissions.c.cost_usd, submissions.c.listed_at
).where(
    submissions.c.account == sa.bindparam("of_account"),
    submissions.c.task_id == sa.bindparam("of_task"),
)
_UPDATE_ORDER_OF_TASK = sa.update(orders).where(
    orders.c.id == sa.bindparam("of_order"), orders.c.task_id == sa.bindparam("of_task")
)
_UPDATE_SUBMISSION = sa.update(submissions).where(submissions.c.id == sa.bindparam("of_id"))


def record_cost(
    connection: Connection, account: str, task_id: str, cost: Cost, *, now: float
) -> None:
    """Put what Wiro states of a task's cost on the books.

    A cost that changes after it was stated is taken over, and the difference is noted. A cost that
    was charged is never forgotten. But the 0 of a failure says nothing of the success that the task
    turns out to be: until that states a cost of its own, the ceiling is committed again.
    """
    row = connection.execute(_FIND_COST, {"of_account": account, "of_task": task_id}).one_or_none()
    if row is None:
        return
    changes: dict[str, Any] = {"recheck_at": cost.recheck_at}
    if cost.has_ended:
        changes["has_ended"] = True
    if cost.usd is not None:
        changes |= {"cost_usd": cost.usd, "cost_stated_at": now}
        if row.listed_at is not None:
            changes["recheck_at"] = None  # the list shows what changes
        if row.cost_usd is not None and row.cost_usd != cost.usd:
            _note_difference(connection, row.id, row.cost_usd, cost.usd, now)
    elif cost.has_ended and row.cost_usd == 0:
        changes |= {"cost_usd": None, "cost_stated_at": None}
    if "cost_usd" in changes:
        given = {"of_order": row.order_id, "of_task": task_id, "cost_usd": cost.usd}
        connection.execute(_UPDATE_ORDER_OF_TASK, given)
    connection.execute(_UPDATE_SUBMISSION, {"of_id": row.id, **changes})


def _note_difference(
    connection: Connection, submission_id: int, was: Decimal, is_now: Decimal, now: float
) -> None:
    known = differences.c.submission_id == submission_id
    values = {"is_usd": is_now, "seen_at": now}
    if connection.execute(sa.update(differences).where(known).values(values)).rowcount == 0:
        connection.execute(
            sa.insert(differences).values(submission_id=submission_id, was_usd=was, **values)
        )


def free_unbilled(connection: Connection, order_ids: Collection[int]) -> None:
    """Let videos be ordered again that ended without anything billed, as is known by now."""
    ended = orders.c.state.in_(("failed", "cancelled")) & orders.c.live_key.is_not(None)
    query = sa.select(*ORDER_COLUMNS).where(orders.c.id.in_(order_ids), ended).with_for_update()
    for order in map(order_from_row, connection.execute(query).all()):
        if not may_be_billed(connection, order):
            free = sa.update(orders).where(orders.c.id == order.id).values(live_key=None)
            connection.execute(free)


def may_be_billed(connection: Connection, order: Order) -> bool:
    """Whether any POST of the order cost money, or may have."""
    may_cost = submissions.c.cost_usd.is_(None) | (submissions.c.cost_usd > Decimal(0))
    query = sa.select(submissions.c.id).where(
        submissions.c.order_id == order.id, submissions.c.outcome != "nothing", may_cost
    )
    return connection.execute(query.limit(1)).first() is not None
