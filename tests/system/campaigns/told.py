"""What the user is told of tasks that were paid for and brought nothing, or at another cost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tests.system.campaigns.own_tasks import Task
from tests.system.campaigns.workshop import COLLECTION
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.orders.standing import LIMIT_SECONDS


def list_told(ledger: Ledger, tasks: Sequence[Task]) -> set[str]:
    """Return the tasks without a video that a check or a failed run names to the user."""
    now = ledger.clock()
    standing = ledger.list_standing(
        [COLLECTION], {state: now - age for state, age in LIMIT_SECONDS.items()}, limit=100_000
    )
    told = {str(order.task_id) for order in [*ledger.list_failed(COLLECTION), *standing]}
    # It failed free, was ordered again, and then Wiro charged for it after all.
    superseded = {order.task_id for order in ledger.list_orders() if order.superseded_by}
    for account in _list_accounts(ledger):
        told |= {stray.task_id for stray in ledger.list_strays(account)}
        changed = {change.task_id for change in ledger.list_differences(account)}
        told |= changed & superseded
    return told | _list_lost(ledger, tasks)


def list_costs_told(ledger: Ledger, tasks: Sequence[Task]) -> set[str]:
    """Return the tasks of which the user is told that the books do not have their cost.

    A cost that is still to be read again counts: its ceiling is committed until then.
    """
    told = {str(order.task_id) for order in ledger.list_orders() if _is_dearer(order)}
    told |= {str(record.task_id) for record in ledger.list_submissions() if record.recheck_at}
    for account in _list_accounts(ledger):
        told |= {stray.task_id for stray in ledger.list_strays(account)}
        told |= {str(record.task_id) for record in ledger.list_unstated(account)}
        told |= {change.task_id for change in ledger.list_differences(account)}
    return told | _list_lost(ledger, tasks)


def charged_beyond_quotes(tasks: Sequence[Task], quote_usd: Decimal) -> Decimal:
    """Return what Wiro charged that no quote stated, twins of a gateway included."""
    charged = (
        Decimal(task["cost_usd"]) - (Decimal(0) if task["origin"] == "twin" else quote_usd)
        for task in tasks
    )
    return sum((amount for amount in charged if amount > 0), Decimal(0))


def _list_accounts(ledger: Ledger) -> set[str]:
    return {order.account for order in ledger.list_orders()}


def _is_dearer(order: Order) -> bool:
    return (order.cost_usd or Decimal(0)) > (order.quote_usd or Decimal(0))


def _list_lost(ledger: Ledger, tasks: Sequence[Task]) -> set[str]:
    """Return the tasks of POSTs that are on the books as lost, at their ceiling."""
    lost = {record.marker for record in ledger.list_submissions() if record.outcome == "open"}
    return {
        task["id"] for task in tasks if any(marker in str(task["callbackurl"]) for marker in lost)
    }
