"""Submissions: one row for each POST, and how it came out: a task, nothing, or not known yet.

A row is never deleted and never forgotten by the budget. Only Wiro's clear refusal makes it count
as nothing; a lost answer counts at its ceiling until its task is found.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from decimal import Decimal
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.claims import Cost, Move, take_step
from wiro_dagster.ledger.identity import make_marker, next_sequence
from wiro_dagster.ledger.order import (
    ORDER_COLUMNS,
    SELECT_ONE,
    Order,
    OrderRequest,
    live_key,
    order_from_row,
)
from wiro_dagster.ledger.placing import insert_order, take_turns
from wiro_dagster.ledger.schema import orders, submissions
from wiro_dagster.ledger.stated_costs import (
    SUBMISSION_COLUMNS,
    StatedCosts,
    SubmissionRecord,
    submission_from_row,
)
from wiro_dagster.ledger.strays import Stray, insert_stray, remove_stray
from wiro_dagster.ledger.transitions import UNSENT, OrderState

TaskNote = Literal["noted", "known", "extra", "taken"]
"""What became of a task id that was noted for an order.

noted  the order follows it now
known  the order had it already
extra  the order already has a task or is owned: this one gets an order of its own on the books
taken  another submission has it
"""


_IS_OF_ACCOUNT = submissions.c.account == sa.bindparam("account")
_HAS_TASK = sa.select(submissions.c.order_id).where(
    _IS_OF_ACCOUNT, submissions.c.task_id == sa.bindparam("task")
)
_FIND = sa.select(*SUBMISSION_COLUMNS).where(
    _IS_OF_ACCOUNT,
    submissions.c.task_id.in_(sa.bindparam("tasks", expanding=True))
    | submissions.c.marker.in_(sa.bindparam("markers", expanding=True)),
)
_KNOWN_AFTER = (
    sa.select(submissions.c.task_id, submissions.c.listed_at)
    .where(_IS_OF_ACCOUNT, submissions.c.task_id.is_not(None))
    .where(submissions.c.claimed_at >= sa.bindparam("after"))
    .order_by(submissions.c.id)
)
_KNOWN = sa.select(submissions.c.task_id).where(
    _IS_OF_ACCOUNT, submissions.c.task_id.in_(sa.bindparam("tasks", expanding=True))
)
_LOCK_ONE = SELECT_ONE.with_for_update()
_EXPLAIN = sa.update(submissions).where(
    submissions.c.marker == sa.bindparam("of_marker"), submissions.c.task_id.is_(None)
)


def open_submissions(
    connection: Connection, claimed: Collection[Order], *, now: float
) -> list[Order]:
    """Put the intent to buy on the books, before anything is sent.

    Args:
        connection: of the transaction that claims the orders.
        claimed: in state `submitting`, with the lease and the ceiling that they are to have.
        now: unix seconds.

    Returns:
        The orders with their markers.
    """
    if not claimed:
        return []
    ledger_id, secret, _ = next_sequence(connection, len(claimed))
    opened = [
        replace(
            order,
            marker=make_marker(ledger_id, secret, order.live_key or order.fingerprint),
            posts=order.posts + 1,
            claimed_at=now,
        )
        for order in claimed
    ]
    connection.execute(
        sa.insert(submissions),
        [
            {
                "order_id": order.id,
                "account": order.account,
                "collection": order.collection,
                "model_slug": order.model_slug,
                "marker": order.marker,
                "claimed_at": now,
                "outcome": "open",
                "ceiling_usd": order.ceiling_usd,
            }
            for order in opened
        ],
    )
    written = ("marker", "posts", "claimed_at", "lease", "ceiling_usd")
    connection.execute(
        sa.update(orders).where(orders.c.id == sa.bindparam("claimed_id")),
        [
            {"claimed_id": order.id, **{name: getattr(order, name) for name in written}}
            for order in opened
        ],
    )
    return opened


class Submissions(StatedCosts):
    """Notes how POSTs came out."""

    def note_task(
        self, order: Order, task_id: str, *, due_at: float, marker: str | None = None
    ) -> TaskNote:
        """Note the task that Wiro made for an order: the one write that must never be lost.

        It holds even if the lease has ended, and whatever state the order is in by then.

        Args:
            order: whose POST it was.
            task_id: Wiro's id.
            due_at: when to look at the task first.
            marker: of the POST; `None` = the order's latest.
        """
        now = self.clock()
        wanted = marker or order.marker

        def note(connection: Connection) -> TaskNote:
            return _note_task(connection, order, task_id, now=now, due_at=due_at, marker=wanted)

        return self.write(note)

    def note_unsent(
        self, order: Order, *, due_at: float, hold: str | None = None, nothing_bought: bool = True
    ) -> OrderState | None:
        """Return a claimed order to be submitted again later.

        It ends instead if it was asked to stop, or is superseded.

        Args:
            order: as it was claimed.
            due_at: when it may be submitted again.
            hold: why it waits.
            nothing_bought: whether the POST bought nothing for certain. Otherwise it stays on the
                books at its ceiling, for ever.

        Returns:
            The order's new state; `None` if another process has it by now.
        """
        now = self.clock()
        with self.writing() as connection:
            row = connection.execute(
                sa.select(*ORDER_COLUMNS).where(orders.c.id == order.id).with_for_update()
            ).one()
            found = order_from_row(row)
            # Wiro's refusal in our hands is the truth, whichever process holds the order. A guess
            # counts only from the process that still holds it.
            is_ours = (
                found.marker == order.marker and found.task_id is None
                if nothing_bought
                else (found.state, found.lease) == (order.state, order.lease)
            )
            if not is_ours or found.state not in ("submitting", "unknown"):
                return None
            changes = {"due_at": due_at, "hold": hold, "lost_since": None}
            if not take_step(connection, Move(found, "withdraw", changes), now=now):
                return None  # pragma: no cover - its row is locked, so it has not moved on
            if not nothing_bought:
                leave_open(connection, order)
            else:
                connection.execute(
                    sa.update(submissions)
                    .where(submissions.c.marker == order.marker)
                    .where(submissions.c.outcome == "open")
                    .values(outcome="nothing", cost_usd=Decimal(0), has_ended=True)
                )
                # A POST that bought nothing does not use up one of the two that an order has.
                connection.execute(
                    sa.update(orders)
                    .where(orders.c.id == order.id)
                    .values(posts=orders.c.posts - 1, claimed_at=None)
                )
            if found.stop_state is None and found.superseded_by is None:
                return "ordered"
            unsent = replace(found, state="ordered", lease=None)
            reason = found.stop_reason or f"Superseded by order {found.superseded_by}."
            ended = {"due_at": now, "ended_at": now, "error": reason}
            state = found.stop_state or "cancelled"
            step = "refuse" if state == "failed" else "drop"
            take_step(connection, Move(unsent, step, ended), now=now)
            return state

    def note_refused(self, order: Order, reason: str) -> bool:
        """End a claimed order that Wiro refused, or that cannot be sent: nothing was bought."""
        now = self.clock()
        with self.writing() as connection:
            connection.execute(
                sa.update(submissions)
                .where(submissions.c.marker == order.marker, submissions.c.outcome == "open")
                .values(outcome="nothing", cost_usd=Decimal(0), has_ended=True)
            )
            ended = {"error": reason, "ended_at": now, "due_at": now}
            return take_step(connection, Move(order, "refuse", ended), now=now)

    def find_submissions(
        self, account: str, *, task_ids: Collection[str] = (), markers: Collection[str] = ()
    ) -> list[SubmissionRecord]:
        """Return the submissions of an account that have one of these tasks or markers."""
        if not task_ids and not markers:
            return []
        given = {"account": account, "tasks": list(task_ids), "markers": list(markers)}
        with self.reading() as connection:
            return [submission_from_row(row) for row in connection.execute(_FIND, given)]

    def list_submissions(
        self,
        *,
        account: str | None = None,
        order_id: int | None = None,
        claimed_after: float | None = None,
        with_task: bool = False,
    ) -> list[SubmissionRecord]:
        """Return submissions that fit every condition given, the oldest first."""
        query = sa.select(*SUBMISSION_COLUMNS).order_by(submissions.c.id)
        if account is not None:
            query = query.where(submissions.c.account == account)
        if order_id is not None:
            query = query.where(submissions.c.order_id == order_id)
        if claimed_after is not None:
            query = query.where(submissions.c.claimed_at >= claimed_after)
        if with_task:
            query = query.where(submissions.c.task_id.is_not(None))
        with self.reading() as connection:
            return [submission_from_row(row) for row in connection.execute(query)]

    def list_known_tasks(self, account: str, *, claimed_after: float) -> dict[str, bool]:
        """Return the tasks of later POSTs, and whether Wiro's list has shown them."""
        given = {"account": account, "after": claimed_after}
        with self.reading() as connection:
            found = connection.execute(_KNOWN_AFTER, given)
            return {task_id: listed_at is not None for task_id, listed_at in found}

    def find_known_tasks(self, account: str, task_ids: Collection[str]) -> set[str]:
        """Return those of some tasks that a submission explains."""
        given = {"account": account, "tasks": list(task_ids)}
        with self.reading() as connection:
            return set(connection.execute(_KNOWN, given).scalars())

    def count_submitted_after(self, account: str, claimed_at: float) -> int:
        """Return how many tasks of the account were made by later POSTs: a task's rank."""
        query = sa.select(sa.func.count()).where(
            submissions.c.account == account,
            submissions.c.claimed_at > claimed_at,
            submissions.c.task_id.is_not(None),
        )
        with self.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def note_listed(self, submission_ids: Collection[int]) -> None:
        """Note that Wiro's list has shown the tasks of these submissions for the first time."""
        if submission_ids:
            with self.writing() as connection:
                connection.execute(
                    sa.update(submissions)
                    .where(submissions.c.id.in_(submission_ids))
                    .values(listed_at=self.clock())
                )


