"""The assets of a collection: `prompt`, `video_order` (we asked for it), `video` (we own it)."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
from collections.abc import Iterator
from typing import Any

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.evidence import hear_event_log
from wiro_dagster.defs.failures import fail_with_reasons, is_failure_run, raise_failures
from wiro_dagster.defs.metadata import CODE_VERSION
from wiro_dagster.defs.ordering import (
    find_user,
    load_in_run,
    log_checks,
    order_in_run,
    place_in_run,
    record_in_run,
)
from wiro_dagster.defs.placed import Placed
from wiro_dagster.defs.prices import OrderConfig, VideoConfig
from wiro_dagster.defs.report import Reporter
from wiro_dagster.defs.translator import asset_arguments
from wiro_dagster.defs.waiting import VideoWait
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Placement

StepEvents = Iterator[dg.MaterializeResult[Any]]


def build_prompt_spec(collection: VideoCollection) -> dg.AssetSpec:
    """Build the asset `prompt`. The sensor records it, so that Dagster sees prompts change."""
    upstream = collection.source.asset_key
    spec = dg.AssetSpec(
        "prompt",
        deps=[] if upstream is None else [upstream],
        partitions_def=collection.partitions,
        kinds={"wiro"},
        description=(
            f"A prompt of {collection.source.name}: text, model, inputs and price. The sensor "
            "records each new text, which makes the videos of the earlier text out of date."
        ),
    )
    return collection.translate("prompt", spec)


def build_video_order_asset(collection: VideoCollection) -> dg.AssetsDefinition:
    """Build the asset whose materialization places orders without waiting for them."""
    spec = dg.AssetSpec(
        "video_order",
        kinds={"wiro"},
        description=(
            "An order for a video, which may cost its quote. Materialize it to place the order, "
            "unless the same video is already ordered or owned. The sensor submits the order when "
            "budget and Wiro's limits allow."
        ),
    )

    @dg.asset(
        **asset_arguments(collection.translate("video_order", spec)),
        partitions_def=collection.partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[collection.prompt_key, *collection.input_deps],
        output_required=False,
        required_resource_keys=collection.resource_keys,
        code_version=CODE_VERSION,
        op_tags=dict(collection.op_tags),
        retry_policy=collection.retry_policy,
    )
    def video_order(context: dg.AssetExecutionContext, config: OrderConfig) -> StepEvents:
        reporter = Reporter.in_run(context, collection)
        hear_event_log(reporter)
        prompts = load_in_run(context, collection, config)
        placed = order_in_run(context, reporter, prompts, context.partition_keys, config)
        if placed is None:
            return
        if len(context.partition_keys) == 1:
            # A step has one result for a partition: the first take's.
            reporter.record(placed.orders[1:])
            for order in placed.orders[:1]:
                yield reporter.order_result(order)
        else:
            if not placed.failures and has_followers(context):
                yield dg.MaterializeResult()  # lets the steps after this one run
            record_in_run(reporter, placed.orders)
        # Dagster skips the steps of checks if this step yields nothing, so they are evaluated here.
        log_checks(reporter, prompts)
        raise_failures(placed.failures, "No order for")

    return video_order


def build_video_asset(collection: VideoCollection) -> dg.AssetsDefinition:
    """Build the asset whose materialization means: the file is in the video store."""
    spec = dg.AssetSpec(
        "video",
        kinds={"wiro", "video"},
        description=(
            "A video that we own: in the video store, verified, its cost known. The sensor "
            "materializes it when its order is done. Materialize it yourself to order it if "
            "needed, and wait for it."
        ),
    )

    @dg.asset(
        **asset_arguments(collection.translate("video", spec)),
        io_manager_key=collection.io_manager,
        deps=[collection.prompt_key, collection.order_key],
        partitions_def=collection.partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        output_required=False,
        required_resource_keys=collection.resource_keys,
        pool=collection.pool,
        code_version=CODE_VERSION,
        op_tags=dict(collection.op_tags),
        retry_policy=collection.retry_policy,
    )
    def video(context: dg.AssetExecutionContext, config: VideoConfig) -> StepEvents:
        reporter = Reporter.in_run(context, collection)
        hear_event_log(reporter)
        if is_failure_run(context):
            fail_with_reasons(context, reporter)
            return
        if config.take is not None:
            placed = _choose(context, reporter, config.take)
        else:
            prompts = load_in_run(context, collection)
            placed = place_in_run(context, reporter, prompts, context.partition_keys)
            reporter.record_missing(placed.orders)
            log_checks(reporter, prompts)
        # An order without approval is not waited for: that may take days.
        placed.refuse_proposed()
        wait = VideoWait(context, reporter, placed.every)
        if len(context.partition_keys) == 1:
            yield from wait.deliver_result()
        else:
            wait.deliver_events()
            if not (placed.failures or wait.failures) and has_followers(context):
                yield dg.MaterializeResult()  # lets the steps after this one run
                wait.repeat_events()
        raise_failures({**placed.failures, **wait.failures}, "No video for")

    return video


def _choose(context: dg.AssetExecutionContext, reporter: Reporter, take: int) -> Placed:
    """Let a take represent each partition of the run."""
    ledger, placed = reporter.desk.ledger, Placed()
    for partition in context.partition_keys:
        try:
            order = ledger.choose_take(
                reporter.collection.ledger_name, partition, take, by=find_user(context)
            )
        except LedgerError as error:
            placed.failures[partition] = str(error)
        else:
            placed.placements[partition] = [Placement(order, "owned")]
    return placed


def has_followers(context: dg.AssetExecutionContext) -> bool:
    """Return whether later steps of the run would be skipped if this one had no result."""
    selection = context.run.asset_selection  # empty if the run executes its whole job
    return not selection or len(selection) > 1
