"""The ledger: which orders exist, which process may take their next step, and their cost.

Every step of an order is one conditional UPDATE, guarded by the transition table, so two processes
that want the same step cannot both take it, and a process that dies between two steps leaves an
order that another one continues when its lease has ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.approvals import Approvals
from wiro_dagster.ledger.claims import Cost, Move, take_step
from wiro_dagster.ledger.collections import Collections
from wiro_dagster.ledger.hints import Hints
from wiro_dagster.ledger.identity import Identities
from wiro_dagster.ledger.order import (
    ORDER_COLUMNS,
    Order,
    OrderRequest,
    Placement,
    StopState,
    live_key,
    order_from_row,
)
from wiro_dagster.ledger.placing import insert_order, place_order, take_turns
from wiro_dagster.ledger.records import Records
from wiro_dagster.ledger.reports import Reports
from wiro_dagster.ledger.retries import Retries
from wiro_dagster.ledger.schema import orders, submissions
from wiro_dagster.ledger.strays import Strays
from wiro_dagster.ledger.submissions import Submissions, insert_submission, leave_open
from wiro_dagster.ledger.takes import Takes
from wiro_dagster.ledger.tasks import Tasks
from wiro_dagster.ledger.transitions import UNDER_WAY, UNSENT, WITHOUT_VIDEO, OrderState
from wiro_dagster.ledger.write_offs import WriteOffs


class Ledger(
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


def _insert_restored(
    connection: Connection,
    request: OrderRequest,
    *,
    task_id: str,
    known: Mapping[str, Any],
    cost: Cost,
    now: float,
) -> int:
    """Insert an order that the books do not know at all. Return its id."""
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
    """Give an order on the books the task that was made for it later, by the table's steps."""
    request = OrderRequest(
        **{name: getattr(order, name) for name in OrderRequest.__dataclass_fields__}
    )
    insert_submission(
        connection,
        request,
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
