"""Approvals: orders that wait, with their quotes, until they are approved."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from wiro_dagster.ledger.claims import Claims, Move, take_step
from wiro_dagster.ledger.order import ORDER_COLUMNS, Order, order_from_row
from wiro_dagster.ledger.placing import approve_order
from wiro_dagster.ledger.schema import orders


@dataclass(frozen=True)
class Proposal:
    """How many orders wait for approval, and what they would cost together.

    Args:
        count: all of them.
        quote_usd: the sum of the known quotes.
        ceiling_usd: the most that these may cost.
        unknown: how many have no known price.
    """

    count: int
    quote_usd: Decimal
    ceiling_usd: Decimal
    unknown: int

    @classmethod
    def of(cls, proposed: Iterable[Order]) -> Proposal:
        """Add up some proposed orders."""
        listed = list(proposed)
        quotes = [order.quote_usd for order in listed if order.quote_usd is not None]
        ceilings = [order.ceiling_usd for order in listed if order.ceiling_usd is not None]
        return cls(
            count=len(listed),
            quote_usd=sum(quotes, Decimal(0)),
            ceiling_usd=sum(ceilings, Decimal(0)),
            unknown=len(listed) - len(ceilings),
        )

    def describe(self) -> str:
        """Return one line: `3 orders, 0.84 USD together`."""
        orders_text = "1 order" if self.count == 1 else f"{self.count} orders"
        most = f" (at most {self.ceiling_usd:f})" if self.ceiling_usd != self.quote_usd else ""
        unknown = f", {self.unknown} of them of unknown price" if self.unknown else ""
        return f"{orders_text}, {self.quote_usd:f} USD{most} together{unknown}"


class Approvals(Claims):
    """Adds up what waits for approval, and approves it."""

    def add_up_proposed(self, collection: str) -> Proposal:
        """Return how many orders of a collection wait for approval, and what they would cost."""
        query = sa.select(
            sa.func.count().label("count"),
            sa.func.sum(orders.c.quote_usd, type_=orders.c.quote_usd.type).label("quote"),
            sa.func.sum(orders.c.ceiling_usd, type_=orders.c.quote_usd.type).label("ceiling"),
            sa.func.count(orders.c.ceiling_usd).label("priced"),
        ).where(orders.c.collection == collection, orders.c.state == "proposed")
        with self.reading() as connection:
            row = connection.execute(query).one()
        zero = Decimal(0)
        unknown = row[0] - row.priced
        return Proposal(row[0], row.quote or zero, row.ceiling or zero, unknown)

    def approve(self, shown: Collection[Order], *, by: str) -> list[int]:
        """Let proposed orders be bought at the prices that were shown, and record by whom.

        Args:
            shown: the orders as the approver saw them. One that has moved on, or whose price has
                changed since, is left alone.
            by: who approves.

        Returns:
            The ids of the orders that were approved.
        """
        now, approved = self.clock(), []
        with self.writing() as connection:
            for order in sorted(shown, key=lambda order: order.id):  # no deadlock is possible
                query = sa.select(*ORDER_COLUMNS).where(orders.c.id == order.id).with_for_update()
                found = order_from_row(connection.execute(query).one())
                is_as_shown = (found.state, found.ceiling_usd) == ("proposed", order.ceiling_usd)
                if is_as_shown and approve_order(connection, found, by=by, now=now):
                    approved.append(order.id)
        return approved

    def decline(self, shown: Collection[Order], *, by: str) -> list[int]:
        """Drop proposed orders. Return the ids of those that still were proposed."""
        now = self.clock()
        ended = {"error": f"Declined by {by}.", "ended_at": now, "due_at": now}
        waiting = [order for order in shown if order.state == "proposed"]
        done = self.apply_all(Move(order, "drop", ended) for order in waiting)
        return [order.id for order, is_done in zip(waiting, done, strict=True) if is_done]

    def propose_unapproved(self, collection: str) -> int:
        """Propose unsent orders that were placed before the collection asked for approval.

        Returns:
            How many there were.
        """
        query = (
            sa.select(*ORDER_COLUMNS)
            .where(orders.c.collection == collection, orders.c.state == "ordered")
            .where(orders.c.approved_at.is_(None), orders.c.posts == 0)
            .order_by(orders.c.id)
        )
        with self.writing() as connection:
            rows = connection.execute(query.with_for_update(skip_locked=True)).all()
            moves = [Move(order_from_row(row), "propose", {"due_at": None}) for row in rows]
            return sum(take_step(connection, move, now=self.clock()) for move in moves)
