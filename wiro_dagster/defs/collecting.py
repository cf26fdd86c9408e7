"""Collector runs: videos fetched, verified and stored by Dagster's run workers.

With `collect="runs"`, the order sensor follows the tasks and requests these runs. Each claims its
orders in the ledger and materializes their partitions of `video`. They are runs of a job with an
op: a run of an asset covers one contiguous range of partitions, and videos finish in no order.
"""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
import math
from contextlib import closing

import dagster as dg

from wiro_dagster.catalogue.suggestions import counted
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.contained import deliver_videos
from wiro_dagster.defs.evidence import hear_event_log
from wiro_dagster.defs.report import Reporter

_LEDGER_TAG = "wiro/collector_of_ledger"
_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_HEARTBEATS_MISSED = 5
"""A worker that has shown no sign of life for so long is gone, whatever its run's status says."""


def collector_job_name(collection: VideoCollection) -> str:
    """Return the name of the job whose runs collect videos."""
    return collection.prefixed("collect_videos")


def build_collector_job(collection: VideoCollection) -> dg.JobDefinition:
    """Build the job whose runs collect videos, on the code location's executor.

    It never orders anything, whoever launches it.
    """

    @dg.op(
        name=collection.prefixed("fetch_videos"),
        required_resource_keys=collection.resource_keys,
        tags=dict(collection.op_tags),
        retry_policy=collection.retry_policy,
        description="Claims finished orders in the ledger, and brings their files home.",
    )
    def collect(context: dg.OpExecutionContext) -> None:
        reporter = Reporter.in_run(context, collection)
        hear_event_log(reporter)
        collect_videos(context, reporter)

    @dg.job(
        name=collector_job_name(collection),
        tags={"wiro/collection": collection.ledger_name},
        description="Fetches, verifies and stores finished videos, and materializes `video`.",
    )
    def collector_job() -> None:
        collect()

    return collector_job


def request_collector_runs(reporter: Reporter) -> list[dg.RunRequest]:
    """Request as many runs as the finished videos need, besides those that are under way.

    Args:
        reporter: of the collection.
    """
    collection, desk = reporter.collection, reporter.desk
    if collection.collect != "runs":
        return []
    waiting = desk.count_uncollected(collection.collect_batch * collection.collect_runs)
    if not waiting:
        return []
    tags = {_LEDGER_TAG: desk.ledger.identity().ledger_id}
    wanted = math.ceil(waiting / collection.collect_batch) - _count_under_way(reporter, tags)
    # A tick that is repeated after a crash requests the same runs, which Dagster starts once.
    known = dg.RunsFilter(job_name=collector_job_name(collection), tags=tags)
    newest = reporter.instance.get_run_records(known, limit=1)
    after = newest[0].dagster_run.run_id if newest else "none"
    return [
        dg.RunRequest(
            run_key=f"{collection.ledger_name} collect {number} after {after}",
            job_name=collector_job_name(collection),
            tags=tags,
        )
        for number in range(1, wanted + 1)
    ]


def collect_videos(context: dg.OpExecutionContext, reporter: Reporter) -> None:
    """Collect a batch of finished orders, and materialize `video` for each as it comes.

    The checks on the videos are the sensor's: it knows the verdicts on all earlier ones.

    Args:
        context: of the run's step.
        reporter: of the collection.
    """
    collection, desk, run_id = reporter.collection, reporter.desk, context.run.run_id
    delivered = 0
    steps = desk.collect(
        collection.collect_batch,
        run_id=run_id,
        heartbeat_seconds=collection.timing.heartbeat_seconds,
    )
    try:
        with closing(steps):
            for notices in steps:
                for notice in notices:
                    context.log.warning(notice)
                delivered += len(deliver_videos(reporter, run_id=run_id))
    finally:
        desk.ledger.release_waiter(run_id)
    context.log.info(f"Delivered {counted(delivered, 'video')}.")


def _count_under_way(reporter: Reporter, tags: dict[str, str]) -> int:
    """Return how many collector runs are queued or alive.

    A run whose machine is gone stays "started" in Dagster, unless run monitoring ends it.
    """
    job_name = collector_job_name(reporter.collection)
    unfinished = dg.RunsFilter(job_name=job_name, tags=tags, statuses=_UNFINISHED)
    records = reporter.instance.get_run_records(unfinished)
    silent_seconds = _HEARTBEATS_MISSED * reporter.collection.timing.heartbeat_seconds
    heard_after = reporter.desk.context.now() - silent_seconds
    alive = reporter.desk.list_collecting_runs() if records else set()
    return sum(
        record.dagster_run.status == dg.DagsterRunStatus.QUEUED
        or record.update_timestamp.timestamp() > heard_after
        or record.dagster_run.run_id in alive
        for record in records
    )
