"""Reports: what Dagster's event log knows of orders, and which process writes it next."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.order import ORDER_COLUMNS, Order, order_from_row
from wiro_dagster.ledger.schema import orders
from wiro_dagster.ledger.transitions import TRANSITIONS, WITHOUT_VIDEO, OrderState

_IS_STORED = orders.c.state == "stored"
_HAS_NO_VIDEO = orders.c.state.in_(WITHOUT_VIDEO)
# `> 0` is `IS NOT NULL` in a form that the index can serve.
_IS_SUPERSEDED = (orders.c.superseded_by > 0) & orders.c.due_at.is_not(None)
_ENDED_SUPERSEDED = sa.select(orders.c.id).where(
    orders.c.collection == sa.bindparam("collection"),
    _IS_SUPERSEDED,
    _IS_STORED | _HAS_NO_VIDEO,
)


class Reports(Database):
    """Notes what has been reported of orders, and which runs wait for them."""

    def mark_reported(self, order_ids: Collection[int]) -> None:
        """Note that Dagster's event log shows how these orders ended."""
        if order_ids:
            with self.writing() as connection:
                ids = _lock_in_order(connection, orders.c.id.in_(order_ids))
                _close(connection, orders.c.id.in_(ids), self.clock())

    def mark_lease_reported(self, lease: str) -> None:
        """Do the same for the orders of one claim that have not been resumed since.

        A late or repeated call changes nothing: an order that was fetched again or requested again
        in the meantime has lost this lease, and its new end is still to be reported.
        """
        if not lease:
            return
        is_held = orders.c.lease == lease
        with self.reading() as connection:
            if connection.execute(sa.select(orders.c.id).where(is_held)).first() is None:
                return
        with self.writing() as connection:
            ids = _lock_in_order(connection, is_held)
            _close(connection, orders.c.id.in_(ids), self.clock())

    def claim_progress(self, collection: str, *, limit: int, pause_seconds: float) -> list[Order]:
        """Take running tasks with news to report, and note the news as reported.

        News is that a task has left the queue; later, at most once per pause, that its status or
        its percentage has changed.

        Args:
            collection: whose orders.
            limit: how many at most; those reported longest ago come first.
            pause_seconds: from one report of a task to the next.

        Returns:
            The orders as they are, with the time of their previous report.
        """
        now = self.clock()
        has_moved = orders.c.observed_status.is_distinct_from(
            orders.c.task_status
        ) | orders.c.observed_percent.is_distinct_from(orders.c.progress_percent)
        observed_at = sa.func.coalesce(orders.c.observed_at, sa.literal_column("0"))
        is_running = (
            (orders.c.collection == collection)
            & (orders.c.state == "running")
            & orders.c.superseded_by.is_(None)
            & orders.c.queue_seconds.is_not(None)  # not known before it leaves the queue
        )
        due = (
            sa.select(*ORDER_COLUMNS)
            # As the index has it. A task that was never reported has moved.
            .where(is_running, has_moved, observed_at <= now - pause_seconds)
            .order_by(observed_at, orders.c.id)
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

    def set_aside_superseded(self, collection: str) -> list[Order]:
        """Close superseded orders that have ended: owned and on the books, but not reported.

        Returns:
            Those of them that are further takes of what represents their partition.
        """
        with self.reading() as connection:
            if connection.execute(_ENDED_SUPERSEDED, {"collection": collection}).first() is None:
                return []
        is_superseded = (orders.c.collection == collection) & _IS_SUPERSEDED
        standing = orders.alias("standing")
        is_take = sa.exists().where(
            standing.c.id == orders.c.superseded_by,
            standing.c.prompt_version == orders.c.prompt_version,
        )
        takes = sa.select(*ORDER_COLUMNS).where(is_superseded, _IS_STORED, is_take)
        with self.writing() as connection:
            found = connection.execute(takes.where(orders.c.live_key.is_not(None))).all()
            # The condition is checked again: the user may have gone back to the earlier prompt.
            _close(connection, is_superseded, self.clock())
        return [order_from_row(row) for row in found]

    def register_waiter(self, order_ids: Collection[int], run_id: str, *, until: float) -> None:
        """Note that a run waits for these orders and will report them itself, until that time."""
        with self.writing() as connection:
            ids = _lock_in_order(connection, orders.c.id.in_(order_ids))
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(ids))
                .values(waiter_run_id=run_id, waiter_until=until)
            )

    def keep_waiting(self, order_ids: Collection[int], run_id: str, *, until: float) -> None:
        """Renew a run's sign of life on those of its orders that it still waits for."""
        is_mine = orders.c.id.in_(order_ids) & (orders.c.waiter_run_id == run_id)
        with self.writing() as connection:
            ids = _lock_in_order(connection, is_mine)
            connection.execute(
                sa.update(orders).where(orders.c.id.in_(ids)).values(waiter_until=until)
            )

    def list_waiting_runs(
        self, collections: Collection[str], states: Collection[OrderState]
    ) -> set[str]:
        """Return the runs that show signs of life as waiters for orders in these states."""
        query = (
            sa.select(orders.c.waiter_run_id)
            .distinct()
            .where(orders.c.collection.in_(collections), orders.c.state.in_(states))
            .where(orders.c.waiter_until > self.clock())
        )
        with self.reading() as connection:
            return set(connection.execute(query).scalars())

    def hold_report(self, order: Order, run_id: str, *, until: float) -> bool:
        """Reserve an owned order for a run to report. False if another process reports it."""
        now = self.clock()
        is_free = orders.c.lease.is_(None) | (orders.c.due_at <= now)
        is_mine = (orders.c.waiter_run_id == run_id) | orders.c.waiter_until.is_(None)
        with self.writing() as connection:
            result = connection.execute(
                sa.update(orders)
                .where(orders.c.id == order.id, orders.c.state == order.state)
                .where(is_free, is_mine | (orders.c.waiter_until <= now))
                .values(waiter_run_id=run_id, waiter_until=until)
            )
        return result.rowcount == 1

    def list_delivered(self, collection: str) -> dict[str, int]:
        """Return the ids of delivered orders that represent their partition, by partition."""
        query = sa.select(orders.c.partition, orders.c.id).where(
            orders.c.collection == collection,
            orders.c.state == "delivered",
            orders.c.superseded_by.is_(None),
        )
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def list_delivered_since(self, collection: str, time: float) -> dict[int, float]:
        """Return when orders were delivered after a time, by their ids."""
        query = sa.select(orders.c.id, orders.c.moved_at).where(
            orders.c.collection == collection,
            orders.c.state == "delivered",
            orders.c.moved_at > time,
        )
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def show_again(self, order_ids: Collection[int]) -> None:
        """Report delivered orders once more, because the event log does not have them."""
        if not order_ids:
            return
        step = TRANSITIONS["show_again"]
        with self.writing() as connection:
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(order_ids), orders.c.state.in_(step.sources))
                .values(state=step.target, moved_at=self.clock(), due_at=self.clock(), lease=None)
            )

    def release_waiter(self, run_id: str) -> None:
        """Hand the orders that a run waited for back to the sensor."""
        with self.writing() as connection:
            ids = _lock_in_order(connection, orders.c.waiter_run_id == run_id)
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(ids))
                .values(waiter_run_id=None, waiter_until=None)
            )


def _lock_in_order(connection: Connection, which: sa.ColumnElement[bool]) -> list[int]:
    """Lock several orders, always in the same order, so that no deadlock is possible."""
    query = sa.select(orders.c.id).where(which).order_by(orders.c.id)
    return list(connection.execute(query.with_for_update()).scalars())


def _close(connection: Connection, which: sa.ColumnElement[bool], now: float) -> None:
    """Take the steps `deliver` and `rest` for all of the orders that have ended, in two updates."""
    closed = {"due_at": None, "lease": None, "hold": None}
    deliver = TRANSITIONS["deliver"]
    connection.execute(
        sa.update(orders)
        .where(which, orders.c.state.in_(deliver.sources))
        .values(state=deliver.target, moved_at=now, **closed)
    )
    connection.execute(
        sa.update(orders)
        .where(which, orders.c.state.in_(TRANSITIONS["rest"].sources))
        .values(closed)
    )
