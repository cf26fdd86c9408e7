"""Claims: which process may take an order's next step, for how long, and how the step is noted."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.order import SELECT_ORDERS, Order, live_key, order_from_row
from wiro_dagster.ledger.schema import orders
from wiro_dagster.ledger.task_costs import Cost, may_be_billed, record_cost
from wiro_dagster.ledger.transitions import TRANSITIONS, OrderState

Time = float | sa.BindParameter[float]
"""Unix seconds, or the parameter of a prepared statement."""

DEATHS_BEFORE_ALONE = 3
"""After this many processes died at one step of an order, it is handled on its own."""

_SET_ASIDE_SECONDS = 86_400.0
_FAR_SECONDS = 2 * 86_400.0
SOON_SECONDS = 1800.0
"""No submission, and no look at a running task, is delayed for longer."""


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
        first, due = _select_due(
            tuple(states), unwaited=unwaited, oldest_task_first=oldest_task_first
        )
        given = {"collection": collection, "now": now, "limit": limit, "run": run_id}
        # This look blocks no other process, and mostly finds nothing.
        with self.reading() as connection:
            if connection.execute(first, given).first() is None:
                return []
        with self.writing() as connection:
            found = connection.execute(due, given).all()
            ids = _choose(connection, found, now)
            taken = {"ids": ids, "new_lease": lease, "until": now + lease_seconds}
            connection.execute(_TAKE, taken)
            rows = connection.execute(_TAKEN, {"new_lease": lease})
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
            .where(_may_claim(orders.c.collection.in_(collections), states, now), _is_unwaited(now))
            .limit(limit)
            .subquery()
        )
        with self.reading() as connection:
            found = connection.execute(sa.select(sa.func.count()).select_from(some))
            return int(found.scalar_one())

    def is_claimed(self, order: Order, *, until: float) -> bool:
        """Whether no other process can take a claimed order before that time."""
        with self.reading() as connection:
            given = {**_guard(order), "until": until}
            return connection.execute(_FIND_CLAIMED, given).first() is not None

    def renew_all(self, claimed: Sequence[Order], lease_seconds: float) -> list[bool]:
        """Keep claimed orders for longer, in one transaction. False for what others have by now."""
        due_at = self.clock() + lease_seconds
        with self.writing() as connection:
            return [
                connection.execute(_UPDATE_CLAIMED, {**_guard(order), "due_at": due_at}).rowcount
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
    collection: sa.ColumnElement[bool], states: Collection[OrderState], now: Time
) -> sa.ColumnElement[bool]:
    return (
        collection & orders.c.state.in_(states) & is_due(orders.c.due_at, now) & ~awaits_next_try()
    )


def _is_unwaited(now: Time) -> sa.ColumnElement[bool]:
    return orders.c.waiter_until.is_(None) | (orders.c.waiter_until <= now)


@cache
def _select_due(
    states: tuple[OrderState, ...], *, unwaited: bool, oldest_task_first: bool
) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """Return what finds one due order, and what locks as many as are wanted."""
    now = sa.bindparam("now", type_=orders.c.due_at.type)
    which = _may_claim(orders.c.collection == sa.bindparam("collection"), states, now)
    if unwaited:
        run = sa.bindparam("run", type_=orders.c.waiter_run_id.type)
        which &= _is_unwaited(now) | (orders.c.waiter_run_id == run)
    first = orders.c.ended_at if oldest_task_first else orders.c.due_at
    due = (
        sa.select(orders.c.id, orders.c.deaths)
        .where(which)
        .order_by(orders.c.deaths >= DEATHS_BEFORE_ALONE, first, orders.c.id)
    )
    wanted = due.limit(sa.bindparam("limit", type_=sa.Integer()))
    # Rows that another process is changing are left to it: no deadlock is possible.
    return due.limit(1), wanted.with_for_update(skip_locked=True)


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
    due_at: sa.ColumnElement[Any], now: Time, *, far_seconds: float = _FAR_SECONDS
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
    due_at: sa.ColumnElement[Any], now: Time, *, far_seconds: float
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
    update = _UPDATE_CLAIMED if transition.needs_lease else _UPDATE_UNCLAIMED
    return connection.execute(update, {**changes, **_guard(order)}).rowcount == 1


def _free_key(connection: Connection, order: Order) -> str | None:
    """Return the order's live key, unless another order of the same video has it by now."""
    key = live_key(order.collection, order.partition, order.fingerprint)
    taken = sa.select(orders.c.id).where(orders.c.live_key == key)
    return None if connection.execute(taken).first() is not None else key


def _guard(order: Order) -> dict[str, Any]:
    """Return what an order must still be like, for the statements below."""
    return {f"was_{name}": getattr(order, name) for name in ("id", "state", "task_id", "lease")}


def _was(column: sa.Column[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(f"was_{column.name}", type_=column.type)


_IS_UNMOVED = (orders.c.id == _was(orders.c.id)) & (orders.c.state == _was(orders.c.state))
_IS_CLAIMED = _IS_UNMOVED & orders.c.lease.is_not_distinct_from(_was(orders.c.lease))
_UPDATE_CLAIMED = sa.update(orders).where(_IS_CLAIMED)
_UPDATE_UNCLAIMED = sa.update(orders).where(
    _IS_UNMOVED, orders.c.task_id.is_not_distinct_from(_was(orders.c.task_id))
)
_UNTIL = sa.bindparam("until", type_=orders.c.due_at.type)
_FIND_CLAIMED = sa.select(orders.c.id).where(_IS_CLAIMED, orders.c.due_at >= _UNTIL)
_NEW_LEASE = sa.bindparam("new_lease", type_=orders.c.lease.type)
_TAKE = (
    sa.update(orders)
    .where(orders.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(lease=_NEW_LEASE, due_at=_UNTIL, deaths=orders.c.deaths + 1)
)
_TAKEN = SELECT_ORDERS.where(orders.c.lease == _NEW_LEASE).order_by(orders.c.id)


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
