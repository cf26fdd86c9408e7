"""The audit: every task of the account compared with the books."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wiro_dagster.api.types import Task
from wiro_dagster.ledger import Stray, SubmissionRecord
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.strays import adopt_marked, find_origin
from wiro_dagster.orders.task_list import list_tasks_since


@dataclass(frozen=True)
class CostDifference:
    """A cost that differs between the books and Wiro, in USD."""

    order_id: int
    task_id: str
    ours_usd: Decimal | None
    wiro_usd: Decimal | None


@dataclass(frozen=True)
class Audit:
    """What the audit found.

    Args:
        unexplained: tasks that no order explains.
        differences: costs that differ.
        tasks: how many tasks Wiro lists.
        orders: how many of them an order explains.
        doubts: why Wiro's list may be incomplete.
    """

    unexplained: tuple[Task, ...]
    differences: tuple[CostDifference, ...]
    tasks: int
    orders: int
    doubts: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether every task is explained and every cost is equal."""
        return not self.unexplained and not self.differences

    def list_strays(self) -> list[Stray]:
        """Return the unexplained tasks as the ledger notes them."""
        return [
            Stray(task.id, task.model_slug, task.cost_usd, task.created_at)
            for task in self.unexplained
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the audit as plain values; money as text."""
        return {
            "unexplained": [
                {
                    "task_id": task.id,
                    "model": task.model_slug,
                    "cost_usd": _text(task.cost_usd),
                    "created_at": task.created_at,
                }
                for task in self.unexplained
            ],
            "differences": [
                {
                    "order_id": difference.order_id,
                    "task_id": difference.task_id,
                    "ours_usd": _text(difference.ours_usd),
                    "wiro_usd": _text(difference.wiro_usd),
                }
                for difference in self.differences
            ],
            "tasks": self.tasks,
            "orders": self.orders,
        }


def audit(context: OrderContext, *, since: float = 0.0) -> Audit:
    """Compare Wiro's whole list of tasks with the ledger's books.

    Tasks that carry a marker of this ledger are adopted on the way. Tasks of other users count as
    explained if they carry a callback of theirs, or if the user accepted them.

    Args:
        context: of the account.
        since: leave out tasks created before this time, by Wiro's clock.

    Raises:
        ApiError: the list cannot be read now.
    """
    listing = list_tasks_since(context, since)
    tasks = [task for task in listing.tasks if (task.created_at or since) >= since]
    records = _find_records(context, tasks)
    accepted = {
        stray.task_id for stray in context.ledger.list_strays(context.account, accepted=True)
    }
    unexplained = []
    for task in tasks:
        if task.id in records or task.id in accepted:
            continue
        origin = find_origin(context, task, closer=True)
        if origin.is_ours and origin.marker is not None:
            adopt_marked(context, task, origin.marker)
        elif not origin.is_foreign:
            unexplained.append(task)
    records = _find_records(context, tasks)
    return Audit(
        unexplained=tuple(task for task in unexplained if task.id not in records),
        differences=tuple(_list_differences(tasks, records)),
        tasks=len(tasks),
        orders=len(records),
        doubts=listing.doubts,
    )


def _find_records(context: OrderContext, tasks: list[Task]) -> dict[str, SubmissionRecord]:
    found: dict[str, SubmissionRecord] = {}
    for start in range(0, len(tasks), 500):
        ids = [task.id for task in tasks[start : start + 500]]
        for record in context.ledger.find_submissions(context.account, task_ids=ids):
            found[str(record.task_id)] = record
    return found


def _list_differences(
    tasks: list[Task], records: dict[str, SubmissionRecord]
) -> list[CostDifference]:
    differences = []
    for task in tasks:
        record = records.get(task.id)
        if record is None or not task.is_ended or not record.has_ended:
            continue  # under way: its cost is not final on either side
        if (record.cost_usd or Decimal(0)) != (task.cost_usd or Decimal(0)):
            differences.append(
                CostDifference(record.order_id, task.id, record.cost_usd, task.cost_usd)
            )
    return differences


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
