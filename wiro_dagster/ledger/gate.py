"""The gate of one Wiro account: which orders may be submitted now.

Budget, Wiro's limit of concurrent tasks and pauses are checked in the transaction that claims the
orders, under a lock on the account's row, so several submitters cannot pass them together.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.account_problem import (
    AccountTrouble,
    TroubleKind,
    find_trouble,
    list_other_troubled,
)
from wiro_dagster.ledger.budget import Books, BudgetLimits, committed_amount, why_held
from wiro_dagster.ledger.ledger import Ledger
from wiro_dagster.ledger.order import UNDER_WAY, Order
from wiro_dagster.ledger.rows import ORDER_COLUMNS, order_from_row
from wiro_dagster.ledger.schema import gates, orders

SECONDS_A_DAY = 86400
HELD_AGAIN_AFTER_SECONDS = 30.0
"""How soon an order that the budget holds back is looked at again."""

_JUDGED_AT_ONCE = 500
"""How many due orders one look holds against the budget, so that many held ones cost little."""


@dataclass(frozen=True)
class Admission:
    """Orders that may be submitted, claimed by the caller; or why none may.

    Args:
        orders: claimed, in state `submitting`.
        closed_reason: why the whole account waits; `None` where it does not.
        held: how many orders the budget held back in this look.
    """

    orders: tuple[Order, ...] = ()
    closed_reason: str | None = None
    held: int = 0


class Gate:
    """Admission for one account, shared through the ledger by every process that uses the key."""

    def __init__(self, ledger: Ledger, account: str) -> None:
        self._ledger = ledger
        self._account = account

    def admit(
        self, collection: str, limits: BudgetLimits, *, limit: int, lease_seconds: float
    ) -> Admission:
        """Claims orders of a collection for submission, the oldest due first.

        Each claimed order has its intent on record when this returns: from then on, until Wiro's
        answer is noted, its outcome counts as unknown.

        Args:
            collection: whose orders.
            limits: what may be spent.
            limit: how many at the most.
            lease_seconds: after that long without a word, a claimed order becomes `unknown`.
        """
        now = self._ledger.clock()
        is_due = (
            (orders.c.collection == collection)
            & (orders.c.account == self._account)
            & (orders.c.state == "ordered")
            & (orders.c.due_at <= now)
        )
        with self._ledger.reading() as connection:
            if connection.execute(sa.select(orders.c.id).where(is_due).limit(1)).first() is None:
                return Admission()
        with self._ledger.writing() as connection:
            gate = self._lock(connection)
            if gate.closed_until is not None and gate.closed_until > now:
                return Admission(closed_reason=gate.reason)
            if gate.slots is not None and gate.slots_until is not None and gate.slots_until > now:
                limit = min(limit, gate.slots - self._count_under_way(connection))
            if limit <= 0:
                return Admission(closed_reason=gate.reason)
            if gate.closed_until is not None:
                # After a pause one goes first: it shows whether what stopped the others has passed.
                limit = 1
                self._set(connection, closed_until=None)
            due = connection.execute(
                sa.select(orders.c.id, orders.c.ceiling_usd)
                .where(is_due)
                .order_by(orders.c.due_at, orders.c.id)
                .limit(_JUDGED_AT_ONCE)
                # Locked: an order that is dropped at this moment must not be bought after all. One
                # that somebody else has locked waits for the next look: nobody waits in a circle.
                .with_for_update(skip_locked=True)
            ).all()
            books = self.books(connection, collection, limits)
            admitted: list[int] = []
            held: dict[str, list[int]] = {}
            for order_id, ceiling_usd in due:
                if len(admitted) == limit:
                    break
                reason = why_held(ceiling_usd, books, limits)
                if reason is None:
                    books = books.plus(committed_amount(ceiling_usd, limits) or Decimal(0))
                    admitted.append(order_id)
                else:
                    held.setdefault(reason, []).append(order_id)
            for reason, ids in held.items():
                connection.execute(
                    sa.update(orders)
                    .where(orders.c.id.in_(ids))
                    .values(
                        hold=reason,
                        held_since=sa.func.coalesce(orders.c.held_since, now),
                        due_at=now + HELD_AGAIN_AFTER_SECONDS,
                    )
                )
            claimed = self._claim(connection, admitted, now, lease_seconds, limits)
            return Admission(orders=claimed, held=sum(map(len, held.values())))

    def _claim(
        self,
        connection: Connection,
        ids: list[int],
        now: float,
        lease_seconds: float,
        limits: BudgetLimits,
    ) -> tuple[Order, ...]:
        if not ids:
            return ()
        lease = uuid.uuid4().hex
        changes = {
            "state": "submitting",
            "lease": lease,
            "claimed_at": now,
            "due_at": now + lease_seconds,
            "hold": None,
            "held_since": None,
        }
        connection.execute(sa.update(orders).where(orders.c.id.in_(ids)).values(changes))
        if limits.unknown_price == "assume":
            # The assumption is what the budget counts until Wiro states the cost.
            connection.execute(
                sa.update(orders)
                .where(orders.c.id.in_(ids), orders.c.ceiling_usd.is_(None))
                .values(ceiling_usd=limits.assumed_usd)
            )
        rows = connection.execute(
            sa.select(*ORDER_COLUMNS).where(orders.c.lease == lease).order_by(orders.c.id)
        )
        return tuple(order_from_row(row) for row in rows)

    def books(self, connection: Connection, collection: str, limits: BudgetLimits) -> Books:
        """What the account has spent and committed, as far as the limits ask for it."""
        now = self._ledger.clock()
        counted = sa.func.coalesce(orders.c.cost_usd, orders.c.ceiling_usd)
        mine = (orders.c.account == self._account) & orders.c.claimed_at.is_not(None)
        is_today = orders.c.claimed_at >= now - now % SECONDS_A_DAY

        def add_up(*conditions: sa.ColumnElement[bool]) -> Decimal:
            query = sa.select(sa.func.sum(counted, type_=orders.c.cost_usd.type))
            return connection.execute(query.where(mine, *conditions)).scalar() or Decimal(0)

        books = Books()
        if limits.daily_usd is not None:
            # A task that runs past midnight stays committed on the next day until it ends.
            from_before = orders.c.state.in_(UNDER_WAY) & ~is_today
            books = replace(books, daily_usd=add_up(is_today) + add_up(from_before))
        if limits.collection_usd is not None:
            books = replace(books, collection_usd=add_up(orders.c.collection == collection))
        if limits.total_usd is not None:
            books = replace(books, total_usd=add_up())
        return books

    def close(self, *, until: float, reason: str, trouble: TroubleKind | None = None) -> None:
        """Stops submitting for the account until that time, and says why.

        Args:
            until: when one order tries again.
            reason: for people.
            trouble: given where this will not pass by itself.
        """
        with self._ledger.writing() as connection:
            gate = self._lock(connection)
            if trouble is not None:
                self._set(
                    connection,
                    trouble=trouble,
                    trouble_reason=reason,
                    trouble_at=self._ledger.clock(),
                )
            self._close(connection, gate, until, reason)

    def slow_down(self, *, until: float, reason: str) -> None:
        """Stops submitting and reading for the account until that time: Wiro asked for it."""
        with self._ledger.writing() as connection:
            gate = self._lock(connection)
            self._close(connection, gate, until, reason)
            if gate.reads_paused_until is None or gate.reads_paused_until < until:
                self._set(connection, reads_paused_until=until)

    def may_submit(self) -> bool:
        """Whether the gate is open, budget and slots aside."""
        return self._is_over(gates.c.closed_until)

    def may_read(self) -> bool:
        """Whether tasks may be looked at now. Downloads from the CDN always may."""
        return self._is_over(gates.c.reads_paused_until)

    def _is_over(self, column: sa.Column[float | None]) -> bool:
        query = sa.select(column).where(gates.c.account == self._account)
        with self._ledger.reading() as connection:
            until = connection.execute(query).scalar()
        return until is None or until <= self._ledger.clock()

    def find_trouble(self) -> AccountTrouble | None:
        """Why nothing can be submitted until a person does something; `None` where all is well."""
        with self._ledger.reading() as connection:
            return find_trouble(connection, self._account)

    def take_over(self, collection: str) -> int:
        """Makes the account pay for what another one, whose key or balance was refused, cannot.

        A person has given the collection another key meanwhile. Nothing was sent for these orders.

        Returns:
            How many orders were taken over.
        """
        with self._ledger.reading() as connection:
            others = list_other_troubled(connection, self._account)
        if not others:
            return 0
        unsent = (
            sa.select(orders.c.id)
            .where(orders.c.collection == collection, orders.c.state == "ordered")
            .where(orders.c.account.in_(others))
            .order_by(orders.c.id)
            .with_for_update(skip_locked=True)
        )
        with self._ledger.writing() as connection:
            ids = connection.execute(unsent).scalars().all()
            connection.execute(
                sa.update(orders).where(orders.c.id.in_(ids)).values(account=self._account)
            )
        return len(ids)

    def learn_slots(self, slots: int | None, *, until: float, reason: str) -> bool:
        """Notes Wiro's limit of concurrent tasks, to be believed until that time.

        Args:
            slots: the limit Wiro named; `None` = as many as are under way now.
            until: when to try for more.
            reason: Wiro's words.

        Returns:
            Whether by the books a slot is free all the same: then somebody else uses the account.
        """
        with self._ledger.writing() as connection:
            self._lock(connection)
            under_way = self._count_under_way(connection)
            if slots is None:
                slots = max(1, under_way)
            self._set(connection, slots=slots, slots_until=until, reason=reason)
            return under_way < slots

    def _lock(self, connection: Connection) -> sa.engine.Row[Any]:
        mine = gates.c.account == self._account
        turn = sa.update(gates).where(mine).values(turn=gates.c.turn + 1)
        if connection.execute(turn).rowcount == 0:
            with connection.begin_nested() as savepoint:
                try:
                    connection.execute(sa.insert(gates).values(account=self._account))
                except sa.exc.IntegrityError:
                    savepoint.rollback()  # another submitter came first; its row is ours too
            connection.execute(turn)
        return connection.execute(sa.select(gates).where(mine)).one()

    def _close(
        self, connection: Connection, gate: sa.engine.Row[Any], until: float, reason: str
    ) -> None:
        if gate.closed_until is None or gate.closed_until < until:
            self._set(connection, closed_until=until, reason=reason)

    def _set(self, connection: Connection, **values: object) -> None:
        connection.execute(sa.update(gates).where(gates.c.account == self._account).values(values))

    def _count_under_way(self, connection: Connection) -> int:
        count = sa.select(sa.func.count()).where(
            orders.c.account == self._account, orders.c.state.in_(UNDER_WAY)
        )
        return int(connection.execute(count).scalar_one())
