"""Claims: which process may take an order's next step, for how long, and how the step is noted."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.order import ORDER_COLUMNS, Order, live_key, order_from_row
from wiro_dagster.ledger.schema import differences, orders, submissions
from wiro_dagster.ledger.transitions import TRANSITIONS, OrderState, Transition

DEATHS_BEFORE_ALONE = 3
"""After so many processes fell silent at one step of an order, it is handled on its own."""

_SET_ASIDE_SECONDS = 86_400.0
_FAR_SECONDS = 2 * 86_400.0
SOON_SECONDS = 1800.0
"""No submission, and no look at a running task, is delayed for longer."""


@dataclass(frozen=True)
class Cost:
    """What Wiro states of a task's cost.

    Args:
        usd: the cost; `None` if it is not stated, and then the ceiling stays committed.
        has_ended: whether the task has ended: what it cost is spent.
        recheck_at: when to read the cost again, if it is not stated, or if Wiro's list has not
            shown the task by then; `None` = no more.
    """

    usd: Decimal | None
    has_ended: bool = False
    recheck_at: float | None = None


@dataclass(frozen=True)
class Move:
    """One named step of one order, as `Claims.apply_all` takes it.

    Args:
        order: as it was read or claimed.
        transition: a name in the transition table.
        records: the columns that the step writes.
        cost: what was learned of the task's cost; `None` = nothing.
    """

    order: Order
    transition: str
    records: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost | None = None


class Claims(Database):
    """Takes orders for a step, and moves them on by the transition table."""

    def claim(
        self,
        collection: str,
        states: Collection[OrderState],
        *,
        limit: int,
        lease_seconds: float,
        unwaited: bool = False,
        run_id: str | None = None,
        oldest_task_first: bool = False,
    ) -> list[Order]:
        """Take orders whose next step is due, the longest due first, for `lease_seconds`.

        Each claim is a try that may kill the process. After three such deaths an order is
        handed out alone; if it kills once more, it waits for a day, with its reason.

        Args:
            collection: whose orders.
            states: in which states.
            limit: how many at most.
            lease_seconds: after that long without a renewal, others may take them.
            unwaited: leave out orders that a living run waits for.
            run_id: a run whose own orders are not left out by `unwaited`.
            oldest_task_first: prefer tasks that ended longest ago, whose files vanish first.
        """
        now, lease = self.clock(), uuid.uuid4().hex
        which = _may_claim([collection], states, now)
        if unwaited:
            which &= _is_unwaited(now) | (orders.c.waiter_run_id == run_id)
        first = orders.c.ended_at if oldest_task_first else orders.c.due_at
        due = (
            sa.select(orders.c.id, orders.c.deaths)
            .where(which)
            .order_by(orders.c.deaths >= DEATHS_BEFORE_ALONE, first, orders.c.id)
            .limit(limit)
        )
        with (
            self.reading() as connection
        ):  # which blocks no other process, and mostly finds nothing
            if connection.execute(due.limit(1)).first() is None:
                return []
        with self.writing() as connection:
            # Rows that another process is changing are left to it: no deadlock is possible.
            found = connection.execute(due.with_for_update(skip_locked=True)).all()
            ids = _choose(connection, found, now)
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(ids))
                .values(lease=lease, due_at=now + lease_seconds, deaths=orders.c.deaths + 1)
            )
            rows = connection.execute(
                sa.select(*ORDER_COLUMNS).where(orders.c.lease == lease).order_by(orders.c.id)
            )
            return [order_from_row(row) for row in rows]

    def count_unwaited(
        self, collections: Collection[str], states: Collection[OrderState], *, limit: int
    ) -> int:
        """Return how many orders `claim` would find that no living run waits for.

        Args:
            collections: whose orders.
            states: in which states.
            limit: where to stop counting.
        """
        now = self.clock()
        some = (
            sa.select(orders.c.id)
            .where(_may_claim(collections, states, now), _is_unwaited(now))
            .limit(limit)
            .subquery()
        )
        with self.reading() as connection:
            found = connection.execute(sa.select(sa.func.count()).select_from(some))
            return int(found.scalar_one())

    def is_claimed(self, order: Order, *, until: float) -> bool:
        """Whether no other process can take a claimed order before that time."""
        query = sa.select(orders.c.id).where(_is_claimed(order), orders.c.due_at >= until)
        with self.reading() as connection:
            return connection.execute(query).first() is not None

    def renew_all(self, claimed: Sequence[Order], lease_seconds: float) -> list[bool]:
        """Keep claimed orders for longer, in one transaction. False for what others have by now."""
        due_at = self.clock() + lease_seconds
        with self.writing() as connection:
            return [
                connection.execute(
                    sa.update(orders).where(_is_claimed(order)).values(due_at=due_at)
                ).rowcount
                == 1
                # Always in the same order: no deadlock is possible.
                for order in sorted(claimed, key=lambda order: order.id)
            ]

    def apply(
        self, order: Order, transition: str, *, cost: Cost | None = None, **records: Any
    ) -> bool:
        """Take one named step. False, and no change, if the order has moved on.

        Args:
            order: as it was read or claimed.
            transition: a name in the transition table.
            cost: what was learned of the task's cost.
            **records: the columns that the transition may record.
        """
        move, now = Move(order, transition, records, cost), self.clock()
        return self.write(lambda connection: take_step(connection, move, now=now))

    def apply_all(self, moves: Iterable[Move]) -> list[bool]:
        """Take steps of several orders in one transaction; see `apply`."""
        listed = list(moves)
        if not listed:
            return []
        now = self.clock()
        done = [False] * len(listed)
        with self.writing() as connection:
            # Always in the same order: no deadlock is possible.
            for index in sorted(range(len(listed)), key=lambda index: listed[index].order.id):
                done[index] = take_step(connection, listed[index], now=now)
        return done


def _may_claim(
    collections: Collection[str], states: Collection[OrderState], now: float
) -> sa.ColumnElement[bool]:
    return (
        orders.c.collection.in_(collections)
        & orders.c.state.in_(states)
        & is_due(orders.c.due_at, now)
        & ~awaits_next_try()
    )


def _is_unwaited(now: float) -> sa.ColumnElement[bool]:
    return orders.c.waiter_until.is_(None) | (orders.c.waiter_until <= now)


def awaits_next_try() -> sa.ColumnElement[bool]:
    """Whether an order failed, and it is not decided yet whether another try follows.

    Until then nothing reports it, so it stays due: an index finds it among all that ever failed.
    """
    return (
        (orders.c.state == "failed")
        & orders.c.due_at.is_not(None)
        & orders.c.next_models.is_not(None)
        & orders.c.superseded_by.is_(None)
    )


def is_due(
    due_at: sa.ColumnElement[Any], now: float, *, far_seconds: float = _FAR_SECONDS
) -> sa.ColumnElement[bool]:
    """Whether a step is due. A step due in the far future is due now.

    Such a time comes from a clock that was wrong: no step is delayed by more than a day.

    Args:
        due_at: when the step is due.
        now: unix seconds.
        far_seconds: no step of this kind is delayed for longer.
    """
    return sa.or_(*due_conditions(due_at, now, far_seconds=far_seconds))


def due_conditions(
    due_at: sa.ColumnElement[Any], now: float, *, far_seconds: float
) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Return the two ways to be due; see `is_due`."""
    return due_at <= now, due_at > now + far_seconds


