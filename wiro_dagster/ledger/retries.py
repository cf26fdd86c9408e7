"""Second tries: a failed order is followed by the next one that the user's policy allows.

Each try is an order of its own for the same wish, so it has its own POST, task and cost. What was
billed and brought nothing is otherwise ordered again only by the user. Here the user has said so in
advance, and the number of tries and the limit for one video bound what that can cost.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.claims import awaits_next_try
from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.order import ORDER_COLUMNS, Order, OrderRequest, live_key, order_from_row
from wiro_dagster.ledger.placing import insert_order, state_of_new, take_spare
from wiro_dagster.ledger.schema import orders, submissions

_LONGEST_CHAIN = 200
_AWAITING = (
    sa.select(*ORDER_COLUMNS)
    .where(orders.c.collection == sa.bindparam("collection"), awaits_next_try())
    .order_by(orders.c.id)
)
_LIVE_ID = sa.select(orders.c.id).where(orders.c.live_key == sa.bindparam("key"))
_AWAITING_OF_PARTITION = _AWAITING.where(orders.c.partition == sa.bindparam("partition"))


class Retries(Database):
    """Places the tries that follow a failed order."""

    def list_awaiting_next_try(
        self, collection: str, *, partition: str | None = None
    ) -> list[Order]:
        """Return failed orders for which no decision about another try has been made."""
        query = _AWAITING if partition is None else _AWAITING_OF_PARTITION
        given = {"collection": collection, "partition": partition}
        with self.reading() as connection:
            return [order_from_row(row) for row in connection.execute(query, given)]

    def add_up_tries(self, order: Order) -> Decimal:
        """Return what an order and the tries before it cost, or may have cost."""
        with self.reading() as connection:
            return _add_up_tries(connection, order)

    def try_again(
        self, failed: Order, request: OrderRequest, *, needs_approval: bool = False
    ) -> Order | None:
        """Place the order that follows a failed one, and hand its waiting run over to it.

        Args:
            failed: whose policy allows another try.
            request: the same wish, perhaps of another model; its `next_models` are what is left.
            needs_approval: propose the order: approval of the failed one was for that one.

        Returns:
            The order; `None` if another process has decided in the meantime, or the user has
            ordered the video again.
        """
        now = self.clock()
        with self.writing() as connection:
            if not _decide(connection, failed):
                return None
            asked_again = connection.execute(_LIVE_ID, {"key": _key(failed)}).scalar()
            if asked_again is not None:
                _supersede(connection, failed, asked_again)
                return None
            order_id = _place_try(connection, failed, request, now, needs_approval)
            place = {
                "try_number": failed.try_number + 1,
                "retry_of": failed.id,
                "earlier_usd": _add_up_tries(connection, failed),
                "waiter_run_id": failed.waiter_run_id,
                "waiter_until": failed.waiter_until,
            }
            connection.execute(sa.update(orders).where(orders.c.id == order_id).values(place))
            _supersede(connection, failed, order_id)
            row = connection.execute(sa.select(*ORDER_COLUMNS).where(orders.c.id == order_id)).one()
        return order_from_row(row)

    def end_tries(self, failed: Order, reason: str) -> None:
        """Decide that no other try follows a failed order, and note why."""
        error = f"{failed.error or 'No reason given.'} {reason}"
        with self.writing() as connection:
            connection.execute(
                sa.update(orders)
                .where(orders.c.id == failed.id, awaits_next_try())
                .values(next_models=None, error=error)
            )

    def list_tries(self, order: Order) -> list[Order]:
        """Return all tries at an order's video, oldest first, including the order itself."""
        found = [order]
        if order.retry_of is None:
            return found
        with self.reading() as connection:
            while found[0].retry_of is not None and len(found) < _LONGEST_CHAIN:
                query = sa.select(*ORDER_COLUMNS).where(orders.c.id == found[0].retry_of)
                found.insert(0, order_from_row(connection.execute(query).one()))
        return found

    def find_next_try(self, order: Order) -> Order | None:
        """Return the try that followed a failed order; `None` if there is none."""
        if order.superseded_by is None:
            return None
        query = sa.select(*ORDER_COLUMNS).where(
            orders.c.id == order.superseded_by, orders.c.retry_of == order.id
        )
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else order_from_row(row)


def _decide(connection: Connection, failed: Order) -> bool:
    """Take the decision about a failed order. False if another process has taken it.

    An order that was billed still is the live one for its video: the next try takes that place.
    """
    decided = connection.execute(
        sa.update(orders)
        .where(orders.c.id == failed.id, awaits_next_try())
        .values(next_models=None, live_key=None)
    )
    return decided.rowcount == 1


def _place_try(
    connection: Connection, failed: Order, request: OrderRequest, now: float, needs_approval: bool
) -> int:
    """Return the id of the order that follows: a second task of the failed one, or a new order."""
    key = _key(failed)
    wish = replace(request, fingerprint=failed.fingerprint, limit_usd=failed.limit_usd)
    spare = take_spare(connection, wish, key, now)
    if spare is not None:
        return spare[0]
    first = state_of_new(request, needs_approval=needs_approval)
    return insert_order(connection, wish, now=now, key=key, **first)


def _key(order: Order) -> str:
    return live_key(order.collection, order.partition, order.fingerprint)


def _supersede(connection: Connection, failed: Order, order_id: int) -> None:
    of_failed = sa.update(orders).where(orders.c.id == failed.id)
    connection.execute(of_failed.values(superseded_by=order_id))


def _add_up_tries(connection: Connection, order: Order) -> Decimal:
    counted = sa.func.coalesce(submissions.c.cost_usd, submissions.c.ceiling_usd)
    query = sa.select(sa.func.sum(counted, type_=submissions.c.cost_usd.type)).where(
        submissions.c.order_id == order.id, submissions.c.outcome != "nothing"
    )
    own = connection.execute(query).scalar() or Decimal(0)
    return (order.earlier_usd or Decimal(0)) + own
