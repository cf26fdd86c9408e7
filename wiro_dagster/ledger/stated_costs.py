"""Costs as Wiro states them: entered when they arrive, read again if they do not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from wiro_dagster.ledger.claims import Claims
from wiro_dagster.ledger.order import Order
from wiro_dagster.ledger.schema import differences, submissions
from wiro_dagster.ledger.task_costs import Cost, free_unbilled, record_cost

SubmissionOutcome = Literal["open", "nothing", "task"]


@dataclass(frozen=True)
class SubmissionRecord:
    """One POST, as the books keep it. Times are unix seconds by our clock; money is in USD.

    `wiro_dagster.ledger.schema` says what each column is.
    """

    id: int
    order_id: int
    account: str
    collection: str
    model_slug: str
    marker: str
    claimed_at: float
    outcome: SubmissionOutcome
    task_id: str | None
    listed_at: float | None
    ceiling_usd: Decimal | None
    cost_usd: Decimal | None
    recheck_at: float | None
    rechecks: int
    has_ended: bool
    written_off_by: str | None
    written_off_why: str | None


SUBMISSION_COLUMNS = tuple(submissions.c[field.name] for field in fields(SubmissionRecord))


def submission_from_row(row: Row[Any]) -> SubmissionRecord:
    """Return a submission from a row of `SUBMISSION_COLUMNS`."""
    return SubmissionRecord(*row)


class StatedCosts(Claims):
    """Notes what Wiro states of costs."""

    def list_unstated(self, account: str) -> list[SubmissionRecord]:
        """Return ended tasks whose cost Wiro did not state in any of the looks it was given.

        Those that the user accepted are left out.
        """
        query = (
            sa.select(*SUBMISSION_COLUMNS)
            .where(submissions.c.account == account, submissions.c.has_ended)
            .where(submissions.c.cost_usd.is_(None), submissions.c.rechecks > 0)
            .order_by(submissions.c.id)
        )
        with self.reading() as connection:
            # `recheck_at` is no condition: SQLite would then read all that need no other look.
            found = [
                record
                for record in map(submission_from_row, connection.execute(query))
                if record.recheck_at is None
            ]
            ids = [record.id for record in found]
            known = sa.select(differences.c.submission_id).where(
                differences.c.submission_id.in_(ids)
            )
            accepted = set(connection.execute(known).scalars()) if ids else set()
        return [record for record in found if record.id not in accepted]

    def list_cost_rechecks(self, account: str, *, limit: int) -> list[SubmissionRecord]:
        """Return submissions whose cost is to be read again now."""
        query = (
            sa.select(*SUBMISSION_COLUMNS)
            .where(submissions.c.account == account, submissions.c.recheck_at <= self.clock())
            .order_by(submissions.c.recheck_at)
            .limit(limit)
        )
        with self.reading() as connection:
            return [submission_from_row(row) for row in connection.execute(query)]

    def note_recheck(
        self,
        submission_id: int,
        *,
        recheck_at: float | None,
        stated: tuple[Order, Cost] | None = None,
    ) -> None:
        """Note that a cost was read again.

        Args:
            submission_id: whose cost.
            recheck_at: when to read it next; `None` = not again.
            stated: what Wiro states now, and of which order; it says itself when to read it next.
        """
        with self.writing() as connection:
            connection.execute(
                sa.update(submissions)
                .where(submissions.c.id == submission_id)
                .values(recheck_at=recheck_at, rechecks=submissions.c.rechecks + 1)
            )
            if stated is not None:
                _record_costs(connection, [stated], now=self.clock())

    def postpone_recheck(self, submission_id: int, *, recheck_at: float) -> None:
        """Read a cost later, because it could not be read now."""
        with self.writing() as connection:
            connection.execute(
                sa.update(submissions)
                .where(submissions.c.id == submission_id)
                .values(recheck_at=recheck_at)
            )

    def note_costs(self, costs: Collection[tuple[Order, Cost]]) -> None:
        """Put on the books what Wiro states of the costs of tasks, whatever state they are in."""
        if costs:
            with self.writing() as connection:
                _record_costs(connection, costs, now=self.clock())


def _record_costs(
    connection: Connection, costs: Collection[tuple[Order, Cost]], *, now: float
) -> None:
    for order, cost in costs:
        record_cost(connection, order.account, str(order.task_id), cost, now=now)
    free_unbilled(connection, [order.id for order, cost in costs if cost.usd == 0])
