"""The ledger: which orders exist, who may take their next step, and what they cost.

Every change of an order is one conditional UPDATE in a transaction of its own, so two processes
that want the same step cannot both have it, and a process that dies between two steps leaves an
order that the next one takes up when its lease has ended.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger.order import (
    FREE_TO_REPEAT,
    UNDER_WAY,
    Order,
    OrderRequest,
    OrderState,
    Placement,
    StopState,
)
from wiro_dagster.ledger.outcomes import note_extra_task, note_task, note_unsent
from wiro_dagster.ledger.placing import place_order
from wiro_dagster.ledger.rows import ORDER_COLUMNS, order_from_row
from wiro_dagster.ledger.schema import open_engine, orders


class Ledger:
    """The orders of one database, shared by every process that has its URL.

    Args:
        url: a SQLAlchemy URL: `sqlite:///path/to/ledger.db` or `postgresql://user@host/database`.
        clock: gives unix seconds.

    Raises:
        ConfigurationError: the URL cannot be used.
        LedgerError: the database cannot be reached, or holds another version's ledger.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self.engine = open_engine(url)
        self.clock = clock

    def close(self) -> None:
        """Closes the connections to the database."""
        self.engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write; on SQLite it holds the write lock from its start."""
        with (
            self.engine.connect().execution_options(wiro_write=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.engine.connect() as connection:
            yield connection

    # ---- asking for a video ----

    def place(self, request: OrderRequest, *, cancel_superseded: bool = False) -> Placement:
        """Makes an order, or finds the live one that already stands for the same video.

        Earlier orders of the partition for another video are superseded: dropped where nothing
        was sent yet, otherwise kept on the books and set aside when they arrive.

        Args:
            request: what is asked for.
            cancel_superseded: ask for tasks to be stopped that make a superseded video.
        """
        with self.writing() as connection:
            return place_order(
                connection, request, now=self.clock(), cancel_superseded=cancel_superseded
            )

    # ---- taking a step ----

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

    def record_task(self, order: Order, task_id: str, *, due_at: float) -> bool:
        """Notes the task that Wiro made for an order: the one write that may never be lost.

        It holds even where the lease has ended meanwhile, and the order counts as `unknown` or as
        never sent.

        Returns:
            False where the order has a task already, or has ended.

        Raises:
            sqlalchemy.exc.IntegrityError: another order has this task.
        """
        with self.writing() as connection:
            return note_task(connection, order, task_id, now=self.clock(), due_at=due_at)

    def record_extra_task(self, order: Order, task_id: str, *, due_at: float) -> None:
        """Notes a task that was made for an order which has another one, or which has ended.

        Raises:
            sqlalchemy.exc.IntegrityError: another order has this task.
        """
        with self.writing() as connection:
            note_extra_task(connection, order, task_id, now=self.clock(), due_at=due_at)

    def record_unsent(
        self, order: Order, *, due_at: float, hold: str | None = None
    ) -> OrderState | None:
        """Notes that nothing was bought for a claimed order.

        It is submitted again at `due_at`, or ends where it was asked to stop or is superseded.

        Returns:
            The order's new state; `None` where somebody else has it by now.
        """
        with self.writing() as connection:
            return note_unsent(connection, order, now=self.clock(), due_at=due_at, hold=hold)

    def make_due(self, order_id: int) -> None:
        """Makes a task's next poll due now, because something hinted that it has news."""
        with self.writing() as connection:
            connection.execute(
                sa.update(orders)
                .where(orders.c.id == order_id, orders.c.state == "running")
                .where(orders.c.lease.is_(None))
                .values(due_at=self.clock())
            )

    def list_unquoted(self, collection: str, *, limit: int) -> list[Order]:
        """Orders that are due for submission and have no price yet."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.collection == collection, orders.c.state == "ordered")
            .where(orders.c.due_at <= self.clock(), orders.c.ceiling_usd.is_(None))
            .limit(limit)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def request_stop(self, order_id: int, *, state: StopState, reason: str) -> bool:
        """Asks for an order to end without a video: at once where nothing was sent, else at Wiro.

        A task that completes in spite of it is kept, since it is paid for.

        Args:
            order_id: which.
            state: what the order becomes when the task has ended without a video.
            reason: why, for people.

        Returns:
            False where the order has ended already.
        """
        now = self.clock()
        mine = orders.c.id == order_id
        with self.writing() as connection:
            dropped = connection.execute(
                sa.update(orders)
                .where(mine, orders.c.state == "ordered")
                .values(
                    state=state, live_key=None, error=reason, ended_at=now, due_at=now, lease=None
                )
            )
            asked = connection.execute(
                sa.update(orders)
                .where(mine, orders.c.state.in_(UNDER_WAY), orders.c.stop_reason.is_(None))
                .values(stop_state=state, stop_reason=reason)
            )
            connection.execute(
                sa.update(orders)
                .where(mine, orders.c.state == "running", orders.c.lease.is_(None))
                .values(due_at=now)
            )
        return dropped.rowcount + asked.rowcount > 0

    # ---- reporting and waiting ----

    def mark_reported(self, order_ids: Collection[int]) -> None:
        """Notes that Dagster's event log tells how these orders ended."""
        if not order_ids:
            return
        at_rest = {"due_at": None, "lease": None}
        with self.writing() as connection:
            mine = orders.c.id.in_(_lock_in_order(connection, order_ids))
            connection.execute(
                sa.update(orders)
                .where(mine, orders.c.state == "stored")
                .values(state="delivered", **at_rest)
            )
            connection.execute(
                sa.update(orders)
                .where(mine, orders.c.state.in_(("failed", "cancelled", "uncollected")))
                .values(at_rest)
            )

    def set_aside_superseded(self, collection: str) -> None:
        """Puts superseded videos that have arrived to rest: owned, on the books, not reported."""
        is_superseded = (
            (orders.c.collection == collection)
            & orders.c.superseded_by.is_not(None)
            & orders.c.due_at.is_not(None)
        )
        is_stored = is_superseded & (orders.c.state == "stored")
        has_ended = is_superseded & orders.c.state.in_(("failed", "cancelled", "uncollected"))
        with self.reading() as connection:
            if (
                connection.execute(sa.select(orders.c.id).where(is_stored | has_ended)).first()
                is None
            ):
                return
        at_rest = {"due_at": None, "lease": None}
        with self.writing() as connection:
            # The condition is asked again: somebody may have gone back to the earlier prompt.
            connection.execute(
                sa.update(orders).where(is_stored).values(state="delivered", **at_rest)
            )
            connection.execute(sa.update(orders).where(has_ended).values(at_rest))

    def wait_for(self, order_ids: Collection[int], run_id: str, *, until: float) -> None:
        """Tells that a run waits for these orders and will report them itself, until that time."""
        with self.writing() as connection:
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(_lock_in_order(connection, order_ids)))
                .values(waiter_run_id=run_id, waiter_until=until)
            )

    def stop_waiting(self, run_id: str) -> None:
        """Hands the orders that a run waited for back to the sensor."""
        mine = sa.select(orders.c.id).where(orders.c.waiter_run_id == run_id)
        with self.writing() as connection:
            ids = _lock_in_order(connection, connection.execute(mine).scalars().all())
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(ids), orders.c.waiter_run_id == run_id)
                .values(waiter_run_id=None, waiter_until=None)
            )

    def fetch_again(self, order: Order) -> bool:
        """Sends an owned order back to `finished`, because its files are gone from the store."""
        with self.writing() as connection:
            result = connection.execute(
                sa.update(orders)
                .where(orders.c.id == order.id, orders.c.state.in_(("stored", "delivered")))
                .values(state="finished", due_at=self.clock(), lease=None, attempts=0, files=[])
            )
        return result.rowcount == 1

    def recover(self, order_id: int) -> bool:
        """Sends an order that ended without its files, though Wiro has some, to fetch them."""
        order = self.get(order_id)
        has_files = order.state in ("uncollected", "finished") or (
            order.state in FREE_TO_REPEAT and order.outputs != ()
        )
        if not has_files:
            return False
        with self.writing() as connection:
            result = connection.execute(
                sa.update(orders)
                .where(orders.c.id == order_id, orders.c.state == order.state)
                .values(state="finished", due_at=self.clock(), lease=None, attempts=0)
            )
        return result.rowcount == 1

    def abandon_unknown(self, order: Order) -> bool:
        """Ends an order whose answer was lost because a person says that nothing was bought."""
        now = self.clock()
        with self.writing() as connection:
            result = connection.execute(
                sa.update(orders)
                .where(orders.c.id == order.id, orders.c.state == "unknown")
                .values(
                    state="cancelled",
                    live_key=None,
                    error="Its answer was lost, and a person gave it up.",
                    cost_usd=Decimal(0),  # by that person's word nothing was bought
                    ended_at=now,
                    due_at=now,
                    lease=None,
                )
            )
        return result.rowcount == 1

    # ---- reading ----

    def get(self, order_id: int) -> Order:
        """One order by its id.

        Raises:
            LedgerError: there is none.
        """
        found = self.list_orders(ids=[order_id])
        if not found:
            raise LedgerError(f"There is no order {order_id} in this ledger.")
        return found[0]

    def list_orders(
        self,
        *,
        ids: Collection[int] | None = None,
        collection: str | None = None,
        partitions: Collection[str] | None = None,
        states: Collection[OrderState] | None = None,
        limit: int | None = None,
    ) -> list[Order]:
        """Orders that fit every condition given, the oldest first."""
        query = sa.select(*ORDER_COLUMNS).order_by(orders.c.id)
        if ids is not None:
            query = query.where(orders.c.id.in_(ids))
        if collection is not None:
            query = query.where(orders.c.collection == collection)
        if partitions is not None:
            query = query.where(orders.c.partition.in_(partitions))
        if states is not None:
            query = query.where(orders.c.state.in_(states))
        if limit is not None:
            query = query.limit(limit)
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def find_latest(self, collection: str, partition: str) -> Order | None:
        """The order that stands for a partition now: the newest that is not superseded."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.collection == collection, orders.c.partition == partition)
            .where(orders.c.superseded_by.is_(None))
            .order_by(orders.c.id.desc())
            .limit(1)
        )
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else order_from_row(row)

    def list_failed(self, collection: str) -> list[Order]:
        """Orders that stand for their partition and ended without a video, the oldest first."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.collection == collection)
            .where(orders.c.state.in_(("failed", "cancelled", "uncollected")))
            .where(orders.c.superseded_by.is_(None))
            .order_by(orders.c.id)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def find_known_tasks(self, account: str, task_ids: Collection[str]) -> set[str]:
        """Which of these tasks belong to an order of the account already."""
        query = sa.select(orders.c.task_id).where(
            orders.c.account == account, orders.c.task_id.in_(task_ids)
        )
        with self.reading() as connection:
            return set(connection.execute(query).scalars())

    def list_unanswered(self, account: str) -> list[Order]:
        """Orders of an account that were or are being submitted, and have no task yet."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.account == account)
            .where(orders.c.state.in_(("submitting", "unknown")))
            .order_by(orders.c.id)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def count_unsettled(self, collection: str) -> dict[OrderState, int]:
        """How many orders of a collection are in each state that is not at rest."""
        query = (
            sa.select(orders.c.state, sa.func.count())
            .where(orders.c.collection == collection, orders.c.due_at.is_not(None))
            .group_by(orders.c.state)
            .order_by(orders.c.state)
        )
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}


def _lock_in_order(connection: Connection, order_ids: Collection[int]) -> list[int]:
    """Locks several orders, always in the same direction, so that nobody waits in a circle."""
    query = sa.select(orders.c.id).where(orders.c.id.in_(order_ids)).order_by(orders.c.id)
    return list(connection.execute(query.with_for_update()).scalars())