def _note_task(
    connection: Connection,
    order: Order,
    task_id: str,
    *,
    now: float,
    due_at: float,
    marker: str | None,
) -> TaskNote:
    # The answer to the POST and the watch of another process may bring the same task at once.
    take_turns(connection, [(order.account, task_id)])
    given = {"account": order.account, "task": task_id}
    taken_by = connection.execute(_HAS_TASK, given).one_or_none()
    if taken_by is not None:
        return "known" if taken_by.order_id == order.id else "taken"
    asked = order_from_row(connection.execute(_LOCK_ONE, {"one_id": order.id}).one())
    found = _find_unsent_successor(connection, asked)
    # It may have been taken for nothing, and written off: now it counts again.
    task = {"task_id": task_id, "outcome": "task", "has_ended": False, "cost_usd": None}
    mine = {"of_marker": marker, "order_id": found.id, **task}
    explained = connection.execute(_EXPLAIN, mine).rowcount
    remove_stray(connection, order.account, task_id)
    if found.task_id is not None or found.is_owned:
        _insert_extra(
            connection,
            found,
            task_id,
            now=now,
            due_at=due_at,
            marker=marker if explained else None,
        )
        return "extra"
    if not explained:  # a task that the user names, for an order without an open POST
        insert_submission(
            connection,
            _request_of(found),
            found.live_key or found.fingerprint,
            order_id=found.id,
            task_id=task_id,
            claimed_at=found.claimed_at or now,
        )
    records = {
        "task_id": task_id,
        "submitted_at": now,
        "lost_since": None,
        "ended_at": None,
        "due_at": due_at,
        "attempts": 0,
        "hold": None,
        "error": None,
    }
    take_step(connection, Move(found, "accept", records), now=now)
    return "noted"


