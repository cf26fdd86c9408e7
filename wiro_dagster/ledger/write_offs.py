"""Lost POSTs that never became a task: taken off the budget, but only by a user, and on record."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

import sqlalchemy as sa

from wiro_dagster.ledger.schema import submissions
from wiro_dagster.ledger.stated_costs import (
    SUBMISSION_COLUMNS,
    StatedCosts,
    SubmissionRecord,
    submission_from_row,
)
from wiro_dagster.ledger.task_costs import free_unbilled

_IS_GIVEN_UP = (submissions.c.outcome == "open") & submissions.c.has_ended


class WriteOffs(StatedCosts):
    """Lists lost POSTs, and writes them off."""

    def list_lost(self, order_id: int) -> list[SubmissionRecord]:
        """Return an order's POSTs that ended without a task. The budget counts each."""
        query = (
            sa.select(*SUBMISSION_COLUMNS)
            .where(submissions.c.order_id == order_id, _IS_GIVEN_UP)
            .order_by(submissions.c.id)
        )
        with self.reading() as connection:
            return [submission_from_row(row) for row in connection.execute(query)]

    def write_off(self, submission_ids: Collection[int], *, by: str, why: str) -> int:
        """Take lost POSTs off the budget, because the user has decided so.

        They stay on the books with the user's name. If such a task turns up after all, it counts
        again, at its true cost.

        Args:
            submission_ids: which; one that has a task by now, or is still looked for, is left.
            by: who decided.
            why: on what evidence.

        Returns:
            How many were written off.
        """
        now = self.clock()
        which = submissions.c.id.in_(submission_ids) & _IS_GIVEN_UP
        with self.writing() as connection:
            asked = sa.select(submissions.c.order_id).where(which)
            order_ids = connection.execute(asked).scalars().all()
            written_off = connection.execute(
                sa.update(submissions)
                .where(which)
                .values(
                    outcome="nothing",
                    cost_usd=Decimal(0),
                    written_off_at=now,
                    written_off_by=by,
                    written_off_why=why,
                )
            ).rowcount
            free_unbilled(connection, order_ids)
        return written_off
