"""The ledger: which orders exist, which process may take their next step, and their cost.

Every step of an order is one conditional UPDATE, guarded by the transition table, so two processes
that want the same step cannot both take it, and a process that dies between two steps leaves an
order that another one continues when its lease has ended.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from wiro_dagster.ledger.approvals import Approvals
from wiro_dagster.ledger.claims import Move, take_step
from wiro_dagster.ledger.collections import Collections
from wiro_dagster.ledger.hints import Hints
from wiro_dagster.ledger.identity import Identities
from wiro_dagster.ledger.order import (
    Order,
    OrderRequest,
    Placement,
    StopState,
    live_key,
)
from wiro_dagster.ledger.placing import place_order, take_turns
from wiro_dagster.ledger.records import Records
from wiro_dagster.ledger.reports import Reports
from wiro_dagster.ledger.restoring import Restoring
from wiro_dagster.ledger.retries import Retries
from wiro_dagster.ledger.schema import orders
from wiro_dagster.ledger.strays import Strays
from wiro_dagster.ledger.submissions import Submissions, leave_open
from wiro_dagster.ledger.takes import Takes
from wiro_dagster.ledger.tasks import Tasks
from wiro_dagster.ledger.transitions import UNDER_WAY, UNSENT, WITHOUT_VIDEO
from wiro_dagster.ledger.write_offs import WriteOffs


class Ledger(
    Restoring,
    Records,
    Submissions,
    WriteOffs,
    Tasks,
    Strays,
    Reports,
    Retries,
    Identities,
    Collections,
    Approvals,
    Takes,
    Hints,
):
    """The orders of one database, shared by every process that has its URL.

    Args:
        url: a SQLAlchemy URL: `sqlite:///path/to/ledger.db` or `postgresql://user@host/database`.
        clock: gives unix seconds.
        is_real_time: whether `clock` shows the time of the world.

    Raises:
        ConfigurationError: the URL cannot be used.
        LedgerError: the database cannot be reached, or holds a ledger of a different version.
    """

    # ---- asking for a video ----

    def place(
        self,
        request: OrderRequest,
        *,
        cancel_superseded: bool = False,
        needs_approval: bool = False,
    ) -> Placement:
        """Make an order, or find the live one for the same video.

        Earlier orders of the partition for another video are superseded: dropped if nothing was
        sent yet, otherwise kept on the books and not reported when they arrive.

        Args:
            request: what is asked for.
            cancel_superseded: stop tasks that make a superseded video.
            needs_approval: a new order is proposed, and not bought before it is approved.
        """
        placed = self.place_all(
            [request], cancel_superseded=cancel_superseded, needs_approval=needs_approval
        )
        return placed[0]

    def place_all(
        self,
        requests: Sequence[OrderRequest],
        *,
        cancel_superseded: bool = False,
        needs_approval: bool = False,
    ) -> list[Placement]:
        """Take several requests in one transaction; see `place`.

        Args:
            requests: for partitions without orders, or a single one: orders that other processes
                are changing as well could end in a deadlock.
            cancel_superseded: stop tasks that make a superseded video.
            needs_approval: a new order is proposed, and not bought before it is approved.
        """
        if not requests:
            return []
        with self.writing() as connection:
            take_turns(connection, [(each.collection, each.partition) for each in requests])
            return [
                place_order(
                    connection,
                    request,
                    now=self.clock(),
                    cancel_superseded=cancel_superseded,
                    needs_approval=needs_approval,
                )
                for request in requests
            ]

    # ---- what a user decides ----

    def request_stop(self, order_id: int, *, state: StopState, reason: str) -> bool:
        """Ask for an order to end without a video: at once if nothing was sent, else at Wiro.

        A task that completes in spite of it is kept, since it is paid for.

        Args:
            order_id: which.
            state: what the order becomes when the task has ended without a video.
            reason: why.

        Returns:
            False if the order has ended already.
        """
        now = self.clock()
        order = self.get(order_id)
        if order.state in UNSENT:
            step = "refuse" if state == "failed" and order.state == "ordered" else "drop"
            return self.apply(order, step, error=reason, ended_at=now, due_at=now)
        with self.writing() as connection:
            asked = connection.execute(
                sa.update(orders)
                .where(orders.c.id == order_id, orders.c.state.in_(UNDER_WAY))
                .where(orders.c.stop_reason.is_(None))
                .values(
                    stop_state=state,
                    stop_reason=reason,
                    due_at=sa.case((orders.c.state == "running", now), else_=orders.c.due_at),
                )
            )
        return asked.rowcount > 0

    def abandon_unknown(self, order: Order) -> bool:
        """End an order whose answer was lost, because the user has decided so.

        The POST stays on the books at its ceiling: no list can prove that it bought nothing.
        """
        now = self.clock()
        reason = "Submission outcome unknown; abandoned manually."
        ended = {"error": reason, "ended_at": now, "due_at": now}
        with self.writing() as connection:
            leave_open(connection, order)
            return take_step(connection, Move(order, "abandon", ended), now=now)

    def send_again(self, order: Order) -> bool:
        """Submit an order of unknown outcome once more, because the user has decided so.

        The earlier POST stays on the books at its ceiling.
        """
        with self.writing() as connection:
            leave_open(connection, order)
            again = {"due_at": self.clock(), "hold": None, "lost_since": None}
            return take_step(connection, Move(order, "withdraw", again), now=self.clock())

    def free_to_repeat(self, order_id: int) -> bool:
        """Let a video be ordered again that was billed and brought nothing: the user decided so."""
        with self.writing() as connection:
            result = connection.execute(
                sa.update(orders)
                .where(orders.c.id == order_id, orders.c.state.in_(WITHOUT_VIDEO))
                .values(live_key=None)
            )
        return result.rowcount == 1

    # ---- fetching again ----

    def fetch_again(self, order: Order) -> bool:
        """Send an owned order back to `finished`, because its files are gone from the store.

        The record of its files stays: they may be back before they are fetched.
        """
        return self.apply(order, "fetch_again", due_at=self.clock(), attempts=0)

    def rename(self, order: Order, partition: str) -> bool:
        """Give an owned video to another partition, whose prompt asks for the same.

        It is reported there, free. False if the order has moved on, or the partition has one.
        """
        key = live_key(order.collection, partition, order.fingerprint)
        with self.writing() as connection:
            taken = sa.select(orders.c.id).where(orders.c.live_key == key)
            if connection.execute(taken).first() is not None:
                return False
            renamed = connection.execute(
                sa.update(orders)
                .where(orders.c.id == order.id, orders.c.state == "delivered")
                .values(partition=partition, live_key=key)
            )
            if renamed.rowcount == 0:
                return False
            again = Move(order, "show_again", {"due_at": self.clock()})
            return take_step(connection, again, now=self.clock())

    def retry_collecting(self, collection: str) -> None:
        """Make all files due that wait for another try."""
        waits = (
            (orders.c.collection == collection)
            & (orders.c.state == "finished")
            & orders.c.lease.is_(None)
            & (orders.c.due_at > self.clock())
        )
        with self.reading() as connection:
            if connection.execute(sa.select(orders.c.id).where(waits).limit(1)).first() is None:
                return
        with self.writing() as connection:
            connection.execute(sa.update(orders).where(waits).values(due_at=self.clock()))

    def recover(self, order_id: int) -> bool:
        """Look again at the task of an order that ended without its files, and fetch what it has.

        It works from every state that has a task id and nothing to do: what Wiro shows decides.
        """
        order = self.get(order_id)
        if order.task_id is None or order.state not in ("finished", *WITHOUT_VIDEO):
            return False
        return self.apply(order, "follow_again", due_at=self.clock(), attempts=0, hold=None)
