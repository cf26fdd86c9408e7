"""What must hold at the end of a simulation: nothing twice, nothing lost, equal books."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from tests.simulation.shop import Shop
from tests.system.campaigns.own_tasks import HIDING
from wiro_dagster.emulator.task import Task
from wiro_dagster.ledger.identity import find_marker
from wiro_dagster.ledger.transitions import SETTLED


def find_duplicates(shop: Shop, resent: set[str]) -> list[str]:
    """Return wishes that were paid for twice, though no user asked for that.

    Args:
        shop: at rest.
        resent: partitions whose orders a user sent again.
    """
    paid = Counter(
        str(task.parameters["prompt"])
        for task in shop.service.tasks.everything()
        if task.origin == "run" and task.cost_usd > 0
    )
    return [prompt for prompt, count in paid.items() if count > 1 and prompt not in resent]


def find_lost(shop: Shop) -> list[str]:
    """Return orders that are not settled, and videos that are owned and not in the store.

    Only an order of an endless task may go on, if `orders_moving` has it.
    """
    lost = []
    reported = {order.id for order in shop.desk.list_standing()}
    for order in shop.ledger.list_orders():
        if order.id in reported and shop.is_endless(order.task_id):
            continue
        if order.state not in SETTLED or order.due_at is not None:
            lost.append(f"{order.name} is still {order.state}: {order.error or order.hold}")
        elif order.state == "delivered":
            sizes = [(shop.folder / "videos" / str(file["key"])).stat() for file in order.files]
            if not sizes:
                lost.append(f"{order.name} is delivered without a file")
    return lost


def find_differences(shop: Shop) -> list[str]:
    """Return tasks whose cost differs from the books, and of which the user is not told."""
    ledger = shop.ledger
    account = shop.desk.context.account
    records = {str(record.task_id): record for record in ledger.list_submissions(with_task=True)}
    strays = {stray.task_id for stray in ledger.list_strays(account)}
    unstated = {str(record.task_id) for record in ledger.list_unstated(account)}
    found = []
    for task in shop.service.tasks.everything():
        task_id = str(task.number)
        if task.origin == "foreign":
            if task_id in records:
                found.append(f"task {task_id} is somebody else's and on the books")
            continue
        record = records.get(task_id)
        if record is None:
            # A twin that the list hides for ever is known to nobody: no answer names it.
            is_unknown = task.origin == "twin" and HIDING.intersection(task.script.worlds)
            if task_id not in strays and not is_unknown:
                found.append(f"task {task_id} ({task.cost_usd} USD) is neither booked nor told")
        elif (record.cost_usd or Decimal(0)) != task.cost_usd and task_id not in unstated:
            found.append(
                f"task {task_id} cost {task.cost_usd} USD; the books say {record.cost_usd} "
                f"({', '.join(task.script.worlds)})"
            )
    return found


def find_own_task(shop: Shop, marker: str | None) -> Task | None:
    """Return the task that a POST made, as nobody but the emulator knows it."""
    for task in shop.service.tasks.everything():
        found = find_marker(task.callback_url)
        if found is not None and found.text == marker and task.origin == "run":
            return task
    return None
