"""Looking orders up, without changing anything."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.order import Order, OrderState
from wiro_dagster.ledger.rows import ORDER_COLUMNS, order_from_row
from wiro_dagster.ledger.schema import orders


class Records(Database):
    """What is known of orders."""

    def get(self, order_id: int) -> Order:
        """One order by its id.

        Raises:
            LedgerError: there is none.
        """
        found = self.list_orders(ids=[order_id])
        if not found:
            raise LedgerError(f"There is no order {order_id} in this ledger.")
        return found[0]

    def list_orders(
        self,
        *,
        ids: Collection[int] | None = None,
        collection: str | None = None,
        partitions: Collection[str] | None = None,
        states: Collection[OrderState] | None = None,
        limit: int | None = None,
    ) -> list[Order]:
        """Orders that fit every condition given, the oldest first."""
        query = sa.select(*ORDER_COLUMNS).order_by(orders.c.id)
        if ids is not None:
            query = query.where(orders.c.id.in_(ids))
        if collection is not None:
            query = query.where(orders.c.collection == collection)
        if partitions is not None:
            query = query.where(orders.c.partition.in_(partitions))
        if states is not None:
            query = query.where(orders.c.state.in_(states))
        if limit is not None:
            query = query.limit(limit)
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def find_latest(self, collection: str, partition: str) -> Order | None:
        """The order that stands for a partition now: the newest that is not superseded."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.collection == collection, orders.c.partition == partition)
            .where(orders.c.superseded_by.is_(None))
            .order_by(orders.c.id.desc())
            .limit(1)
        )
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else order_from_row(row)

    def list_failed(self, collection: str) -> list[Order]:
        """Orders that stand for their partition and ended without a video, the oldest first."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.collection == collection)
            .where(orders.c.state.in_(("failed", "cancelled", "uncollected")))
            .where(orders.c.superseded_by.is_(None))
            .order_by(orders.c.id)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def count_held(self, collection: str) -> int:
        """How many orders the budget holds back."""
        query = sa.select(sa.func.count()).where(_is_held(collection))
        with self.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def list_held(self, collection: str, *, limit: int) -> list[Order]:
        """Orders that the budget holds back; `hold` says why. The longest held first."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(_is_held(collection))
            .order_by(orders.c.held_since, orders.c.id)
            .limit(limit)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def find_known_tasks(self, account: str, task_ids: Collection[str]) -> set[str]:
        """Which of these tasks belong to an order of the account already."""
        query = sa.select(orders.c.task_id).where(
            orders.c.account == account, orders.c.task_id.in_(task_ids)
        )
        with self.reading() as connection:
            return set(connection.execute(query).scalars())

    def list_unanswered(self, account: str) -> list[Order]:
        """Orders of an account that were or are being submitted, and have no task yet."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.account == account)
            .where(orders.c.state.in_(("submitting", "unknown")))
            .order_by(orders.c.id)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def count_unsettled(self, collection: str) -> dict[OrderState, int]:
        """How many orders of a collection are in each state that is not at rest."""
        query = (
            sa.select(orders.c.state, sa.func.count())
            .where(orders.c.collection == collection, orders.c.due_at.is_not(None))
            .group_by(orders.c.state)
            .order_by(orders.c.state)
        )
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def list_unquoted(self, collection: str, *, limit: int) -> list[Order]:
        """Orders that are due for submission and have no price yet."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.collection == collection, orders.c.state == "ordered")
            .where(orders.c.due_at <= self.clock(), orders.c.ceiling_usd.is_(None))
            .limit(limit)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]


def _is_held(collection: str) -> sa.ColumnElement[bool]:
    return (
        (orders.c.collection == collection)
        & (orders.c.state == "ordered")
        & orders.c.held_since.is_not(None)
    )
