"""The orders of one Wiro account: what they cost, how many are under way, which account pays."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.account_problem import list_other_refused
from wiro_dagster.ledger.account_state import AccountState
from wiro_dagster.ledger.budget import Books, BudgetLimits, BudgetUse, list_uses
from wiro_dagster.ledger.schema import account_keys, orders, submissions
from wiro_dagster.ledger.transitions import UNDER_WAY, UNSENT

SECONDS_A_DAY = 86400


class AccountOrders(AccountState):
    """What an account has spent, has under way, and takes over from another one."""

    def list_uses(self, collection: str, limits: BudgetLimits) -> list[BudgetUse]:
        """Return how far each budget that is set is used now."""
        with self._ledger.reading() as connection:
            return list_uses(self.books(connection, collection, limits), limits)

    def books(self, connection: Connection, collection: str, limits: BudgetLimits) -> Books:
        """Add up what the account has spent and committed, for the limits that are set."""
        now = self._ledger.clock()
        midnight = now - now % SECONDS_A_DAY
        counted = sa.func.coalesce(submissions.c.cost_usd, submissions.c.ceiling_usd)
        mine = (submissions.c.account == self._account) & (submissions.c.outcome != "nothing")

        def add_up(*conditions: sa.ColumnElement[bool]) -> Decimal:
            query = sa.select(sa.func.sum(counted, type_=submissions.c.cost_usd.type))
            return connection.execute(query.where(mine, *conditions)).scalar() or Decimal(0)

        books = Books()
        if limits.daily_usd is not None:
            # A day counts what was sent on it, what was charged on it, and what may yet be.
            is_today = (
                (submissions.c.claimed_at >= midnight)
                | (submissions.c.cost_stated_at >= midnight)
                | ~submissions.c.has_ended
            )
            books = replace(books, daily_usd=add_up(is_today))
        if limits.collection_usd is not None:
            books = replace(books, collection_usd=add_up(submissions.c.collection == collection))
        if limits.total_usd is not None:
            books = replace(books, total_usd=add_up())
        return books

    def take_over(self, collection: str) -> int:
        """Take over the collection's unsent orders from an account whose key Wiro refuses.

        The user has since given the collection a new key, and nothing was sent for these
        orders. An account without balance keeps its orders: another one must not pay for them.
        Orders under a key of this account, placed before it was known as such, are taken over too.

        Returns:
            How many orders were taken over.
        """
        look, unsent = _foreign_unsent()
        with self._ledger.reading() as connection:
            others = list_other_refused(connection, self._account)
            values = {"account": self._account, "collection": collection, "others": others}
            if connection.execute(look, values).first() is None:
                return 0
        with self._ledger.writing() as connection:
            locked = unsent.with_for_update(skip_locked=True)
            ids = connection.execute(locked, values).scalars().all()
            connection.execute(
                sa.update(orders).where(orders.c.id.in_(ids)).values(account=self._account)
            )
        return len(ids)

    def learn_slots(self, slots: int | None, *, until: float, reason: str) -> bool:
        """Note Wiro's limit of concurrent tasks, to be believed until that time.

        Args:
            slots: the limit Wiro named; `None` = as many as are under way now.
            until: when to try for more.
            reason: Wiro's words.

        Returns:
            Whether the books still show a free slot: then others use the account too.
        """
        with self._ledger.writing() as connection:
            self._lock(connection)
            under_way = self._count_under_way(connection)
            if slots is None:
                slots = max(1, under_way)
            self._set(connection, slots=slots, slots_until=until, reason=reason)
            return under_way < slots

    def count_free_slots(
        self, connection: Connection, account: sa.engine.Row[Any], now: float
    ) -> int | None:
        """Return how many more tasks Wiro takes now; `None` if it has named no limit."""
        if account.slots is None or account.slots_until is None or account.slots_until <= now:
            return None
        return int(account.slots) - self._count_under_way(connection)

    def _count_under_way(self, connection: Connection) -> int:
        count = sa.select(sa.func.count()).where(
            orders.c.account == self._account, orders.c.state.in_(UNDER_WAY)
        )
        return int(connection.execute(count).scalar_one())


@cache
def _foreign_unsent() -> tuple[sa.Select[Any], sa.Select[Any]]:
    """Build the queries of `take_over`, once for a process: whether there is any order, and which.

    Each tick asks the first, mostly in vain.
    """
    account: sa.ColumnElement[str] = sa.bindparam("account")
    keys = sa.select(account_keys.c.key_hash).where(
        account_keys.c.account == account, account_keys.c.key_hash != account
    )
    others = orders.c.account.in_(sa.bindparam("others", expanding=True))
    unsent = (
        sa.select(orders.c.id)
        .where(orders.c.collection == sa.bindparam("collection"), orders.c.state.in_(UNSENT))
        .where(others | orders.c.account.in_(keys))
        .where(orders.c.account != account, orders.c.posts == 0)
        .order_by(orders.c.id)
    )
    return unsent.limit(1), unsent
