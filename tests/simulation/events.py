"""What must hold of Dagster's event log: each owned video once, at its cost, enough to rebuild."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import sqlalchemy as sa

from tests.simulation.reports import Reports
from tests.simulation.shop import Shop
from tests.system.campaigns.workshop import ACCOUNT, COLLECTION
from wiro_dagster.ledger import Order
from wiro_dagster.ledger.schema import orders, submissions

_BACKUP_SHARE = 0.5
_LOOK_SECONDS = 300.0
_AUDITED_SECONDS = 7200.0
"""An audit comes ten minutes after a process has started, and a backup has tasks to follow."""

_AUDIT_REACHES_SECONDS = 86_400.0


def find_wrong_events(shop: Shop, reports: Reports) -> list[str]:
    """Return owned videos that Dagster does not show exactly once, and at their cost.

    A cost that Wiro stated or changed after the event is in the books only.
    """
    owned, shown = _list_owned(shop), reports.list_shown()
    changed = {change.task_id for change in shop.ledger.list_differences(ACCOUNT)}
    changed |= _list_stated_late(shop)
    found = [f"{partition} is shown and not owned" for partition in shown.keys() - owned.keys()]
    for partition, order in owned.items():
        events = shown.get(partition, [])
        tasks = [event["wiro/task_id"] for event in events]
        if tasks.count(str(order.task_id)) != 1:
            found.append(f"{order.name}: task {order.task_id} is owned, {tasks} are shown")
        elif order.cost_usd != _cost(events[0]) and order.task_id not in changed:
            found.append(f"{order.name} cost {order.cost_usd} USD, shown is {_cost(events[0])}")
    return found


def find_unrestored(shop: Shop, reports: Reports) -> list[str]:
    """Lose the ledger and the store's notes. Return owned videos that would be bought again.

    The sensor fills a new ledger from the event log alone, though everything is ordered anew before
    its first tick. Nothing is then shown a second time, and costs
    that have changed since they were shown are put right by the next audit. What a user had given
    up may be bought: a backup that is older than their decision still has the order.
    """
    owned, shown, bought = _list_owned(shop), reports.count_shown(), _count_bought(shop)
    shop.lose_ledger(has_backup=shop.chance.random() < _BACKUP_SHARE)
    shop.place(list(owned))
    until = shop.service.clock.now() + _AUDITED_SECONDS
    audited_since = until - _AUDIT_REACHES_SECONDS
    while shop.service.clock.now() < until or shop.ledger.list_orders(states=["stored"]):
        shop.tick()
        shop.service.clock.advance(_LOOK_SECONDS)
    behind = shop.ledger.identity().behind
    restored = _list_owned(shop)
    found = []
    for partition, order in owned.items():
        known = restored.get(partition)
        if known is None or known.task_id != order.task_id:
            found.append(f"{order.name} is not restored: {behind}")
        elif known.cost_usd != order.cost_usd and (order.claimed_at or 0) > audited_since:
            found.append(f"{order.name} cost {order.cost_usd}, restored is {known.cost_usd}")
    again = _count_bought(shop) - bought
    found += [f"{order.name} was bought again" for order in owned.values() if order.prompt in again]
    return found + [
        f"{partition} is shown again, as task {task_id}"
        for partition, task_id in reports.count_shown() - shown
        if partition in owned
    ]


def _count_bought(shop: Shop) -> Counter[str]:
    """Return how many tasks there are of each prompt."""
    return Counter(str(task.parameters["prompt"]) for task in shop.service.tasks.everything())


def _list_owned(shop: Shop) -> dict[str, Order]:
    """Return the owned orders that represent their partitions, by partition."""
    ids = shop.ledger.list_owned_ids(COLLECTION)
    return {order.partition: order for order in shop.ledger.list_orders(ids=ids)}


def _list_stated_late(shop: Shop) -> set[str]:
    """Return the tasks whose cost Wiro stated after it had shown their end."""
    query = (
        sa.select(orders.c.task_id)
        .join(submissions, submissions.c.task_id == orders.c.task_id)
        .where(submissions.c.cost_stated_at > orders.c.ended_at)
    )
    with shop.ledger.reading() as connection:
        return set(connection.execute(query).scalars())


def _cost(event: dict[str, object]) -> Decimal | None:
    stated = event.get("wiro/cost_usd")
    return None if stated is None else Decimal(str(stated))
