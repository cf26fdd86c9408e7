"""Takes: several orders of one prompt, of which one represents the partition.

Until a user chooses, it is the first that is in the store. The others are owned too, and
can be chosen at any time; they are superseded by the one that stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger.claims import Claims, Move, take_step
from wiro_dagster.ledger.order import ORDER_COLUMNS, Order, order_from_row
from wiro_dagster.ledger.placing import find_candidates, take_turns
from wiro_dagster.ledger.schema import orders


class Takes(Claims):
    """Says which take stands for a partition, and lets users choose another one."""

    def elect(self, ended: Order) -> Order:
        """Return the order that represents the partition, now that this one has ended.

        It is called before an end is reported, so that a partition shows one take, and fails only
        if all of its takes have failed.
        """
        with self.reading() as connection:
            if all(order.id == ended.id for order in find_candidates(connection, ended)):
                return ended
        with self.writing() as connection:
            take_turns(connection, [(ended.collection, ended.partition)])
            candidates = find_candidates(connection, ended)
            own = next((order for order in candidates if order.id == ended.id), None)
            others = [order for order in candidates if order.id != ended.id]
            if own is None:
                return others[-1] if others else ended
            rival = _find_rival(own, others)
            if rival is not None:
                _set_aside(connection, [own], rival, lease=None)
                return rival
            if own.is_owned:
                done = [other for other in others if other.is_owned or other.is_failure]
                _set_aside(connection, done, own, lease=None)
                chosen = sa.update(orders).where(orders.c.id == own.id)
                connection.execute(chosen.values(chosen_at=self.clock()))
            return own

    def find_alone(self, collection: str, ended: Collection[Order]) -> set[int]:
        """Return the ids of orders that need no election: no other take stands beside them.

        Args:
            collection: whose orders.
            ended: the orders.
        """
        query = sa.select(orders.c.id, orders.c.partition, orders.c.prompt_version).where(
            orders.c.collection == collection,
            orders.c.partition.in_({order.partition for order in ended}),
            orders.c.superseded_by.is_(None),
        )
        candidates: dict[tuple[str, str], set[int]] = defaultdict(set)
        with self.reading() as connection:
            for row in connection.execute(query):
                candidates[row.partition, row.prompt_version].add(row.id)
        return {
            order.id
            for order in ended
            if candidates[order.partition, order.prompt_version] <= {order.id}
        }

    def choose_take(self, collection: str, partition: str, take: int, *, by: str) -> Order:
        """Let a take represent its partition. It is reported again, and costs nothing.

        Args:
            collection: whose video.
            partition: the prompt's id.
            take: its number.
            by: who chooses.

        Returns:
            The order of the take.

        Raises:
            LedgerError: the prompt has no such take, or it is not in the store.
        """
        takes = {o.take: o for o in self.list_takes(collection=collection, partition=partition)}
        if take not in takes:
            known = ", ".join(map(str, takes)) or "none but one"
            raise LedgerError(
                f'"{partition}" of {collection} has no take {take} to choose. Its takes: {known}.'
            )
        if not takes[take].is_owned:
            raise LedgerError(f"{takes[take].name}, take {take}, is {takes[take].state}.")
        return self._choose(takes[take], by=by)

    def _choose(self, order: Order, *, by: str) -> Order:
        now = self.clock()
        with self.writing() as connection:
            take_turns(connection, [(order.collection, order.partition)])
            query = sa.select(*ORDER_COLUMNS).where(orders.c.id == order.id)
            take = order_from_row(connection.execute(query).one())
            others = [other for other in find_candidates(connection, take) if other.id != take.id]
            if take.superseded_by is not None and not others:
                raise LedgerError(f"The prompt of {take.name} has changed. Look at it again.")
            _set_aside(connection, others, take)
            connection.execute(
                sa.update(orders)
                .where(orders.c.id == take.id)
                .values(superseded_by=None, chosen_at=now, chosen_by=by)
            )
            if take.superseded_by is not None and take.state == "delivered":
                take_step(connection, Move(take, "show_again", {"due_at": now}), now=now)
            return order_from_row(connection.execute(query).one())

    def list_takes(
        self, *, collection: str | None = None, partition: str | None = None
    ) -> list[Order]:
        """Return the takes of prompts that have several, by collection, partition and take.

        Args:
            collection: only this one.
            partition: only this one.
        """
        current = orders.alias("current")
        same = (
            (current.c.collection == orders.c.collection)
            & (current.c.partition == orders.c.partition)
            & (current.c.prompt_version == orders.c.prompt_version)
            & current.c.superseded_by.is_(None)
        )
        query = sa.select(*ORDER_COLUMNS).where(sa.exists().where(same)).order_by(orders.c.id)
        if collection is not None:
            query = query.where(orders.c.collection == collection)
        if partition is not None:
            query = query.where(orders.c.partition == partition)
        with self.reading() as connection:
            found = [order_from_row(row) for row in connection.execute(query)]
        return _take_apart(found)


def _take_apart(found: Sequence[Order]) -> list[Order]:
    """Return one order for each take: the owned one, else the newest."""
    partitions: dict[tuple[str, str], dict[int, Order]] = defaultdict(dict)
    for order in found:
        takes = partitions[order.collection, order.partition]
        known = takes.get(order.take)
        if known is None or not known.is_owned:
            takes[order.take] = order
    return [
        takes[number]
        for _, takes in sorted(partitions.items())
        if len(takes) > 1
        for number in sorted(takes)
    ]


def _find_rival(own: Order, others: Sequence[Order]) -> Order | None:
    """Return the take that stands instead of one that has ended; `None` if that one stands."""
    if own.is_failure:
        return min(others, key=lambda o: (o.is_failure, not o.is_owned, o.id), default=None)
    standing = [o for o in others if o.chosen_at is not None or o.state == "delivered"]
    earlier = [o for o in others if o.is_owned and _came(o) < _came(own)]
    return min(standing or earlier, key=_came, default=None)


def _came(order: Order) -> tuple[float, int]:
    return order.ended_at or 0.0, order.id


def _set_aside(
    connection: sa.Connection, takes: Sequence[Order], standing: Order, **more: Any
) -> None:
    connection.execute(
        sa.update(orders)
        .where(orders.c.id.in_([take.id for take in takes]))
        .values(superseded_by=standing.id, **more)
    )
