"""The ledger: which orders exist, who may take their next step, and what they cost.

Every change of an order is one conditional UPDATE in a transaction of its own, so two processes
that want the same step cannot both have it, and a process that dies between two steps leaves an
order that the next one takes up when its lease has ended.
"""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa

from wiro_dagster.ledger.claims import Claims
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
from wiro_dagster.ledger.records import Records
from wiro_dagster.ledger.reports import Reports
from wiro_dagster.ledger.schema import orders


class Ledger(Records, Claims, Reports):
    """The orders of one database, shared by every process that has its URL.

    Args:
        url: a SQLAlchemy URL: `sqlite:///path/to/ledger.db` or `postgresql://user@host/database`.
        clock: gives unix seconds.

    Raises:
        ConfigurationError: the URL cannot be used.
        LedgerError: the database cannot be reached, or holds another version's ledger.
    """

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

    # ---- fetching again ----

    def fetch_again(self, order: Order) -> bool:
        """Sends an owned order back to `finished`, because its files are gone from the store.

        Which they were stays known: they may be back before they are fetched.
        """
        with self.writing() as connection:
            result = connection.execute(
                sa.update(orders)
                .where(orders.c.id == order.id, orders.c.state.in_(("stored", "delivered")))
                .values(state="finished", due_at=self.clock(), lease=None, attempts=0)
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
