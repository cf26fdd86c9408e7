"""The gate of one Wiro account: which orders may be submitted now.

Budget, Wiro's limit of concurrent tasks and pauses are checked in the transaction that claims the
orders, under a lock on the account's row, so several submitters cannot pass them together.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.account_orders import AccountOrders
from wiro_dagster.ledger.account_problem import ProblemKind
from wiro_dagster.ledger.budget import (
    BudgetLimits,
    committed_amount,
    why_held,
)
from wiro_dagster.ledger.claims import SOON_SECONDS, Move, is_due, take_step
from wiro_dagster.ledger.collections import ALIVE_SECONDS
from wiro_dagster.ledger.order import SELECT_ORDERS, Order, order_from_row
from wiro_dagster.ledger.schema import collections, identity, orders
from wiro_dagster.ledger.submissions import open_submissions

HELD_AGAIN_AFTER_SECONDS = 30.0
"""How soon an order that the budget holds back is looked at again."""

URGENT_AGAIN_AFTER_SECONDS = 4.0
"""The same for an urgent order: what others leave of the budget must not pass it by."""

_LASTING: tuple[ProblemKind, ...] = ("hosts", "store")
"""While what was bought cannot be stored, nothing more is bought, not even one to try."""

_JUDGED_AT_ONCE = 500
"""How many due orders one look checks against the budget, so that many held ones cost little."""


@dataclass(frozen=True)
class Admission:
    """Orders that may be submitted, claimed by the caller; or why none may.

    Args:
        orders: claimed, in state `submitting`, their intent on the books.
        closed_reason: why the whole account waits; `None` if it does not.
        held: how many orders the budget held back in this look.
    """

    orders: tuple[Order, ...] = ()
    closed_reason: str | None = None
    held: int = 0


@dataclass(frozen=True)
class _Line:
    """The queries that find the orders before the gate, in their turns.

    Args:
        first: whether any order is due.
        due: the collection's orders that are due.
        held: those that the budget holds back until its next look.
        others: what is due in other collections. One that its own collection holds back is left
            out: that collection's own budget may hold it.
    """

    first: sa.Select[Any]
    due: sa.Select[Any]
    held: sa.Select[Any]
    others: sa.Select[Any]

    def read(self, connection: Connection, given: Mapping[str, Any]) -> list[sa.engine.Row[Any]]:
        """Return the orders that are due, and what is to be submitted before the last of them.

        That is what the budget holds back until its next look, and what is due in collections that
        are at work. Each part has its own limit, so that the cost does not grow with what waits.

        Args:
            connection: of the transaction that claims them.
            given: the account, the collection, and what else the queries ask for.
        """
        found = list(connection.execute(self.due, given).all())
        if not found:
            return []
        given = {**given, "before": found[-1].turn_at, "since": given["now"] - ALIVE_SECONDS}
        found += connection.execute(self.held, given).all()
        names = list(connection.execute(_AT_WORK, given).scalars())
        if names:
            found += connection.execute(self.others, {**given, "names": names}).all()
        return sorted(found, key=lambda row: (row.turn_at, row.id))


class Gate(AccountOrders):
    """Admission for one account, shared through the ledger by every process that uses it."""

    def admit(
        self,
        collection: str,
        limits: BudgetLimits,
        *,
        limit: int,
        lease_seconds: float,
        quoted_after: float | None = None,
        only: Collection[int] | None = None,
        needs_approval: bool = False,
    ) -> Admission:
        """Claim orders of a collection for submission, in their turns (`turn_of`).

        What the account's other collections are to submit first keeps its place in Wiro's limit
        and in the budgets that they share.

        The intent to buy is on the books when this returns: from then on, until Wiro's answer is
        noted, the outcome is unknown and the ceiling is committed.

        Args:
            collection: whose orders.
            limits: what may be spent.
            limit: how many at most.
            lease_seconds: after that long without a renewal, a claimed order becomes `unknown`.
            quoted_after: leave out orders with an older quote: prices change while orders wait.
            only: leave out all orders but these, by id.
            needs_approval: leave out orders without approval that were never sent.
        """
        now = self._ledger.clock()
        line = _build_line(
            asks_price=quoted_after is not None,
            asks_id=only is not None,
            asks_approval=needs_approval,
        )
        given = {
            "account": self._account,
            "collection": collection,
            "now": now,
            "quoted_after": quoted_after,
            "only": list(only or ()),
        }
        with self._ledger.reading() as connection:
            if connection.execute(line.first, given).first() is None:
                return Admission()
        with self._ledger.writing() as connection:
            gate = self._lock(connection)
            closed_reason = self._why_closed(connection, gate, now)
            if closed_reason is not None:
                return Admission(closed_reason=closed_reason)
            slots = self.count_free_slots(connection, gate, now)
            if slots is not None and slots <= 0:
                return Admission(closed_reason=gate.reason)
            if gate.closed_until is not None:
                # After a pause one goes first: it shows whether what stopped the others has passed.
                limit = 1
                self._set(connection, closed_until=None)
            queue = line.read(connection, given)
            admitted, held = self._judge(
                connection, collection, limits, queue, limit=limit, slots=slots
            )
            self._hold(connection, held, now)
            claimed = self._claim(connection, admitted, now, lease_seconds, limits)
            held_count = sum(map(len, held.values()))
            return Admission(orders=claimed, held=held_count)

    def _judge(
        self,
        connection: Connection,
        collection: str,
        limits: BudgetLimits,
        queue: Sequence[sa.engine.Row[Any]],
        *,
        limit: int,
        slots: int | None,
    ) -> tuple[list[int], dict[str, list[int]]]:
        """Return the ids of the orders that may be bought, and by reason those that may not."""
        books = self.books(connection, collection, limits)
        shared = replace(limits, collection_usd=None)
        admitted: list[int] = []
        held: dict[str, list[int]] = {}
        for row in queue:
            if len(admitted) == limit or slots == 0:
                break
            is_ours = row.collection == collection
            reason = why_held(
                row.ceiling_usd,
                books,
                limits if is_ours else shared,
                earlier_usd=row.earlier_usd,
                limit_usd=row.limit_usd,
            )
            if reason is None:
                amount = committed_amount(row.ceiling_usd, limits) or Decimal(0)
                books = books.plus(amount, is_of_collection=is_ours)
                slots = None if slots is None else slots - 1
                admitted += [row.id] if is_ours else []
            elif is_ours and row.is_due:
                held.setdefault(reason, []).append(row.id)
        return admitted, held

    @staticmethod
    def _hold(connection: Connection, held: Mapping[str, list[int]], now: float) -> None:
        for reason, ids in held.items():
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(ids))
                .values(
                    hold=reason,
                    held_since=sa.func.coalesce(orders.c.held_since, now),
                    due_at=now
                    + sa.case(
                        (orders.c.priority > 0, URGENT_AGAIN_AFTER_SECONDS),
                        else_=HELD_AGAIN_AFTER_SECONDS,
                    ),
                )
            )

    @staticmethod
    def _why_closed(connection: Connection, account: sa.engine.Row[Any], now: float) -> str | None:
        """Return why nothing may be bought now, budget and slots aside."""
        behind = connection.execute(_BEHIND).scalar()
        if behind is not None:
            return str(behind)
        if account.problem in _LASTING:
            return str(account.problem_reason)
        if account.closed_until is not None and account.closed_until > now:
            return str(account.reason)
        return None

    def _claim(
        self,
        connection: Connection,
        ids: list[int],
        now: float,
        lease_seconds: float,
        limits: BudgetLimits,
    ) -> tuple[Order, ...]:
        lease = uuid.uuid4().hex
        claimed = []
        for row in connection.execute(_ADMITTED, {"ids": ids}).all():
            order = order_from_row(row)
            changes: dict[str, Any] = {
                "due_at": now + lease_seconds,
                "hold": None,
                "held_since": None,
            }
            if not take_step(connection, Move(order, "claim", changes), now=now):
                continue  # pragma: no cover - their rows are locked, so none has moved on
            ceiling_usd = order.ceiling_usd
            if ceiling_usd is None and limits.unknown_price == "assume":
                # The assumption is what the budget counts until Wiro states the cost.
                ceiling_usd = limits.assumed_usd
            claimed.append(
                replace(
                    order,
                    state="submitting",
                    lease=lease,
                    due_at=now + lease_seconds,
                    ceiling_usd=ceiling_usd,
                    hold=None,
                    held_since=None,
                )
            )
        return tuple(open_submissions(connection, claimed, now=now))


@cache
def _build_line(*, asks_price: bool, asks_id: bool, asks_approval: bool) -> _Line:
    """Build the queries for the orders before the gate, once for a process.

    Args:
        asks_price: whether orders with a quote before `quoted_after` are left out.
        asks_id: whether all orders but `only` are.
        asks_approval: whether those without approval are, that were never sent.
    """
    due = is_due(
        orders.c.due_at,
        sa.bindparam("now", type_=orders.c.due_at.type),
        far_seconds=SOON_SECONDS,
    )
    waits = (orders.c.account == sa.bindparam("account")) & (orders.c.state == "ordered")
    mine = waits & (orders.c.collection == sa.bindparam("collection"))
    if asks_price:
        is_fresh = orders.c.quoted_at >= sa.bindparam("quoted_after")
        mine &= orders.c.ceiling_usd.is_(None) | is_fresh
    if asks_id:
        mine &= orders.c.id.in_(sa.bindparam("only", expanding=True))
    if asks_approval:
        mine &= orders.c.approved_at.is_not(None) | (orders.c.posts > 0)
    is_before = orders.c.turn_at < sa.bindparam("before")
    is_of_others = orders.c.collection.in_(sa.bindparam("names", expanding=True))
    is_free = orders.c.held_since.is_(None)
    columns = (
        orders.c.id,
        orders.c.turn_at,
        orders.c.collection,
        orders.c.ceiling_usd,
        orders.c.earlier_usd,
        orders.c.limit_usd,
        due.label("is_due"),
    )

    def find(*which: sa.ColumnElement[bool]) -> sa.Select[Any]:
        return (
            sa.select(*columns)
            .where(*which)
            .order_by(orders.c.turn_at, orders.c.id)
            .limit(_JUDGED_AT_ONCE)
            # Locked: an order that is dropped at this moment must not be bought after all. One
            # that another process has locked waits for the next look: no deadlock is possible.
            .with_for_update(skip_locked=True)
        )

    return _Line(
        first=sa.select(orders.c.id).where(mine, due).limit(1),
        due=find(mine, due),
        held=find(mine, ~due, ~is_free, is_before),
        others=find(waits, is_of_others, due, is_free, is_before),
    )


_AT_WORK = sa.select(collections.c.collection).where(
    collections.c.collection != sa.bindparam("collection"),
    collections.c.account == sa.bindparam("account"),
    collections.c.ticked_at >= sa.bindparam("since"),
)
_ADMITTED = SELECT_ORDERS.where(orders.c.id.in_(sa.bindparam("ids", expanding=True))).order_by(
    orders.c.id
)
_BEHIND = sa.select(identity.c.behind)
