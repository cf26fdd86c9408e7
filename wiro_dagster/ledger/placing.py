"""Placing: from a request to the one order that stands for it."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger.order import (
    UNDER_WAY,
    Order,
    OrderRequest,
    Placement,
    PlacementOutcome,
)
from wiro_dagster.ledger.rows import ORDER_COLUMNS, order_from_row
from wiro_dagster.ledger.schema import orders


def place_order(
    connection: Connection, request: OrderRequest, *, now: float, cancel_superseded: bool
) -> Placement:
    """Makes an order, or finds the live one that already stands for the same video.

    Args:
        connection: of a transaction that may write.
        request: what is asked for.
        now: unix seconds.
        cancel_superseded: ask for tasks to be stopped that make a superseded video.
    """
    _take_turns(connection, request)
    key = live_key(request.collection, request.partition, request.fingerprint)
    found = connection.execute(
        sa.select(*ORDER_COLUMNS).where(orders.c.live_key == key)
    ).one_or_none()
    if found is None:
        order_id = _insert(connection, request, key, now)
        outcome: PlacementOutcome = "placed"
    else:
        order = order_from_row(found)
        order_id, outcome = order.id, _take_up(connection, order, request, now)
    _supersede_others(connection, request, order_id, now)
    if cancel_superseded:
        _stop_superseded(connection, order_id, now)
    row = connection.execute(sa.select(*ORDER_COLUMNS).where(orders.c.id == order_id)).one()
    return Placement(order_from_row(row), outcome)


def live_key(collection: str, partition: str, fingerprint: str) -> str:
    """What may exist once among live orders, as 64 hex digits."""
    text = f"{collection}\n{partition}\n{fingerprint}"
    return hashlib.sha256(text.encode()).hexdigest()


def _take_turns(connection: Connection, request: OrderRequest) -> None:
    """Lets one transaction at a time place orders of a partition.

    Two at once would not see each other's order, and neither would be superseded. SQLite has one
    writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        number = int(live_key(request.collection, request.partition, "")[:15], 16)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


def _insert(connection: Connection, request: OrderRequest, key: str, now: float) -> int:
    values = {
        **{name: getattr(request, name) for name in OrderRequest.__dataclass_fields__},
        "live_key": key,
        "state": "ordered",
        "marker": uuid.uuid4().hex,
        "created_at": now,
        "due_at": now,
        "outputs": [],
        "files": [],
    }
    inserted = connection.execute(sa.insert(orders).values(values)).inserted_primary_key
    if inserted is None:
        raise LedgerError("The database did not tell the new order's id.")
    return int(inserted[0])


def _take_up(
    connection: Connection, order: Order, request: OrderRequest, now: float
) -> PlacementOutcome:
    changes: dict[str, Any] = {}
    if order.superseded_by is not None:
        changes["superseded_by"] = None
        if order.stop_reason == _why_superseded(order.superseded_by):
            changes |= {"stop_state": None, "stop_reason": None}
        if order.state == "delivered":  # another video was shown since: report this one again
            changes |= {"state": "stored", "due_at": now, "lease": None}
    if order.state == "uncollected":
        changes |= {"state": "finished", "due_at": now, "lease": None, "attempts": 0}
    if changes:
        connection.execute(sa.update(orders).where(orders.c.id == order.id).values(changes))
        return "taken_up"
    if order.account != request.account:
        # The key was replaced before the order was sent: whoever asks for it now pays for it.
        connection.execute(
            sa.update(orders)
            .where(orders.c.id == order.id, orders.c.state == "ordered")
            .values(account=request.account)
        )
    return "owned" if order.is_owned else "under_way"


def _supersede_others(
    connection: Connection, request: OrderRequest, order_id: int, now: float
) -> None:
    others = connection.execute(
        sa.select(orders.c.id)
        .where(orders.c.collection == request.collection)
        .where(orders.c.partition == request.partition)
        .where(orders.c.id != order_id, orders.c.superseded_by.is_(None))
        .order_by(orders.c.id)
        .with_for_update()
    )
    ids = others.scalars().all()
    if not ids:
        return
    connection.execute(
        sa.update(orders)
        .where(orders.c.id.in_(ids), orders.c.state == "ordered")
        .values(
            state="cancelled",
            live_key=None,
            due_at=None,
            lease=None,
            ended_at=now,
            error=f"{_why_superseded(order_id)} Nothing had been sent.",
        )
    )
    connection.execute(sa.update(orders).where(orders.c.id.in_(ids)).values(superseded_by=order_id))


def _stop_superseded(connection: Connection, order_id: int, now: float) -> None:
    """Asks for the tasks of superseded orders to be stopped; one that completes is kept."""
    mine = (orders.c.superseded_by == order_id) & orders.c.stop_reason.is_(None)
    connection.execute(
        sa.update(orders)
        .where(mine, orders.c.state == "running", orders.c.lease.is_(None))
        .values(due_at=now)
    )
    connection.execute(
        sa.update(orders)
        .where(mine, orders.c.state.in_(UNDER_WAY))
        .values(stop_state="cancelled", stop_reason=_why_superseded(order_id))
    )


def _why_superseded(order_id: int) -> str:
    return f"Superseded by order {order_id}."
