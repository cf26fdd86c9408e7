"""How a submission came out: a task, nothing, or two tasks. Each is one transaction's work."""

from __future__ import annotations

import uuid
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.order import Order, OrderRequest, OrderState
from wiro_dagster.ledger.schema import orders


def note_task(
    connection: Connection, order: Order, task_id: str, *, now: float, due_at: float
) -> bool:
    """Gives an order the task that Wiro made for it. False where it has one, or has ended.

    It holds whoever has claimed the order by now, and also where it was taken for unsent meanwhile.

    Args:
        connection: of a transaction that may write.
        order: as it was when its submission began.
        task_id: Wiro's.
        now: unix seconds.
        due_at: when to poll the task first.
    """
    result = connection.execute(
        sa.update(orders)
        .where(orders.c.id == order.id, orders.c.task_id.is_(None))
        .where(orders.c.state.in_(("ordered", "submitting", "unknown")))
        .values(
            state="running",
            task_id=task_id,
            claimed_at=sa.func.coalesce(orders.c.claimed_at, order.claimed_at, now),
            submitted_at=now,
            lost_since=None,
            due_at=due_at,
            lease=None,
            attempts=0,
            hold=None,
            error=None,
        )
    )
    return result.rowcount == 1


def note_extra_task(
    connection: Connection, order: Order, task_id: str, *, now: float, due_at: float
) -> None:
    """Gives a task that no order stands for an order of its own, superseded from the start.

    So its cost is in the books and its file is fetched, though nobody is shown it.
    """
    asked = {field.name: getattr(order, field.name) for field in fields(OrderRequest)}
    connection.execute(
        sa.insert(orders).values(
            **asked,
            state="running",
            marker=uuid.uuid4().hex,
            created_at=now,
            claimed_at=order.claimed_at or now,
            submitted_at=now,
            due_at=due_at,
            task_id=task_id,
            superseded_by=order.id,
            outputs=[],
            files=[],
            error=f"Made for order {order.id}, which has another task or had ended.",
        )
    )


def note_unsent(
    connection: Connection, order: Order, *, now: float, due_at: float, hold: str | None
) -> OrderState | None:
    """Returns a claimed order of which nothing was bought.

    It is to be submitted again, unless nobody wants it any more.

    Args:
        connection: of a transaction that may write.
        order: as it was claimed.
        now: unix seconds.
        due_at: when it may be submitted again.
        hold: why it waits.

    Returns:
        The order's new state; `None` where somebody else has it by now.
    """
    is_mine = (
        (orders.c.id == order.id)
        & (orders.c.state == order.state)
        & (orders.c.lease == order.lease)
    )
    # Locked: what was asked for while the submission was under way decides.
    row = connection.execute(
        sa.select(orders.c.stop_state, orders.c.stop_reason, orders.c.superseded_by)
        .where(is_mine)
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    state: OrderState = "ordered"
    changes: dict[str, Any] = {"due_at": due_at, "hold": hold}
    if row.stop_state is not None or row.superseded_by is not None:
        state = row.stop_state or "cancelled"
        reason = row.stop_reason or f"Superseded by order {row.superseded_by}; nothing was bought."
        changes = {"due_at": now, "ended_at": now, "error": reason, "live_key": None}
    at_rest = {"state": state, "claimed_at": None, "lost_since": None, "lease": None}
    connection.execute(sa.update(orders).where(orders.c.id == order.id).values(at_rest | changes))
    return state
