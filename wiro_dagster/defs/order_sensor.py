"""The sensor that moves orders to their end, and how long a tick may take."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import dagster as dg

from wiro_dagster.catalogue.suggestions import counted
from wiro_dagster.defs.between_ticks import report_between_ticks
from wiro_dagster.defs.collecting import build_collector_job, request_collector_runs
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.contained import build_failures, deliver_videos
from wiro_dagster.defs.desks import load_prompts
from wiro_dagster.defs.ended import claim_ended, report_orphans
from wiro_dagster.defs.evidence import find_events, hear_event_log
from wiro_dagster.defs.failures import build_failure_job, request_failure_runs
from wiro_dagster.defs.order_checks import orders_check
from wiro_dagster.defs.order_cursor import OrderCursor
from wiro_dagster.defs.report import AssetEvent, Reporter
from wiro_dagster.defs.rest import find_rest, note_rest
from wiro_dagster.defs.tick_checks import add_shown_elsewhere, find_news, judge_videos
from wiro_dagster.defs.tick_resources import TickResources
from wiro_dagster.errors import InputError
from wiro_dagster.ledger import WITHOUT_VIDEO, Order
from wiro_dagster.ledger.records import MOST_COUNTED
from wiro_dagster.orders import OrderDesk, TickReport

_DAEMON_TIMEOUT_SECONDS = 60.0
_TICK_SHARE = 2 / 3
_TICK_MAXIMUM_SECONDS = 20.0
"""All sensors of an instance share a thread by default, so a tick must be short."""

_BUYING_PAUSES = 1.5
"""How late the next tick may be before nothing more is sent: the sensor may have been stopped."""

_DAEMON_SECONDS = 5.0
"""How often Dagster's daemon looks whether a tick is due."""

_PROGRESS_PER_TICK = 5
"""An event costs the daemon up to 40 ms, and thousands of tasks may be under way."""

_PROGRESS_PAUSE_SECONDS = 60.0


def tick_seconds() -> float:
    """Return how long one tick may work: well under the daemon's limit for a sensor."""
    names = ("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", "DAGSTER_GRPC_TIMEOUT_SECONDS")
    limit = next((float(os.environ[name]) for name in names if os.environ.get(name)), None)
    return min((limit or _DAEMON_TIMEOUT_SECONDS) * _TICK_SHARE, _TICK_MAXIMUM_SECONDS)


def build_video_order_sensor(
    collection: VideoCollection, resources: Mapping[str, Any] | None = None
) -> dg.SensorDefinition:
    """Build the sensor that submits, polls, collects and reports a collection's orders.

    Args:
        collection: whose orders.
        resources: of the collection, by key; `None` leaves them to Dagster.
    """
    opener = TickResources(collection, resources)

    @dg.sensor(
        name=collection.prefixed("video_order_sensor"),
        jobs=_build_jobs(collection),
        minimum_interval_seconds=collection.minimum_interval_seconds,
        default_status=collection.default_status,
        required_resource_keys=opener.declared,
        tags={"wiro/collection": collection.ledger_name},
        description=(
            "Submits orders to Wiro as budget and limits allow, follows their tasks, fetches and "
            "verifies the files, and reports the videos. Keep it running: only it moves orders."
        ),
    )
    def video_order_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        deadline = collection.timing.monotonic() + tick_seconds()
        before = OrderCursor.from_text(context.cursor)
        # Opening the resources costs more than the whole tick of a collection at rest.
        rest = find_rest(collection, before) if opener.are_fixed else None
        if rest is None:
            with opener.open(context) as opened:
                reporter = Reporter.in_sensor(context, collection, opened)
                rest = find_rest(collection, before, reporter.desk)
                if rest is None:
                    return _move_orders(context, reporter, opened, before, deadline)
        stay_awake(collection, rest.desk)
        return dg.SkipReason(rest.summary)

    return video_order_sensor


def _move_orders(
    context: dg.SensorEvaluationContext,
    reporter: Reporter,
    resources: Any,
    before: OrderCursor,
    deadline: float,
) -> dg.SensorResult:
    """Move the orders on, report what became of them, and return the tick's result."""
    collection, desk = reporter.collection, reporter.desk
    desk.hold()  # writes now and then, which is no news
    stamp = desk.ledger.find_stamp()
    # The daemon writes a tick's events before its cursor, so what the cursor names is written.
    desk.ledger.mark_lease_reported(before.lease)
    hear_event_log(reporter)
    show_missing(reporter)
    delivered: list[int] = []

    def deliver() -> int:
        some = deliver_videos(reporter, deadline=deadline)
        delivered.extend(some)
        return len(some)

    report_between_ticks(reporter)
    stay_awake(collection, desk)
    report = desk.tick(
        deadline,
        deliver=deliver,
        collects=collection.collect == "sensor",
        stay_seconds=collection.timing.stay_seconds,
    )
    report.notices += rebuild_if_behind(reporter, resources) + report_orphans(reporter)
    for notice in report.notices:
        context.log.warning(notice)
    ended = claim_ended(reporter, collection.ledger_name, collection.video_key, WITHOUT_VIDEO)
    delivered, after = add_shown_elsewhere(reporter, before, delivered)
    done = _describe_tick(report, len(delivered), len(ended))
    if done:
        context.log.info(done)
    checks, after = find_news(desk, collection, after, has_bought=report.submitted > 0)
    for check in checks:
        if not check.passed:
            context.log.error(check.description)
    judged, after = judge_videos(reporter, after, delivered)
    events = [
        *build_events(reporter, ended, has_delivered=bool(delivered)),
        *judged,
        *checks,
        *build_progress(reporter),
        *reporter.build_takes(report.takes),
    ]
    lease = next((order.lease for order in ended if order.lease), "")
    runs = [*request_failure_runs(reporter, ended), *request_collector_runs(reporter)]
    after, summary = replace(after, lease=lease), _summary(desk, report)
    if not (done or events or runs or report.notices):
        note_rest(collection, desk, after, summary, stamp=stamp)
    return dg.SensorResult(
        asset_events=events,
        run_requests=runs,
        cursor=after.to_text(),
        # Dagster shows it as the tick's text, whatever the tick did; not beside runs, though.
        skip_reason=None if runs else f"{done} {summary}".lstrip(),
    )


