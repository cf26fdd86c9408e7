"""The sensor that follows orders to the end, and how long a tick may take."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.event_log import find_order_events, find_reported_tasks
from wiro_dagster.defs.events import (
    failure_observation,
    order_materialization,
    progress_observation,
    video_materialization,
)
from wiro_dagster.defs.order_checks import (
    LISTED_ORDERS,
    account_check,
    budget_check,
    orders_check,
)
from wiro_dagster.defs.order_cursor import OrderCursor
from wiro_dagster.defs.provenance import add_tags, order_inputs, video_inputs
from wiro_dagster.defs.video_checks import evaluate_video_checks
from wiro_dagster.ledger import Order, OrderState
from wiro_dagster.orders import OrderDesk, TickReport

_DAEMON_TIMEOUT_SECONDS = 60.0
_TICK_SHARE = 2 / 3
_TICK_MAXIMUM_SECONDS = 20.0
"""All sensors of an instance share a thread by default: ours must not hold up the others."""

_REPORTS_PER_TICK = 80
_REPORT_LEASE_SECONDS = 120.0
_PROGRESS_PER_TICK = 10
"""An event costs the daemon up to 40 ms, and thousands of tasks may be under way."""

_PROGRESS_PAUSE_SECONDS = 60.0
_HELD_PAUSE_SECONDS = 300.0
"""How soon another number of held orders is worth another evaluation of `within_budget`."""

_REPORTED_STATES: tuple[OrderState, ...] = ("stored", "failed", "cancelled", "uncollected")

SensorEvent = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


def tick_seconds() -> float:
    """How long one tick may work: well under the daemon's own limit for a sensor."""
    names = ("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", "DAGSTER_GRPC_TIMEOUT_SECONDS")
    limit = next((float(os.environ[name]) for name in names if os.environ.get(name)), None)
    return min((limit or _DAEMON_TIMEOUT_SECONDS) * _TICK_SHARE, _TICK_MAXIMUM_SECONDS)


def build_video_order_sensor(collection: VideoCollection) -> dg.SensorDefinition:
    """The sensor that submits, polls, collects and reports a collection's orders."""

    @dg.sensor(
        name=collection.prefixed("video_order_sensor"),
        minimum_interval_seconds=4,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys=collection.resource_keys,
        tags={"wiro/collection": collection.ledger_name},
        description=(
            "Submits orders to Wiro as budget and limits allow, follows their tasks, fetches and "
            "verifies the files, and reports the videos. Keep it running: it is what moves orders."
        ),
    )
    def video_order_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        deadline = time.monotonic() + tick_seconds()
        desk = collection.open_desk(context.resources)
        before = OrderCursor.from_text(context.cursor)
        # The daemon writes a tick's events before its cursor: what the cursor names is written.
        desk.context.ledger.mark_lease_reported(before.lease)
        report = desk.tick(deadline)
        for notice in report.notices:
            context.log.warning(notice)
        orders = claim_reportable(desk, context.instance, collection)
        checks, after = tell_changes(desk, collection, before)
        for check in checks:
            if not check.passed:
                context.log.error(check.description)
        events = [
            *build_events(desk, context.instance, collection, orders),
            *checks,
            *build_progress(desk, collection),
        ]
        lease = next((order.lease for order in orders if order.lease), "")
        return dg.SensorResult(
            asset_events=events,
            cursor=replace(after, lease=lease).to_text(),
            skip_reason=None if events else _summary(desk, report),
        )

    return video_order_sensor


def claim_reportable(
    desk: OrderDesk, instance: dg.DagsterInstance, collection: VideoCollection
) -> list[Order]:
    """Claims orders that have ended and that Dagster's event log does not know of yet."""
    claimed = desk.context.ledger.claim(
        collection.ledger_name,
        _REPORTED_STATES,
        limit=_REPORTS_PER_TICK,
        lease_seconds=_REPORT_LEASE_SECONDS,
        unwaited=True,
    )
    # A tick that died after writing its events, or a run that died after its own, left orders
    # that are reported already. Automation would fire again on a second report.
    owned = [order for order in claimed if order.is_owned]
    reported = find_reported_tasks(instance, collection.video_key, owned)
    known = [o for o in owned if o.task_id and reported.get(o.partition) == o.task_id]
    for order in known:
        desk.context.ledger.advance(order, state="delivered", due_at=None)
    return [order for order in claimed if order not in known]


