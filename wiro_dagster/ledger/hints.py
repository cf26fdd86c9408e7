"""Hints from outside that a task has news: they bring its next look forward, and nothing else.

A hint is never evidence. The look that follows reads the task at Wiro, and judges what it shows.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.schema import orders, submissions

HINTED = 0.0
"""The due time of a look that something hinted at. No other look has it."""

_UNANSWERED = ("submitting", "unknown")
"""A task may exist, and nothing says yet which one it is."""


class Hints(Database):
    """Makes looks at running tasks due."""

    def make_due(self, order_ids: Collection[int]) -> set[int]:
        """Make the next looks at these orders' tasks due at once. Return those that were not due.

        Only running orders change: the due time of any other may be a lease.
        """
        waiting = (
            sa.select(orders.c.id, orders.c.due_at)
            .where(orders.c.id.in_(order_ids), orders.c.state == "running")
            .where(orders.c.due_at > HINTED)
            .order_by(orders.c.id)
        )
        with self.reading() as connection:  # a doubled hint costs no write
            if connection.execute(waiting.limit(1)).first() is None:
                return set()
        with self.writing() as connection:
            # Rows that another process is changing are left to it: no deadlock is possible.
            found = connection.execute(waiting.with_for_update(skip_locked=True)).all()
            ids = [row.id for row in found]
            connection.execute(sa.update(orders).where(orders.c.id.in_(ids)).values(due_at=HINTED))
        return {row.id for row in found if row.due_at > self.clock()}

    def hear_callbacks(self, markers: Collection[str]) -> set[str]:
        """Make the looks due at the tasks whose callbacks came.

        Args:
            markers: of the runs that they belong to.

        Returns:
            The markers to bring again soon: the answer to their POST is not known yet, or a look
            at their task may have begun before the callback came.
        """
        query = (
            sa.select(submissions.c.marker, orders.c.id, orders.c.state)
            .join(orders, orders.c.id == submissions.c.order_id)
            .where(submissions.c.marker.in_(markers))
            .where(orders.c.state.in_((*_UNANSWERED, "running")))
        )
        with self.reading() as connection:
            called = connection.execute(query).all()
        changed = self.make_due([row.id for row in called if row.state == "running"])
        return {row.marker for row in called if row.id not in changed}