def stay_awake(collection: VideoCollection, desk: OrderDesk) -> None:
    """Let the process go on between two ticks, as long as ticks come."""
    pause = collection.minimum_interval_seconds + _DAEMON_SECONDS
    seconds, buying_seconds = collection.timing.awake_seconds, _BUYING_PAUSES * pause
    desk.stay_awake(
        max(seconds, buying_seconds) if seconds else 0.0,
        collects=collection.collect == "sensor",
        buying_seconds=buying_seconds,
    )


def build_events(
    reporter: Reporter, failed: Collection[Order], *, has_delivered: bool
) -> list[AssetEvent]:
    """Build the events of orders that ended without a video, and `orders_succeeded`.

    Args:
        reporter: of the tick.
        failed: orders that ended without a video.
        has_delivered: whether videos were reported in this tick.
    """
    if not failed and not has_delivered:
        return []
    collection, ledger = reporter.collection, reporter.desk.ledger
    events: list[AssetEvent] = [*build_failures(reporter, failed)]
    events.append(orders_check(ledger.list_failed(collection.ledger_name), collection.order_key))
    return events


def rebuild_if_behind(reporter: Reporter, resources: Any) -> list[str]:
    """Fill a ledger that is behind its witnesses from the evidence. Return notices."""
    problem = reporter.desk.find_problem()
    if problem is None or problem.kind != "ledger":
        return []
    try:
        prompts = load_prompts(reporter.collection, resources, reporter.instance)
    except InputError as error:
        return [f"The ledger cannot be rebuilt without its prompts: {error}"]
    notice = reporter.desk.rebuild(prompts.prompts, partial(find_events, reporter))
    return [] if notice is None else [notice]


def show_missing(reporter: Reporter) -> None:
    """Show owned videos again that the event log does not have, once for each process.

    That happens if DAGSTER_HOME is new, or its database was restored from a backup. It is free.
    """
    collection, ledger = reporter.collection, reporter.desk.ledger

    def find_missing() -> bool:
        delivered = ledger.list_delivered(collection.ledger_name)
        shown = reporter.instance.get_materialized_partitions(collection.video_key)
        ledger.show_again([order_id for key, order_id in delivered.items() if key not in shown])
        return True

    collection.cache.get(("shown", collection.ledger_name, ledger.engine.url), find_missing)


def build_progress(reporter: Reporter) -> list[dg.AssetObservation]:
    """Build observations of running tasks: their start, and changes once a minute."""
    moved = reporter.desk.ledger.claim_progress(
        reporter.collection.ledger_name,
        limit=_PROGRESS_PER_TICK,
        pause_seconds=_PROGRESS_PAUSE_SECONDS,
    )
    return [reporter.build_progress(order) for order in moved]


def _build_jobs(
    collection: VideoCollection,
) -> list[dg.JobDefinition | dg.UnresolvedAssetJobDefinition]:
    jobs: list[dg.JobDefinition | dg.UnresolvedAssetJobDefinition] = [build_failure_job(collection)]
    if collection.collect == "runs":
        jobs.append(build_collector_job(collection))
    return jobs


def _describe_tick(report: TickReport, delivered: int, failed: int) -> str:
    """Return what a tick did, or nothing if it did nothing."""
    counts = {
        "submitted": report.submitted,
        "read": report.polled,
        "downloaded": report.collected,
        "delivered": delivered,
        "ended without a video": failed,
        "held back by the budget": report.held,
    }
    done = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"This tick: {done}." if done else ""


def _summary(desk: OrderDesk, report: TickReport) -> str:
    counts = desk.ledger.count_unsettled(desk.context.collection)
    proposal = desk.ledger.add_up_proposed(desk.context.collection)
    proposed = f" For approval: {proposal.describe()}." if proposal.count else ""
    if not counts:
        return f"No orders are under way.{proposed}"
    text = ", ".join(f"{count} {state}" for state, count in counts.items())
    if sum(counts.values()) >= MOST_COUNTED:
        text = f"{MOST_COUNTED} or more under way"
    waiting = f" Nothing is submitted: {report.closed_reason}" if report.closed_reason else ""
    count = desk.ledger.count_held(desk.context.collection)
    held = f" The budget holds back {counted(count, 'order')}." if count else ""
    return f"Orders: {text}.{waiting}{held}{proposed}"
