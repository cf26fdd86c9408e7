"""Automatic orders: the collection's `auto_order`, and a schedule."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
from collections.abc import Callable
from typing import Any

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.desks import load_prompts
from wiro_dagster.defs.failures import raise_failures
from wiro_dagster.defs.missing import add_up_missing, list_missing
from wiro_dagster.defs.order_checks import orders_check, prompts_check
from wiro_dagster.defs.prompt_sources import asset_loader
from wiro_dagster.defs.report import Reporter
from wiro_dagster.orders.describe import describe_placement


def build_missing_videos_schedule(
    collection: VideoCollection,
    *,
    cron_schedule: str,
    execution_timezone: str | None = None,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.RUNNING,
) -> dg.ScheduleDefinition:
    """Build a schedule that orders missing videos, within the budget.

    Its job `order_missing_videos` can also be launched by hand. In one short run it orders every
    prompt that has no video and no order under way. Failed orders are placed again, cancelled ones
    are not.

    Args:
        collection: whose videos.
        cron_schedule: such as `"0 6 * * *"`, every morning at six.
        execution_timezone: such as `"Europe/Berlin"`; UTC by default.
        default_status: whether it runs from the start.

    Example:
        dg.Definitions(
            schedules=[build_missing_videos_schedule(ads, cron_schedule="0 6 * * *")]
        )
    """
    return dg.ScheduleDefinition(
        name=collection.prefixed("missing_videos_schedule"),
        job=_build_missing_videos_job(collection),
        cron_schedule=cron_schedule,
        execution_timezone=execution_timezone,
        default_status=default_status,
        description="Orders every prompt that has no video and no order under way.",
    )


def _build_missing_videos_job(collection: VideoCollection) -> dg.JobDefinition:
    @dg.op(
        name=collection.prefixed("order_missing"),
        required_resource_keys=collection.resource_keys,
        description="Places an order for every prompt that has no video and no order under way.",
    )
    def order_missing(context: dg.OpExecutionContext) -> None:
        reporter = Reporter.in_run(context, collection)
        ledger = reporter.desk.ledger
        prompts = load_prompts(
            collection, context.resources, context.instance, asset_loader(context)
        )
        known = set(
            collection.partitions.get_partition_keys(dynamic_partitions_store=context.instance)
        )
        every = [prompt for prompt in prompts.prompts.values() if prompt.id in known]
        missing = list_missing(ledger, collection, every)
        context.log.info(f"{len(missing)} of {len(every)} prompts have no video.")
        reporter.observe_prompts(missing)
        placed = reporter.place_and_record(missing, present=prompts.ids)
        for placement in placed.every:
            context.log.info(describe_placement(placement))
        write: Callable[[Any], None] = context.log_event  # its annotation omits check evaluations
        write(
            prompts_check(
                prompts, collection.order_key, add_up_missing(reporter.desk, collection, every)
            )
        )
        write(orders_check(ledger.list_failed(collection.ledger_name), collection.order_key))
        raise_failures(placed.failures, "No order for")

    @dg.job(
        name=collection.prefixed("order_missing_videos"),
        tags={"wiro/collection": collection.ledger_name},
        description="Orders every prompt that has no video and no order under way.",
    )
    def order_missing_videos() -> None:
        order_missing()

    return order_missing_videos
