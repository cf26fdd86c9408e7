"""The sensor that follows orders to the end, and how long a tick may take."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable

import dagster as dg

from wiro_dagster.collection import VideoCollection
from wiro_dagster.events import (
    failure_observation,
    find_order_events,
    find_reported_tasks,
    order_materialization,
    orders_check,
    video_materialization,
)
from wiro_dagster.ledger import Order, OrderState
from wiro_dagster.orders import OrderDesk, TickReport
from wiro_dagster.provenance import add_tags, order_inputs, video_inputs
from wiro_dagster.video_checks import evaluate_video_checks

_DAEMON_TIMEOUT_SECONDS = 60.0
_TICK_SHARE = 2 / 3
_TICK_MAXIMUM_SECONDS = 20.0
"""All sensors of an instance share a thread by default: ours must not hold up the others."""

_REPORTS_PER_TICK = 80
_REPORT_LEASE_SECONDS = 120.0
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
        # The daemon writes a tick's events before its cursor: what the cursor names is written.
        desk.context.ledger.mark_reported(_read_cursor(context.cursor))
        report = desk.tick(deadline)
        for notice in report.notices:
            context.log.warning(notice)
        orders = claim_reportable(desk, context.instance, collection)
        events = build_events(desk, context.instance, collection, orders)
        return dg.SensorResult(
            asset_events=events,
            cursor=json.dumps({"reported": [order.id for order in orders]}),
            skip_reason=None if events else _summary(desk, report),
        )

    return video_order_sensor


def _read_cursor(cursor: str | None) -> list[int]:
    return [int(order_id) for order_id in json.loads(cursor or "{}").get("reported", [])]


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
    known = {o.id for o in owned if o.task_id and reported.get(o.partition) == o.task_id}
    desk.context.ledger.mark_reported(known)
    return [order for order in claimed if order.id not in known]


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
                order, collection.video_key, preview=desk.find_preview(order)
            )
            events.append(add_tags(event, inputs[order.id]))
        else:
            events.append(failure_observation(order, collection.video_key))
    if events:
        failed = desk.context.ledger.list_failed(collection.ledger_name)
        events.append(orders_check(failed, collection.order_key))
        if owned:
            changed = [order.id for order in owned]
            events += evaluate_video_checks(collection, desk.context.ledger, changed=changed)
    return events


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
    held = f" The budget holds back {report.held} orders." if report.held else ""
    return f"Orders: {text}.{waiting}{held}"