def take_step(connection: Connection, move: Move, *, now: float) -> bool:
    """Take one step inside a transaction: the only way by which an order changes its state."""
    transition, order = TRANSITIONS[move.transition], move.order
    unknown = set(move.records) - transition.records
    if unknown or order.state not in transition.sources:
        raise LedgerError(
            f'{order.name} is {order.state}; the step "{transition.name}" starts from '
            f"{', '.join(sorted(transition.sources))} and does not record {sorted(unknown)}."
        )
    if move.cost is not None and order.task_id is not None:
        record_cost(connection, order.account, order.task_id, move.cost, now=now)
    changes: dict[str, Any] = {"lease": None, "deaths": 0, **move.records}
    if transition.target not in (None, order.state):
        changes |= {"state": transition.target, "moved_at": now}
    if transition.frees and (transition.name == "abandon" or not may_be_billed(connection, order)):
        changes["live_key"] = None
    if transition.revives and order.live_key is None:
        changes["live_key"] = _free_key(connection, order)
    result = connection.execute(sa.update(orders).where(_guard(transition, order)).values(changes))
    return result.rowcount == 1


def _free_key(connection: Connection, order: Order) -> str | None:
    """Return the order's live key, unless another order of the same video has it by now."""
    key = live_key(order.collection, order.partition, order.fingerprint)
    taken = sa.select(orders.c.id).where(orders.c.live_key == key)
    return None if connection.execute(taken).first() is not None else key


