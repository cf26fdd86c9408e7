"""Orders that have ended: claimed for their report, those of a collection without a sensor too."""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg

from wiro_dagster.defs.event_log import find_reported_tasks
from wiro_dagster.defs.metadata import failure_metadata, version_tags, video_metadata
from wiro_dagster.defs.report import AssetEvent, Reporter
from wiro_dagster.ledger import Order, OrderState
from wiro_dagster.orders.describe import describe_state

_REPORTS_PER_TICK = 80
_REPORT_LEASE_SECONDS = 120.0
_REPORTED_STATES: tuple[OrderState, ...] = ("stored", "failed", "cancelled", "uncollected")


def claim_ended(
    reporter: Reporter,
    collection: str,
    video_key: dg.AssetKey,
    states: Collection[OrderState] = _REPORTED_STATES,
    *,
    limit: int = _REPORTS_PER_TICK,
    run_id: str | None = None,
) -> list[Order]:
    """Claim orders that have ended and that the event log does not have yet.

    Args:
        reporter: of any collection of the project.
        collection: whose orders.
        video_key: of the collection's videos.
        states: how they ended.
        limit: how many at most.
        run_id: a run that may claim what it waits for itself.
    """
    ledger = reporter.desk.ledger
    claimed = ledger.claim(
        collection,
        states,
        limit=limit,
        lease_seconds=_REPORT_LEASE_SECONDS,
        unwaited=True,
        run_id=run_id,
    )
    # A tick or a run that died after writing its events left orders that are already reported.
    # A second report would trigger downstream automation again.
    owned = [order for order in claimed if order.is_owned]
    reported = find_reported_tasks(reporter.instance, video_key, owned)
    known = [o for o in owned if o.task_id and reported.get(o.partition) == o.task_id]
    for order in known:
        ledger.apply(order, "deliver", due_at=None)
    # One take represents each partition; the next tick closes the others.
    alone = ledger.find_alone(collection, claimed) if claimed else set()
    return [
        order
        for order in claimed
        if order not in known and (order.id in alone or ledger.elect(order).id == order.id)
    ]


def report_orphans(reporter: Reporter) -> list[str]:
    """Report orders of collections without a sensor, such as one that was renamed.

    They are shown under the name by which they were ordered: its asset is still in Dagster's
    catalogue, though no code defines it. Return notices.
    """
    notices = []
    for collection in reporter.desk.orphans:
        key = dg.AssetKey.from_user_string(collection)
        orders = claim_ended(reporter, collection, key)
        for order in orders:
            reporter.write(_build_event(order, key))
            notices.append(
                f"{order.name}, of a collection without a sensor: {describe_state(order)}"
            )
        reporter.desk.ledger.mark_reported([order.id for order in orders])
        reporter.desk.ledger.set_aside_superseded(collection)
    return notices


def _build_event(order: Order, key: dg.AssetKey) -> AssetEvent:
    if order.is_owned:
        return dg.AssetMaterialization(
            asset_key=key,
            partition=order.partition,
            metadata=video_metadata(order),
            tags=version_tags(order.fingerprint),
        )
    return dg.AssetObservation(
        asset_key=key,
        partition=order.partition,
        description=describe_state(order),
        metadata=failure_metadata(order),
    )
