"""Runs that turn the partitions of failed orders red.

Dagster has no "failed" without a run. Partition status, run-failure sensors and alerts all follow
runs, so the order sensor requests a short run of `video` that fails at once with Wiro's reason. A
tag tells the asset that this run must neither order nor wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from wiro_dagster.catalogue.suggestions import counted
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.report import Reporter
from wiro_dagster.ledger import Order, OrderState
from wiro_dagster.orders.describe import describe_state

_ORDERS_TAG = "wiro/failed_orders"
_RANGE_START_TAG = "dagster/asset_partition_range_start"
_RANGE_END_TAG = "dagster/asset_partition_range_end"
_NO_RETRIES = {"dagster/max_retries": "0"}
_RUNS_PER_TICK = 20
"""A run costs seconds of a worker. More failures of one tick are on their partitions' events."""

# A cancelled order did what the user wanted.
_RED: tuple[OrderState, ...] = ("failed", "uncollected")


def failure_job_name(collection: VideoCollection) -> str:
    """Return the name of the job that reports failed orders."""
    return collection.prefixed("report_failed_videos")


def build_failure_job(collection: VideoCollection) -> dg.UnresolvedAssetJobDefinition:
    """Build the job that reports failed orders. It never orders anything, whoever launches it."""
    return dg.define_asset_job(
        failure_job_name(collection),
        selection=dg.AssetSelection.assets(collection.video_key).without_checks(),
        executor_def=dg.in_process_executor,
        tags={_ORDERS_TAG: "", **_NO_RETRIES, "wiro/collection": collection.ledger_name},
        description="Fails with the reasons of failed orders, so that their partitions turn red.",
    )


def request_failure_runs(reporter: Reporter, ended: Iterable[Order]) -> list[dg.RunRequest]:
    """Request a run for each contiguous range of partitions whose orders have failed.

    A run over a range marks all of it, so a range has failed partitions only.

    Args:
        reporter: of the collection.
        ended: orders that have ended.
    """
    collection = reporter.collection
    failed = {order.partition: order for order in ended if order.state in _RED}
    if collection.failures == "event" or not failed:
        return []
    keys = collection.partitions.get_partition_keys(dynamic_partitions_store=reporter.instance)
    ranges = list_ranges(keys, failed)[:_RUNS_PER_TICK]
    return [_request(collection, [failed[key] for key in found]) for found in ranges]


def _request(collection: VideoCollection, orders: Sequence[Order]) -> dg.RunRequest:
    ids = ",".join(str(order.id) for order in orders)
    return dg.RunRequest(
        # The same tick after a crash requests the same run, which Dagster starts once.
        run_key=f"{collection.ledger_name} failed {ids}",
        job_name=failure_job_name(collection),
        tags={
            _ORDERS_TAG: ids,
            _RANGE_START_TAG: orders[0].partition,
            _RANGE_END_TAG: orders[-1].partition,
            **_NO_RETRIES,
        },
    )


def is_failure_run(context: dg.AssetExecutionContext) -> bool:
    """Return whether a run only reports failures, and must not order anything."""
    return _ORDERS_TAG in context.run.tags


def fail_with_reasons(context: dg.AssetExecutionContext, reporter: Reporter) -> None:
    """Fail with the reasons of the run's partitions whose orders have failed.

    Args:
        context: of the run's step.
        reporter: of the collection.

    Raises:
        dg.Failure: at least one partition has a failed order.
    """
    ledger = reporter.desk.ledger
    failures: dict[str, str] = {}
    for partition in context.partition_keys:
        order = ledger.find_latest(reporter.collection.ledger_name, partition)
        if order is not None and order.state in _RED:
            failures[partition] = describe_state(order)
    if not failures:
        context.log.info("These partitions have been ordered again; nothing to report.")
    raise_failures(failures, "No video for")


def list_ranges(ordered: Iterable[str], wanted: Iterable[str]) -> list[list[str]]:
    """Group wanted keys into contiguous ranges.

    Args:
        ordered: all keys, in Dagster's order.
        wanted: some of them.
    """
    chosen = set(wanted)
    ranges: list[list[str]] = []
    is_open = False
    for key in ordered:
        if key in chosen and is_open:
            ranges[-1].append(key)
        elif key in chosen:
            ranges.append([key])
        is_open = key in chosen
    return ranges


def raise_failures(failures: Mapping[str, str], what: str) -> None:
    """Fail a step at its end, naming each partition that has no result and why.

    A retry is harmless but useless: nothing is ordered twice.

    Raises:
        dg.Failure: there are failures.
    """
    if not failures:
        return
    lines = [f'- "{partition}": {reason}' for partition, reason in sorted(failures.items())]
    raise dg.Failure(
        description=f"{what} {counted(len(failures), 'partition')}:\n" + "\n".join(lines),
        metadata={"wiro/failures": dg.MetadataValue.json(dict(failures))},
        allow_retries=False,
    )
