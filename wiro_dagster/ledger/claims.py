"""Claims: who may take an order's next step, and for how long."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.order import FREE_TO_REPEAT, Order, OrderState
from wiro_dagster.ledger.rows import ORDER_COLUMNS, order_from_row
from wiro_dagster.ledger.schema import orders


class Claims(Database):
    """Takes orders for a step, and moves them on."""

    def claim(
        self,
        collection: str,
        states: Collection[OrderState],
        *,
        limit: int,
        lease_seconds: float,
        unwaited: bool = False,
        oldest_task_first: bool = False,
    ) -> list[Order]:
        """Takes orders whose next step is due, the longest due first, for `lease_seconds`.

        Args:
            collection: whose orders.
            states: in which states.
            limit: how many at the most.
            lease_seconds: after that long without a word, others may take them.
            unwaited: leave out orders that a living run waits for.
            oldest_task_first: prefer tasks that ended longest ago, whose files vanish first.
        """
        now, lease = self.clock(), uuid.uuid4().hex
        is_due = (
            (orders.c.collection == collection)
            & orders.c.state.in_(states)
            & (orders.c.due_at <= now)
        )
        if unwaited:
            is_due &= orders.c.waiter_until.is_(None) | (orders.c.waiter_until <= now)
        first = orders.c.ended_at if oldest_task_first else orders.c.due_at
        due = sa.select(orders.c.id).where(is_due).order_by(first, orders.c.id).limit(limit)
        with self.reading() as connection:  # which holds up nobody, and mostly finds nothing
            if connection.execute(due.limit(1)).first() is None:
                return []
        with self.writing() as connection:
            # Rows that somebody else is just changing are left to them: nobody waits in a circle.
            ids = connection.execute(due.with_for_update(skip_locked=True)).scalars().all()
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(ids))
                .values(lease=lease, due_at=now + lease_seconds)
            )
            rows = connection.execute(
                sa.select(*ORDER_COLUMNS).where(orders.c.lease == lease).order_by(orders.c.id)
            )
            return [order_from_row(row) for row in rows]

    def renew(self, order: Order, lease_seconds: float) -> bool:
        """Keeps a claimed order for longer. False where somebody else has it by now."""
        return self.renew_all([order], lease_seconds)[0]

    def renew_all(self, claimed: Sequence[Order], lease_seconds: float) -> list[bool]:
        """Keeps several claimed orders for longer, in one transaction; see `renew`."""
        due_at = self.clock() + lease_seconds
        with self.writing() as connection:
            return [
                self._update(connection, order, {"due_at": due_at})
                # Always in the same direction: nobody waits in a circle.
                for order in sorted(claimed, key=lambda order: order.id)
            ]

    def advance(self, order: Order, **changes: Any) -> bool:
        """Moves a claimed order on. False, and no change, where somebody else has it by now.

        Args:
            order: as it was claimed.
            **changes: new values of its fields, `state` and `due_at` among them.
        """
        with self.writing() as connection:
            return self._update(connection, order, {"lease": None, **changes})

    @staticmethod
    def _update(connection: Connection, order: Order, changes: dict[str, Any]) -> bool:
        if changes.get("state") in FREE_TO_REPEAT:
            changes = {**changes, "live_key": None}
        result = connection.execute(
            sa.update(orders)
            .where(
                orders.c.id == order.id,
                orders.c.state == order.state,
                orders.c.lease == order.lease,
            )
            .values(changes)
        )
        return result.rowcount == 1
