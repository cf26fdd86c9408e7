"""Restoring: orders that a ledger has lost are put back on the books, from evidence outside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.booking import insert_submission
from wiro_dagster.ledger.claims import Move, take_step
from wiro_dagster.ledger.order import (
    ORDER_COLUMNS,
    Order,
    OrderRequest,
    live_key,
    order_from_row,
)
from wiro_dagster.ledger.placing import insert_order
from wiro_dagster.ledger.records import Records
from wiro_dagster.ledger.schema import orders, submissions
from wiro_dagster.ledger.takes import Takes
from wiro_dagster.ledger.task_costs import Cost
from wiro_dagster.ledger.transitions import OrderState


class Restoring(Records, Takes):
    """Puts orders back on the books."""

    def restore(
        self, request: OrderRequest, *, task_id: str, known: Mapping[str, Any], cost: Cost
    ) -> Order | None:
        """Put an order back on the books from evidence outside the ledger.

        Args:
            request: what was asked for.
            task_id: the task that Wiro made for it.
            known: other columns; with `files`, the order is owned, otherwise its task is followed.
            cost: what it cost.

        Returns:
            The order; `None` if the books have it, or its task, already.
        """
        now = self.clock()
        key = live_key(request.collection, request.partition, request.fingerprint)
        is_known = (submissions.c.account == request.account) & (submissions.c.task_id == task_id)
        with self.writing() as connection:
            if connection.execute(sa.select(submissions.c.id).where(is_known)).first() is not None:
                return None
            row = connection.execute(
                sa.select(*ORDER_COLUMNS).where(orders.c.live_key == key)
            ).one_or_none()
            if row is None:
                order_id = _insert_restored(
                    connection, request, task_id=task_id, known=known, cost=cost, now=now
                )
            else:
                # A backup knows the wish and not its task: it must not be bought again.
                live = order_from_row(row)
                if live.task_id is not None or live.is_owned:
                    return None
                _give_task(connection, live, task_id=task_id, known=known, cost=cost, now=now)
                order_id = live.id
        order = self.get(order_id)
        if order.is_owned:
            self.elect(order)
        return self.get(order_id)


def _insert_restored(
    connection: Connection,
    request: OrderRequest,
    *,
    task_id: str,
    known: Mapping[str, Any],
    cost: Cost,
    now: float,
) -> int:
    """Insert an order that is not on the books at all. Return its id."""
    key = live_key(request.collection, request.partition, request.fingerprint)
    is_owned = bool(known.get("files"))
    values = {"claimed_at": now, "submitted_at": now, "posts": 1, **known}
    order_id = insert_order(
        connection,
        request,
        now=now,
        key=key,
        state="delivered" if is_owned else "running",
        task_id=task_id,
        cost_usd=cost.usd,
        **values | ({"due_at": None} if is_owned else {}),
    )
    insert_submission(
        connection,
        request,
        key,
        order_id=order_id,
        task_id=task_id,
        claimed_at=float(values["claimed_at"] or now),
        cost=cost,
    )
    return order_id


def _give_task(
    connection: Connection,
    order: Order,
    *,
    task_id: str,
    known: Mapping[str, Any],
    cost: Cost,
    now: float,
) -> None:
    """Give an order on the books the task that was made for it later, step by step."""
    insert_submission(
        connection,
        order.request,
        order.live_key or order.fingerprint,
        order_id=order.id,
        task_id=task_id,
        claimed_at=float(known.get("claimed_at") or now),
        cost=cost,
    )
    submitted_at = known.get("submitted_at") or now
    steps: list[tuple[str, OrderState, dict[str, Any]]] = [
        ("accept", "running", {"task_id": task_id, "submitted_at": submitted_at, "due_at": now})
    ]
    if known.get("files"):
        times = ("ended_at", "queue_seconds", "elapsed_seconds", "outputs")
        steps += [
            ("succeed", "finished", {name: known[name] for name in times if name in known}),
            ("store", "stored", {"files": known["files"], "due_at": now}),
        ]
    for step, state, records in steps:
        take_step(connection, Move(order, step, {"error": None, "hold": None, **records}), now=now)
        order = replace(order, state=state, task_id=task_id, lease=None)
    connection.execute(sa.update(orders).where(orders.c.id == order.id).values(cost_usd=cost.usd))
