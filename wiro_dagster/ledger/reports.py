"""Reports: what Dagster's event log knows of orders, and who is to tell it."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.order import Order
from wiro_dagster.ledger.rows import ORDER_COLUMNS, order_from_row
from wiro_dagster.ledger.schema import orders

_IS_STORED = orders.c.state == "stored"
_HAS_NO_VIDEO = orders.c.state.in_(("failed", "cancelled", "uncollected"))


class Reports(Database):
    """Notes what has been told of orders, and which runs wait for them."""

    def mark_reported(self, order_ids: Collection[int]) -> None:
        """Notes that Dagster's event log tells how these orders ended."""
        if order_ids:
            with self.writing() as connection:
                ids = _lock_in_order(connection, orders.c.id.in_(order_ids))
                _put_to_rest(connection, orders.c.id.in_(ids))

    def mark_lease_reported(self, lease: str) -> None:
        """The same for the orders of one claim, as far as they have not been taken up since.

        Whoever is late, or says it again, changes nothing: an order that was fetched again or asked
        for again meanwhile has lost this lease, and its new end is yet to be told.
        """
        if not lease:
            return
        is_held = orders.c.lease == lease
        with self.reading() as connection:
            if connection.execute(sa.select(orders.c.id).where(is_held)).first() is None:
                return
        with self.writing() as connection:
            ids = _lock_in_order(connection, is_held)
            _put_to_rest(connection, orders.c.id.in_(ids))

    def claim_progress(self, collection: str, *, limit: int, pause_seconds: float) -> list[Order]:
        """Takes running tasks of which there is something new to be told, and notes it as told.

        New is that a task has left the queue; later, at most once a pause, that its status or its
        percentage has moved.

        Args:
            collection: whose orders.
            limit: how many at the most; those told longest ago come first.
            pause_seconds: from one telling of a task to the next.

        Returns:
            The orders as they are, with the time when they were told of before.
        """
        now = self.clock()
        has_moved = orders.c.observed_status.is_distinct_from(
            orders.c.task_status
        ) | orders.c.observed_percent.is_distinct_from(orders.c.progress_percent)
        is_due = orders.c.observed_at.is_(None) | (
            (orders.c.observed_at <= now - pause_seconds) & has_moved
        )
        is_running = (
            (orders.c.collection == collection)
            & (orders.c.state == "running")
            & orders.c.superseded_by.is_(None)
            & orders.c.queue_seconds.is_not(None)  # not known before it leaves the queue
        )
        due = (
            sa.select(*ORDER_COLUMNS)
            .where(is_running, is_due)
            .order_by(sa.func.coalesce(orders.c.observed_at, 0), orders.c.id)
            .limit(limit)
        )
        with self.reading() as connection:
            if connection.execute(due.limit(1)).first() is None:
                return []
        with self.writing() as connection:
            rows = connection.execute(due.with_for_update(skip_locked=True)).all()
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_([row.id for row in rows]))
                .values(
                    observed_at=now,
                    observed_status=orders.c.task_status,
                    observed_percent=orders.c.progress_percent,
                )
            )
        return [order_from_row(row) for row in rows]

    def set_aside_superseded(self, collection: str) -> None:
        """Puts superseded videos that have arrived to rest: owned, on the books, not reported."""
        is_superseded = (
            (orders.c.collection == collection)
            & orders.c.superseded_by.is_not(None)
            & orders.c.due_at.is_not(None)
        )
        ended = sa.select(orders.c.id).where(is_superseded & (_IS_STORED | _HAS_NO_VIDEO))
        with self.reading() as connection:
            if connection.execute(ended).first() is None:
                return
        with self.writing() as connection:
            # The condition is asked again: somebody may have gone back to the earlier prompt.
            _put_to_rest(connection, is_superseded)

    def wait_for(self, order_ids: Collection[int], run_id: str, *, until: float) -> None:
        """Tells that a run waits for these orders and will report them itself, until that time."""
        with self.writing() as connection:
            ids = _lock_in_order(connection, orders.c.id.in_(order_ids))
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(ids))
                .values(waiter_run_id=run_id, waiter_until=until)
            )

    def stop_waiting(self, run_id: str) -> None:
        """Hands the orders that a run waited for back to the sensor."""
        with self.writing() as connection:
            ids = _lock_in_order(connection, orders.c.waiter_run_id == run_id)
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(ids))
                .values(waiter_run_id=None, waiter_until=None)
            )


def _lock_in_order(connection: Connection, which: sa.ColumnElement[bool]) -> list[int]:
    """Locks several orders, always in the same direction, so that nobody waits in a circle."""
    query = sa.select(orders.c.id).where(which).order_by(orders.c.id)
    return list(connection.execute(query.with_for_update()).scalars())


def _put_to_rest(connection: Connection, which: sa.ColumnElement[bool]) -> None:
    """Nothing is left to do for those of the orders that have ended."""
    at_rest = {"due_at": None, "lease": None}
    connection.execute(
        sa.update(orders).where(which, _IS_STORED).values(state="delivered", **at_rest)
    )
    connection.execute(sa.update(orders).where(which, _HAS_NO_VIDEO).values(at_rest))