def record_cost(
    connection: Connection, account: str, task_id: str, cost: Cost, *, now: float
) -> None:
    """Put what Wiro states of a task's cost on the books.

    A cost that changes after it was stated is taken over, and the difference is noted. A cost that
    was charged is never forgotten. But the 0 of a failure says nothing of the success that the task
    turns out to be: until that states a cost of its own, the ceiling is committed again.
    """
    which = (submissions.c.account == account) & (submissions.c.task_id == task_id)
    row = connection.execute(
        sa.select(
            submissions.c.id,
            submissions.c.order_id,
            submissions.c.cost_usd,
            submissions.c.listed_at,
        ).where(which)
    ).one_or_none()
    if row is None:
        return
    changes: dict[str, Any] = {"recheck_at": cost.recheck_at}
    if cost.has_ended:
        changes["has_ended"] = True
    if cost.usd is not None:
        changes |= {"cost_usd": cost.usd, "cost_stated_at": now}
        if row.listed_at is not None:
            changes["recheck_at"] = None  # the list shows what changes
        if row.cost_usd is not None and row.cost_usd != cost.usd:
            _note_difference(connection, row.id, row.cost_usd, cost.usd, now)
    elif cost.has_ended and row.cost_usd == 0:
        changes |= {"cost_usd": None, "cost_stated_at": None}
    if "cost_usd" in changes:
        connection.execute(
            sa.update(orders)
            .where(orders.c.id == row.order_id, orders.c.task_id == task_id)
            .values(cost_usd=cost.usd)
        )
    connection.execute(sa.update(submissions).where(which).values(changes))


def _note_difference(
    connection: Connection, submission_id: int, was: Decimal, is_now: Decimal, now: float
) -> None:
    known = differences.c.submission_id == submission_id
    values = {"is_usd": is_now, "seen_at": now}
    if connection.execute(sa.update(differences).where(known).values(values)).rowcount == 0:
        connection.execute(
            sa.insert(differences).values(submission_id=submission_id, was_usd=was, **values)
        )


def free_unbilled(connection: Connection, order_ids: Collection[int]) -> None:
    """Let videos be ordered again that ended without anything billed, as is known by now."""
    ended = orders.c.state.in_(("failed", "cancelled")) & orders.c.live_key.is_not(None)
    query = sa.select(*ORDER_COLUMNS).where(orders.c.id.in_(order_ids), ended).with_for_update()
    for order in map(order_from_row, connection.execute(query).all()):
        if not may_be_billed(connection, order):
            free = sa.update(orders).where(orders.c.id == order.id).values(live_key=None)
            connection.execute(free)


def may_be_billed(connection: Connection, order: Order) -> bool:
    """Whether any POST of the order cost money, or may have."""
    may_cost = submissions.c.cost_usd.is_(None) | (submissions.c.cost_usd > Decimal(0))
    query = sa.select(submissions.c.id).where(
        submissions.c.order_id == order.id, submissions.c.outcome != "nothing", may_cost
    )
    return connection.execute(query.limit(1)).first() is not None


def _guard(transition: Transition, order: Order) -> sa.ColumnElement[bool]:
    if transition.needs_lease:
        return _is_claimed(order)
    return (
        (orders.c.id == order.id)
        & (orders.c.state == order.state)
        & orders.c.task_id.is_not_distinct_from(order.task_id)
    )


def _is_claimed(order: Order) -> sa.ColumnElement[bool]:
    return (
        (orders.c.id == order.id)
        & (orders.c.state == order.state)
        & orders.c.lease.is_not_distinct_from(order.lease)
    )


def _choose(connection: Connection, found: Sequence[Any], now: float) -> list[int]:
    """Choose what to hand out: everything harmless, or else one order that killed before."""
    harmless = [row.id for row in found if row.deaths < DEATHS_BEFORE_ALONE]
    if harmless:
        return harmless
    deadly = [row.id for row in found if row.deaths > DEATHS_BEFORE_ALONE]
    if deadly:
        connection.execute(
            sa.update(orders)
            .where(orders.c.id.in_(deadly))
            .values(
                due_at=now + _SET_ASIDE_SECONDS,
                lease=None,
                deaths=DEATHS_BEFORE_ALONE,
                hold=(
                    f"The process died {DEATHS_BEFORE_ALONE + 1} times at this step, so it is "
                    "not tried again for a day. Look at its files, or abandon it."
                ),
            )
        )
    return [row.id for row in found if row.id not in deadly][:1]
