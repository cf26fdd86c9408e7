"""Placing: from a request to the one live order for it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger.claims import Move, take_step
from wiro_dagster.ledger.order import (
    ORDER_COLUMNS,
    Order,
    OrderRequest,
    Placement,
    PlacementOutcome,
    live_key,
    order_from_row,
)
from wiro_dagster.ledger.schema import orders
from wiro_dagster.ledger.transitions import UNDER_WAY, UNSENT, OrderState

_SETTINGS = "the collection's settings, which no longer ask for approval"


def place_order(
    connection: Connection,
    request: OrderRequest,
    *,
    now: float,
    cancel_superseded: bool,
    needs_approval: bool,
) -> Placement:
    """Make an order, or find the live one for the same video.

    Args:
        connection: of a transaction that may write.
        request: what is asked for.
        now: unix seconds.
        cancel_superseded: stop tasks that make a superseded video.
        needs_approval: a new order is proposed, and not bought before it is approved.
    """
    _take_turns(connection, request)
    key = live_key(request.collection, request.partition, request.fingerprint)
    found = connection.execute(
        sa.select(*ORDER_COLUMNS).where(orders.c.live_key == key)
    ).one_or_none()
    if found is None:
        first = state_of_new(request, needs_approval=needs_approval)
        order_id = insert_order(connection, request, now=now, key=key, **first)
        outcome: PlacementOutcome = "placed"
    else:
        order = order_from_row(found)
        order_id, outcome = order.id, _take_up(connection, order, request, now)
        if order.state == "proposed" and not needs_approval:
            approve_order(connection, order, by=_SETTINGS, now=now)
    _supersede_others(connection, request, order_id, now)
    if cancel_superseded:
        _stop_superseded(connection, order_id, now)
    row = connection.execute(sa.select(*ORDER_COLUMNS).where(orders.c.id == order_id)).one()
    return Placement(order_from_row(row), outcome)


def approve_order(connection: Connection, order: Order, *, by: str, now: float) -> bool:
    """Let a proposed order be bought at the price that was shown. False if it has moved on."""
    approval = {"approved_by": by, "approved_at": now, "approved_usd": order.ceiling_usd}
    changes = {"due_at": now, "attempts": 0, "hold": None, **approval}
    return take_step(connection, Move(order, "approve", changes), now=now)


def state_of_new(request: OrderRequest, *, needs_approval: bool) -> dict[str, Any]:
    """Return the first state of an order, as columns."""
    if not needs_approval:
        return {"state": "ordered"}
    # A proposed order has a step to take only while it has no price.
    return {"state": "proposed"} | ({} if request.ceiling_usd is None else {"due_at": None})


def insert_order(
    connection: Connection,
    request: OrderRequest,
    *,
    now: float,
    key: str | None,
    state: OrderState,
    **more: Any,
) -> int:
    """Insert an order. Return its id.

    Args:
        connection: of a transaction that may write.
        request: what it asks for.
        now: unix seconds.
        key: the live key of the video, `None` for an order that is not shown.
        state: the order's first.
        **more: other columns.
    """
    values = {
        **{name: getattr(request, name) for name in OrderRequest.__dataclass_fields__},
        "live_key": key,
        "state": state,
        "created_at": now,
        "moved_at": now,
        "due_at": now,
        "outputs": [],
        "files": [],
        **more,
    }
    inserted = connection.execute(sa.insert(orders).values(values)).inserted_primary_key
    if inserted is None:
        raise LedgerError("The database did not return the new order's id.")
    return int(inserted[0])


def _take_turns(connection: Connection, request: OrderRequest) -> None:
    """Let one transaction at a time place orders of a partition.

    Two at once would not see each other's order, and neither would be superseded. SQLite has one
    writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        number = int(live_key(request.collection, request.partition, "")[:15], 16)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


def _take_up(
    connection: Connection, order: Order, request: OrderRequest, now: float
) -> PlacementOutcome:
    changes: dict[str, Any] = {}
    is_taken_up = order.superseded_by is not None
    if is_taken_up:
        changes["superseded_by"] = None
        if order.stop_reason == _why_superseded(order.superseded_by):
            changes |= {"stop_state": None, "stop_reason": None}
        connection.execute(sa.update(orders).where(orders.c.id == order.id).values(changes))
    if order.is_billed_failure and order.state != "uncollected":
        return "billed_failure"
    if order.state == "uncollected":
        # What was paid for is looked for once more; nothing is bought.
        return _resume(connection, order, "follow_again", now)
    if is_taken_up:
        if order.state == "delivered":  # another video was shown since: report this one again
            return _resume(connection, order, "show_again", now)
        return "taken_up"
    # Nothing was sent yet: the account that asks now pays, and what it asks with is the newest. A
    # signed URL ends after a while, and a new one is the same input.
    connection.execute(
        sa.update(orders)
        .where(orders.c.id == order.id, orders.c.state.in_(UNSENT), orders.c.posts == 0)
        .values(
            account=request.account,
            inputs=dict(request.inputs),
            limit_usd=request.limit_usd,
        )
    )
    return "owned" if order.is_owned else "under_way"


def _resume(connection: Connection, order: Order, step: str, now: float) -> PlacementOutcome:
    take_step(connection, Move(order, step, {"due_at": now, "attempts": 0}), now=now)
    return "taken_up"


def _supersede_others(
    connection: Connection, request: OrderRequest, order_id: int, now: float
) -> None:
    found = connection.execute(
        sa.select(*ORDER_COLUMNS)
        .where(orders.c.collection == request.collection)
        .where(orders.c.partition == request.partition)
        .where(orders.c.id != order_id, orders.c.superseded_by.is_(None))
        .order_by(orders.c.id)
        .with_for_update()
    )
    others = [order_from_row(row) for row in found]
    for other in others:
        if other.state in UNSENT:
            reason = f"{_why_superseded(order_id)} Nothing had been sent."
            ended = {"due_at": None, "ended_at": now, "error": reason}
            take_step(connection, Move(other, "drop", ended), now=now)
    connection.execute(
        sa.update(orders)
        .where(orders.c.id.in_([other.id for other in others]))
        .values(superseded_by=order_id)
    )


def _stop_superseded(connection: Connection, order_id: int, now: float) -> None:
    """Ask for the tasks of superseded orders to be stopped; one that completes is kept."""
    mine = (orders.c.superseded_by == order_id) & orders.c.stop_reason.is_(None)
    connection.execute(
        sa.update(orders)
        .where(mine, orders.c.state.in_(UNDER_WAY))
        .values(
            stop_state="cancelled",
            stop_reason=_why_superseded(order_id),
            due_at=sa.case((orders.c.state == "running", now), else_=orders.c.due_at),
        )
    )


def _why_superseded(order_id: int | None) -> str:
    return f"Superseded by order {order_id}."
