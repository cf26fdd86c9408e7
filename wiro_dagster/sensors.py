"""The two sensors: one brings prompts in, the other follows their orders to the end."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable

import dagster as dg

from wiro_dagster.collection import VideoCollection
from wiro_dagster.errors import InputError
from wiro_dagster.events import (
    failure_observation,
    find_order_events,
    find_reported_tasks,
    orders_check,
    prompts_check,
    unreadable_check,
    video_materialization,
)
from wiro_dagster.ledger import Order, OrderState
from wiro_dagster.orders import OrderDesk, TickReport
from wiro_dagster.video_checks import evaluate_video_checks

_DAEMON_TIMEOUT_SECONDS = 60.0
_TICK_SHARE = 2 / 3
_TICK_MAXIMUM_SECONDS = 20.0
"""All sensors of an instance share a thread by default: ours must not hold up the others."""

_REPORTS_PER_TICK = 80
_REPORT_LEASE_SECONDS = 120.0
_REPORTED_STATES: tuple[OrderState, ...] = ("stored", "failed", "cancelled", "uncollected")
_ADD_AT_ONCE = 10_000
_LOOK_AGAIN_SECONDS = 3600.0

SensorEvent = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


def tick_seconds() -> float:
    """How long one tick may work: well under the daemon's own limit for a sensor."""
    names = ("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", "DAGSTER_GRPC_TIMEOUT_SECONDS")
    limit = next((float(os.environ[name]) for name in names if os.environ.get(name)), None)
    return min((limit or _DAEMON_TIMEOUT_SECONDS) * _TICK_SHARE, _TICK_MAXIMUM_SECONDS)


def build_prompt_file_sensor(collection: VideoCollection) -> dg.SensorDefinition:
    """The sensor that turns new prompts of the prompt file into partitions."""

    @dg.sensor(
        name=collection.prefixed("prompt_file_sensor"),
        minimum_interval_seconds=4,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys=collection.resource_keys,
        description=f"Adds a partition for every new prompt in {collection.prompt_file.name}.",
    )
    def prompt_file_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        digest = _digest(collection)
        if digest == context.cursor:
            return dg.SkipReason(f"{collection.prompt_file.name} has not changed.")
        try:
            prompts = collection.load_prompts(context.resources)
            changes = collection.list_model_changes(context.resources)
        except InputError as error:
            context.log.error(str(error))  # noqa: TRY400, the stack says nothing to a user
            check = unreadable_check(error, collection.order_key)
            return dg.SensorResult(skip_reason=str(error), asset_events=[check], cursor=digest)
        for problem in prompts.problems:
            context.log.error(str(problem))
        for change in changes:
            context.log.warning(str(change))
        known = set(
            collection.partitions.get_partition_keys(dynamic_partitions_store=context.instance)
        )
        new = [prompt_id for prompt_id in prompts.prompts if prompt_id not in known]
        gone = len(known - prompts.prompts.keys())
        context.log.info(
            f"{len(prompts.prompts)} prompts, {len(new)} of them new; "
            f"{len(prompts.problems)} problems; {gone} partitions have no prompt any more."
        )
        return dg.SensorResult(
            dynamic_partitions_requests=[
                collection.partitions.build_add_request(new[start : start + _ADD_AT_ONCE])
                for start in range(0, len(new), _ADD_AT_ONCE)
            ],
            asset_events=[prompts_check(prompts, collection.order_key, changes)],
            cursor=digest,
        )

    return prompt_file_sensor


def _digest(collection: VideoCollection) -> str:
    try:
        content = collection.prompt_file.read_bytes()
    except OSError as error:
        return f"unreadable: {type(error).__name__}"
    # Models change too, without the file: it is looked at again every hour.
    return f"{hashlib.sha256(content).hexdigest()} {int(time.time() // _LOOK_AGAIN_SECONDS)}"


def build_video_order_sensor(collection: VideoCollection) -> dg.SensorDefinition:
    """The sensor that submits, polls, collects and reports a collection's orders."""

    @dg.sensor(
        name=collection.prefixed("video_order_sensor"),
        minimum_interval_seconds=4,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys=collection.resource_keys,
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
    order_events = find_order_events(instance, collection.order_key, ended)
    events: list[SensorEvent] = []
    for order in ended:
        if order.is_owned:
            events.append(
                video_materialization(
                    order,
                    collection.video_key,
                    order_key=collection.order_key,
                    order_event=order_events.get(order.id),
                    preview=desk.find_preview(order),
                )
            )
        else:
            events.append(failure_observation(order, collection.video_key))
    if events:
        failed = desk.context.ledger.list_failed(collection.ledger_name)
        events.append(orders_check(failed, collection.order_key))
        owned = [order.id for order in ended if order.is_owned]
        if owned:
            events += evaluate_video_checks(collection, desk.context.ledger, changed=owned)
    return events


def _summary(desk: OrderDesk, report: TickReport) -> str:
    counts = desk.context.ledger.count_unsettled(desk.context.collection)
    if not counts:
        return "No orders are under way."
    text = ", ".join(f"{count} {state}" for state, count in counts.items())
    waiting = f" Submitting waits: {report.closed_reason}" if report.closed_reason else ""
    held = f" The budget holds back {report.held} orders." if report.held else ""
    return f"Orders: {text}.{waiting}{held}"
