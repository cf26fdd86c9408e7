"""Lookups of orders, without changing anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger.claims import SOON_SECONDS, is_due
from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.order import (
    ORDER_COLUMNS,
    SELECT_ONE,
    SELECT_ORDERS,
    Order,
    OrderRequest,
    Standing,
    live_key,
    order_from_row,
)
from wiro_dagster.ledger.schema import orders
from wiro_dagster.ledger.transitions import OWNED, STATES, UNSENT, WITHOUT_VIDEO, OrderState

MOST_COUNTED = 10_000

_OF_COLLECTION = orders.c.collection == sa.bindparam("collection")
_IS_DUE_SOON = is_due(
    orders.c.due_at,
    sa.bindparam("now", type_=orders.c.due_at.type),
    far_seconds=SOON_SECONDS,
)
_QUOTED_BEFORE = sa.bindparam("quoted_before", type_=orders.c.quoted_at.type)
_UNQUOTED = (
    SELECT_ORDERS.where(_OF_COLLECTION, orders.c.state.in_(UNSENT), _IS_DUE_SOON)
    .where(
        orders.c.ceiling_usd.is_(None) | (sa.func.coalesce(orders.c.quoted_at, 0) < _QUOTED_BEFORE)
    )
    .order_by(orders.c.turn_at, orders.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer()))
)
_UNSENT = (
    sa.select(orders.c.id).where(_OF_COLLECTION, orders.c.state == "ordered", _IS_DUE_SOON).limit(1)
)
_LIVE = SELECT_ORDERS.where(orders.c.live_key == sa.bindparam("key"))
_OWNED = (
    SELECT_ORDERS.where(_OF_COLLECTION, orders.c.fingerprint == sa.bindparam("fingerprint"))
    .where(orders.c.state.in_(OWNED))
    .order_by(orders.c.id.desc())
    .limit(1)
)


class Records(Database):
    """Looks orders up."""

    def get(self, order_id: int) -> Order:
        """Return one order by its id.

        Raises:
            LedgerError: the ledger does not have it.
        """
        with self.reading() as connection:
            row = connection.execute(SELECT_ONE, {"one_id": order_id}).one_or_none()
        if row is None:
            raise LedgerError(f"This ledger has no order {order_id}.")
        return order_from_row(row)

    def list_orders(
        self,
        *,
        ids: Collection[int] | None = None,
        collection: str | None = None,
        partitions: Collection[str] | None = None,
        states: Collection[OrderState] | None = None,
        limit: int | None = None,
    ) -> list[Order]:
        """Return orders that fit every condition given, the oldest first."""
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

    def list_standings(
        self, collection: str, partitions: Collection[str]
    ) -> dict[str, list[Standing]]:
        """Return what is known of the orders of some partitions, the oldest first, by partition."""
        columns = [orders.c[name] for name in ("partition", *Standing.__dataclass_fields__)]
        query = (
            sa.select(*columns)
            .where(orders.c.collection == collection, orders.c.partition.in_(partitions))
            .order_by(orders.c.id)
        )
        found: dict[str, list[Standing]] = {partition: [] for partition in partitions}
        with self.reading() as connection:
            for partition, *values in connection.execute(query):
                found[partition].append(Standing(*values))
        return found

    def find_latest(self, collection: str, partition: str) -> Order | None:
        """Return the order that represents a partition now: the newest that is not superseded."""
        query = (
            SELECT_ORDERS.where(orders.c.collection == collection)
            .where(orders.c.partition == partition, orders.c.superseded_by.is_(None))
            .order_by(orders.c.id.desc())
            .limit(1)
        )
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else order_from_row(row)

    def list_failed(self, collection: str) -> list[Order]:
        """Return orders that represent their partition and ended without a video."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.collection == collection)
            .where(orders.c.state.in_(WITHOUT_VIDEO))
            .where(orders.c.superseded_by.is_(None))
            .order_by(orders.c.id)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def list_owned_ids(self, collection: str) -> list[int]:
        """Return ids of the owned orders that represent their partitions, the oldest first."""
        query = (
            sa.select(orders.c.id)
            .where(orders.c.collection == collection, orders.c.superseded_by.is_(None))
            .where(orders.c.state.in_(("stored", "delivered")))
            .order_by(orders.c.id)
        )
        with self.reading() as connection:
            return list(connection.execute(query).scalars())

    def count_held(self, collection: str) -> int:
        """Return how many orders the budget holds back."""
        query = sa.select(sa.func.count()).where(_is_held(collection))
        with self.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def list_held(self, collection: str, *, limit: int) -> list[Order]:
        """Return orders that the budget holds back; `hold` says why. The longest held first."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(_is_held(collection))
            .order_by(orders.c.held_since, orders.c.id)
            .limit(limit)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def list_unanswered(self, account: str) -> list[Order]:
        """Return orders of an account that were or are being submitted, and have no task yet."""
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.account == account)
            .where(orders.c.state.in_(("submitting", "unknown")))
            .order_by(orders.c.id)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def count_unsettled(self, collection: str) -> dict[OrderState, int]:
        """Return how many orders of a collection still have a step to take, by state.

        Of very many, only the first `MOST_COUNTED` are counted.
        """
        unsettled = [state for state in STATES if state != "delivered"]
        some = (
            sa.select(orders.c.state)
            .where(orders.c.collection == collection, orders.c.state.in_(unsettled))
            .where(orders.c.due_at.is_not(None))
            .limit(MOST_COUNTED)
            .subquery()
        )
        query = sa.select(some.c.state, sa.func.count()).group_by(some.c.state)
        query = query.order_by(some.c.state)
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def list_unquoted(
        self, collection: str, *, limit: int, quoted_before: float = 0.0
    ) -> list[Order]:
        """Return orders that are due for submission and whose price is missing or too old.

        Proposed orders are due only while they have no price.
        """
        given = {
            "collection": collection,
            "limit": limit,
            "quoted_before": quoted_before,
            "now": self.clock(),
        }
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(_UNQUOTED, given)]

    def has_unsent(self, collection: str) -> bool:
        """Whether an order of the collection waits to be submitted now."""
        given = {"collection": collection, "now": self.clock()}
        with self.reading() as connection:
            return connection.execute(_UNSENT, given).first() is not None

    def find_live(self, request: OrderRequest) -> Order | None:
        """Return the live order of the video that a request is for."""
        key = live_key(request.collection, request.partition, request.fingerprint)
        with self.reading() as connection:
            row = connection.execute(_LIVE, {"key": key}).one_or_none()
        return None if row is None else order_from_row(row)

    def list_standing(
        self, collections: Collection[str], moved_before: Mapping[OrderState, float], *, limit: int
    ) -> list[Order]:
        """Return orders that have not left a state since the time given for it.

        Args:
            collections: whose orders.
            moved_before: for each state, the unix time by which an order in it should have come
                there later.
            limit: how many at most, the longest standing first.
        """
        # One select for each state, since an index answers each of them at once.
        standing = sa.union_all(
            *(
                sa.select(orders.c.id)
                .where(orders.c.collection.in_(collections))
                .where(orders.c.state == state, orders.c.moved_at < time)
                for state, time in moved_before.items()
            )
        )
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.id.in_(standing))
            .order_by(orders.c.moved_at, orders.c.id)
            .limit(limit)
        )
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query)]

    def find_owned(self, collection: str, fingerprint: str) -> Order | None:
        """Return an owned order of any partition with this fingerprint."""
        given = {"collection": collection, "fingerprint": fingerprint}
        with self.reading() as connection:
            row = connection.execute(_OWNED, given).one_or_none()
        return None if row is None else order_from_row(row)

    def list_partitions(self, collection: str, *, among: Collection[str]) -> set[str]:
        """Return those of some partitions that have orders."""
        which = (orders.c.collection == collection) & orders.c.partition.in_(among)
        with self.reading() as connection:
            return set(connection.execute(sa.select(orders.c.partition).where(which)).scalars())

    def list_owned_fingerprints(self, collection: str, *, among: Collection[str]) -> set[str]:
        """Return those of some fingerprints whose video is owned, in any partition."""
        which = (orders.c.collection == collection) & orders.c.state.in_(OWNED)
        query = sa.select(orders.c.fingerprint).where(which, orders.c.fingerprint.in_(among))
        with self.reading() as connection:
            return set(connection.execute(query).scalars())


def _is_held(collection: str) -> sa.ColumnElement[bool]:
    return (
        (orders.c.collection == collection)
        & (orders.c.state == "ordered")
        & orders.c.held_since.is_not(None)
    )