def _find_unsent_successor(connection: Connection, order: Order) -> Order:
    """Return the order that has taken the place of an ended one and is not sent yet, or the order.

    The late task of the ended one makes its video: another POST would buy it a second time.
    """
    if order.live_key is not None or order.task_id is not None:
        return order
    key = live_key(order.collection, order.partition, order.fingerprint)
    query = sa.select(*ORDER_COLUMNS).where(orders.c.live_key == key, orders.c.state.in_(UNSENT))
    row = connection.execute(query.with_for_update()).one_or_none()
    return order if row is None else order_from_row(row)


def leave_open(connection: Connection, order: Order) -> None:
    """Let a lost POST count at its ceiling, but only on the day when it was sent.

    It counts in the other budgets until a user writes it off (`WriteOffs`).
    """
    connection.execute(
        sa.update(submissions)
        .where(submissions.c.marker == order.marker, submissions.c.outcome == "open")
        .values(has_ended=True)
    )


def insert_submission(
    connection: Connection,
    request: OrderRequest,
    key: str,
    *,
    order_id: int,
    task_id: str,
    claimed_at: float,
    cost: Cost | None = None,
) -> None:
    """Put a task on the books that was not bought through this ledger, or not for this order."""
    ledger_id, secret, _ = next_sequence(connection)
    connection.execute(
        sa.insert(submissions).values(
            order_id=order_id,
            account=request.account,
            collection=request.collection,
            model_slug=request.model_slug,
            marker=make_marker(ledger_id, secret, key),
            claimed_at=claimed_at,
            outcome="task",
            task_id=task_id,
            ceiling_usd=request.ceiling_usd,
            cost_usd=None if cost is None else cost.usd,
            has_ended=cost is not None and cost.has_ended,
            recheck_at=None if cost is None else cost.recheck_at,
        )
    )


def _request_of(order: Order) -> OrderRequest:
    return OrderRequest(
        **{field.name: getattr(order, field.name) for field in fields(OrderRequest)}
    )


def _insert_extra(
    connection: Connection,
    order: Order,
    task_id: str,
    *,
    now: float,
    due_at: float,
    marker: str | None,
) -> None:
    """Give a second task of one order an order of its own, superseded from the start.

    So its cost is on the books and its file is fetched, though it is not shown. The user hears of
    it until they accept it (`books_match`), whichever way it was found.
    """
    insert_stray(connection, order.account, Stray(task_id, order.model_slug, None, None), now)
    extra_id = insert_order(
        connection,
        _request_of(order),
        now=now,
        key=None,
        state="running",
        claimed_at=order.claimed_at or now,
        submitted_at=now,
        due_at=due_at,
        task_id=task_id,
        superseded_by=order.id,
        posts=1,
        error=f"Made for order {order.id}, which already had a task or had ended.",
    )
    if marker is None:
        insert_submission(
            connection,
            _request_of(order),
            order.fingerprint,
            order_id=extra_id,
            task_id=task_id,
            claimed_at=order.claimed_at or now,
        )
    else:
        connection.execute(
            sa.update(submissions).where(submissions.c.marker == marker).values(order_id=extra_id)
        )
