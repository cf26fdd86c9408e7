"""Submissions: one row for each POST, and how it came out: a task, nothing, or not known yet.

A row is never deleted and never forgotten by the budget. Only Wiro's clear refusal makes it count
as nothing; a lost answer counts at its ceiling until its task is found.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.booking import TaskNote, book_task
from wiro_dagster.ledger.claims import Move, take_step
from wiro_dagster.ledger.identity import make_marker, next_sequence
from wiro_dagster.ledger.order import (
    ORDER_COLUMNS,
    Order,
    order_from_row,
)
from wiro_dagster.ledger.schema import orders, submissions
from wiro_dagster.ledger.stated_costs import (
    SUBMISSION_COLUMNS,
    StatedCosts,
    SubmissionRecord,
    submission_from_row,
)
from wiro_dagster.ledger.transitions import OrderState

_MEASURED_SECONDS = 7 * 86_400.0

_IS_OF_ACCOUNT = submissions.c.account == sa.bindparam("account")
# One condition for both would read every submission of the account: no index serves it.
_OF_TASKS = sa.select(*SUBMISSION_COLUMNS).where(
    _IS_OF_ACCOUNT, submissions.c.task_id.in_(sa.bindparam("tasks", expanding=True))
)
_MARKED = sa.select(*SUBMISSION_COLUMNS).where(
    _IS_OF_ACCOUNT, submissions.c.marker == sa.bindparam("marker")
)
_KNOWN_AFTER = (
    sa.select(submissions.c.task_id, submissions.c.listed_at)
    .where(_IS_OF_ACCOUNT, submissions.c.task_id.is_not(None))
    .where(submissions.c.claimed_at >= sa.bindparam("after"))
    .order_by(submissions.c.id)
)
_COUNT_AFTER = sa.select(sa.func.count()).where(
    _IS_OF_ACCOUNT,
    submissions.c.claimed_at > sa.bindparam("after"),
    submissions.c.task_id.is_not(None),
)
_KNOWN = sa.select(submissions.c.task_id).where(
    _IS_OF_ACCOUNT, submissions.c.task_id.in_(sa.bindparam("tasks", expanding=True))
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


def leave_open(connection: Connection, order: Order) -> None:
    """Count a lost POST at its ceiling, in the daily budget only on the day it was sent.

    It counts in the other budgets until a user writes it off (`WriteOffs`).
    """
    connection.execute(
        sa.update(submissions)
        .where(submissions.c.marker == order.marker, submissions.c.outcome == "open")
        .values(has_ended=True)
    )


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
            return book_task(connection, order, task_id, now=now, due_at=due_at, marker=wanted)

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
        self, account: str, *, task_ids: Collection[str]
    ) -> list[SubmissionRecord]:
        """Return the submissions of an account that have one of these tasks."""
        if not task_ids:
            return []
        given = {"account": account, "tasks": list(task_ids)}
        with self.reading() as connection:
            return [submission_from_row(row) for row in connection.execute(_OF_TASKS, given)]

    def find_marked(self, account: str, marker: str) -> SubmissionRecord | None:
        """Return the submission of an account that carries a marker."""
        given = {"account": account, "marker": marker}
        with self.reading() as connection:
            row = connection.execute(_MARKED, given).first()
        return None if row is None else submission_from_row(row)

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
        given = {"account": account, "after": claimed_at}
        with self.reading() as connection:
            return int(connection.execute(_COUNT_AFTER, given).scalar_one())

    def note_listed(self, submission_ids: Collection[int]) -> None:
        """Note that Wiro's list has shown the tasks of these submissions for the first time."""
        if submission_ids:
            with self.writing() as connection:
                connection.execute(
                    sa.update(submissions)
                    .where(submissions.c.id.in_(submission_ids))
                    .values(listed_at=self.clock())
                )

    def note_missed(self, account: str, task_ids: Collection[str]) -> None:
        """Note that Wiro's list did not show these tasks, if it never has."""
        if task_ids:
            with self.writing() as connection:
                connection.execute(
                    sa.update(submissions)
                    .where(submissions.c.account == account, submissions.c.task_id.in_(task_ids))
                    .where(submissions.c.listed_at.is_(None), submissions.c.missed_at.is_(None))
                    .values(missed_at=self.clock())
                )

    def measure_listing_delay(self, account: str) -> float:
        """Return the most seconds until a task of the last week was seen in Wiro's list.

        Only tasks that the list did not show at first count. One that it never shows is hidden,
        not late.
        """
        query = sa.select(sa.func.max(submissions.c.listed_at - submissions.c.claimed_at)).where(
            submissions.c.account == account,
            submissions.c.claimed_at >= self.clock() - _MEASURED_SECONDS,
            submissions.c.missed_at.is_not(None),
        )
        with self.reading() as connection:
            return float(connection.execute(query).scalar() or 0.0)

    def find_hidden_task(self, account: str, *, claimed_before: float) -> str | None:
        """Return a task of the last week that Wiro's list ought to have shown and never has."""
        query = (
            sa.select(submissions.c.task_id)
            .where(submissions.c.account == account, submissions.c.claimed_at < claimed_before)
            .where(submissions.c.claimed_at >= self.clock() - _MEASURED_SECONDS)
            .where(submissions.c.missed_at.is_not(None), submissions.c.listed_at.is_(None))
            .limit(1)
        )
        with self.reading() as connection:
            found = connection.execute(query).scalar()
            return None if found is None else str(found)
