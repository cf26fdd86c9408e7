"""Tasks that no order asked for: reported until they are explained or accepted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.schema import strays


@dataclass(frozen=True)
class Stray:
    """A task of the account that no submission explains, or a second one of a submission.

    Args:
        task_id: Wiro's id.
        model_slug: `owner/project`.
        cost_usd: as Wiro states it.
        created_at: unix seconds, by Wiro's clock.
    """

    task_id: str
    model_slug: str | None
    cost_usd: Decimal | None
    created_at: float | None


class Strays(Database):
    """Notes tasks that no order asked for."""

    def note_strays(self, account: str, found: Iterable[Stray]) -> int:
        """Note unexplained tasks. Return how many were not known yet."""
        now = self.clock()
        with self.writing() as connection:
            return sum(insert_stray(connection, account, stray, now) for stray in found)

    def accept_strays(self, account: str, task_ids: Collection[str], reason: str) -> int:
        """Note that the user knows these tasks. Return how many there were."""
        with self.writing() as connection:
            result = connection.execute(
                sa.update(strays)
                .where(strays.c.account == account, strays.c.task_id.in_(task_ids))
                .values(accepted=reason)
            )
        return result.rowcount

    def list_strays(self, account: str, *, accepted: bool = False) -> list[Stray]:
        """Return the unexplained tasks of an account, or those that the user accepted."""
        query = (
            sa.select(strays.c.task_id, strays.c.model_slug, strays.c.cost_usd, strays.c.created_at)
            .where(strays.c.account == account)
            .where(strays.c.accepted.is_not(None) if accepted else strays.c.accepted.is_(None))
            .order_by(strays.c.seen_at, strays.c.task_id)
        )
        with self.reading() as connection:
            return [Stray(*row) for row in connection.execute(query)]


def insert_stray(connection: Connection, account: str, stray: Stray, now: float) -> bool:
    """Note a task that no order asked for. Return whether it was not known yet."""
    which = (strays.c.account == account) & (strays.c.task_id == stray.task_id)
    changed = connection.execute(sa.update(strays).where(which).values(cost_usd=stray.cost_usd))
    if changed.rowcount:
        return False
    connection.execute(
        sa.insert(strays).values(
            account=account,
            task_id=stray.task_id,
            model_slug=stray.model_slug,
            cost_usd=stray.cost_usd,
            created_at=stray.created_at,
            seen_at=now,
        )
    )
    return True


def remove_stray(connection: Connection, account: str, task_id: str) -> None:
    """Forget a stray: an order explains the task now."""
    connection.execute(_REMOVE, {"account": account, "task": task_id})


_REMOVE = sa.delete(strays).where(
    strays.c.account == sa.bindparam("account"), strays.c.task_id == sa.bindparam("task")
)