def build_events(
    desk: OrderDesk,
    instance: dg.DagsterInstance,
    collection: VideoCollection,
    orders: Iterable[Order],
) -> list[SensorEvent]:
    """What the event log is to say of orders that have ended."""
    ended = list(orders)
    owned = [order for order in ended if order.is_owned]
    _record_unrecorded(instance, collection, owned)
    inputs = video_inputs(instance, collection, owned)
    events: list[SensorEvent] = []
    for order in ended:
        if order.is_owned:
            event = video_materialization(
                order,
                collection.video_key,
                preview=desk.find_preview(order),
                link=desk.find_link(order),
            )
            events.append(add_tags(event, inputs[order.id]))
        else:
            # Of a partition that has no materialization, the UI shows no observations either.
            events.append(failure_observation(order, collection.order_key))
            events.append(failure_observation(order, collection.video_key))
    if events:
        failed = desk.context.ledger.list_failed(collection.ledger_name)
        events.append(orders_check(failed, collection.order_key))
        if owned:
            changed = [order.id for order in owned]
            events += evaluate_video_checks(collection, desk.context.ledger, changed=changed)
    return events


def tell_changes(
    desk: OrderDesk, collection: VideoCollection, before: OrderCursor
) -> tuple[list[dg.AssetCheckEvaluation], OrderCursor]:
    """The checks on account and budget, where they say another thing than when last told.

    Args:
        desk: of the collection.
        collection: whose orders.
        before: what was told.

    Returns:
        The evaluations, and what is told with them.
    """
    ledger, now = desk.context.ledger, desk.context.now()
    checks: list[dg.AssetCheckEvaluation] = []
    after = before
    trouble = desk.context.gate.find_trouble()
    kind = "" if trouble is None else trouble.kind
    if kind != before.account:  # its words may change with each try: they are no news
        checks.append(account_check(trouble, collection.order_key))
        after = replace(after, account=kind)
    count = ledger.count_held(collection.ledger_name)
    is_turn = before.held is None or (count > 0) != (before.held > 0)
    is_late = now - before.held_told_at >= _HELD_PAUSE_SECONDS
    if is_turn or (count != before.held and is_late):
        held = ledger.list_held(collection.ledger_name, limit=LISTED_ORDERS)
        checks.append(budget_check(held, count, collection.order_key))
        after = replace(after, held=count, held_told_at=now)
    return checks, after


def build_progress(desk: OrderDesk, collection: VideoCollection) -> list[dg.AssetObservation]:
    """What has moved in tasks under way: their start, and news once a minute."""
    ledger = desk.context.ledger
    moved = ledger.claim_progress(
        collection.ledger_name, limit=_PROGRESS_PER_TICK, pause_seconds=_PROGRESS_PAUSE_SECONDS
    )
    now = desk.context.now()
    return [progress_observation(order, collection.video_key, now=now) for order in moved]


def _record_unrecorded(
    instance: dg.DagsterInstance, collection: VideoCollection, orders: list[Order]
) -> None:
    """Materializes `video_order` where whoever placed the order died before it could."""
    recorded = find_order_events(instance, collection.order_key, orders)
    missing = [order for order in orders if order.id not in recorded]
    inputs = order_inputs(instance, collection, missing)
    for order in missing:
        event = order_materialization(order, collection.order_key)
        instance.report_runless_asset_event(add_tags(event, inputs[order.id]))


def _summary(desk: OrderDesk, report: TickReport) -> str:
    counts = desk.context.ledger.count_unsettled(desk.context.collection)
    if not counts:
        return "No orders are under way."
    text = ", ".join(f"{count} {state}" for state, count in counts.items())
    waiting = f" Submitting waits: {report.closed_reason}" if report.closed_reason else ""
    count = desk.context.ledger.count_held(desk.context.collection)
    held = f" The budget holds back {count} orders." if count else ""
    return f"Orders: {text}.{waiting}{held}"
