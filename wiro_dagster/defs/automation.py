"""Order whatever is missing: a job, and a schedule that launches it."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.evidence import hear_event_log
from wiro_dagster.defs.failures import raise_failures
from wiro_dagster.defs.missing import list_missing
from wiro_dagster.defs.ordering import load_in_run, log_checks, order_in_run, record_in_run
from wiro_dagster.defs.prices import OrderConfig
from wiro_dagster.defs.report import Reporter


def build_missing_videos_schedule(
    collection: VideoCollection,
    *,
    cron_schedule: str,
    execution_timezone: str | None = None,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.RUNNING,
) -> dg.ScheduleDefinition:
    """Build a schedule that orders missing videos, within the budget.

    It launches the job `order_missing_videos`, which `build_video_definitions` has and anybody can
    launch by hand. In one short run that orders every prompt that has no video and no order under
    way. Failed orders are placed again, cancelled ones are not.

    Args:
        collection: whose videos.
        cron_schedule: such as `"0 6 * * *"`, every morning at six.
        execution_timezone: such as `"Europe/Berlin"`; UTC by default.
        default_status: whether it runs from the start.

    Example:
        defs = dg.Definitions.merge(
            build_video_definitions(ads),
            dg.Definitions(
                schedules=[build_missing_videos_schedule(ads, cron_schedule="0 6 * * *")]
            ),
        )
    """
    return dg.ScheduleDefinition(
        name=collection.prefixed("missing_videos_schedule"),
        job_name=missing_videos_job_name(collection),
        cron_schedule=cron_schedule,
        execution_timezone=execution_timezone,
        default_status=default_status,
        description="Orders every prompt that has no video and no order under way.",
    )


def build_missing_videos_job(collection: VideoCollection) -> dg.JobDefinition:
    """Build the job that orders whatever is missing.

    Args:
        collection: whose videos.
    """

    @dg.op(
        name=collection.prefixed("order_missing"),
        required_resource_keys=collection.resource_keys,
        tags=dict(collection.op_tags),
        retry_policy=collection.retry_policy,
        description="Places an order for every prompt that has no video and no order under way.",
    )
    def order_missing(context: dg.OpExecutionContext, config: OrderConfig) -> None:
        reporter = Reporter.in_run(context, collection)
        hear_event_log(reporter)
        prompts = load_in_run(context, collection, config)
        known = set(
            collection.partitions.get_partition_keys(dynamic_partitions_store=context.instance)
        )
        every = [prompt for prompt in prompts.prompts.values() if prompt.id in known]
        missing = [p.id for p in list_missing(reporter.desk.ledger, collection, every)]
        context.log.info(f"{len(missing)} of {len(every)} prompts have no video.")
        placed = order_in_run(context, reporter, prompts, missing, config)
        if placed is None:
            return
        record_in_run(reporter, placed.orders)
        log_checks(reporter, prompts)
        raise_failures(placed.failures, "No order for")

    @dg.job(
        name=missing_videos_job_name(collection),
        # One short op: a process of its own would only take longer to start.
        executor_def=dg.in_process_executor,
        tags={"wiro/collection": collection.ledger_name},
        description="Orders every prompt that has no video and no order under way.",
    )
    def order_missing_videos() -> None:
        order_missing()

    return order_missing_videos


def missing_videos_job_name(collection: VideoCollection) -> str:
    """Return the name of the job that orders whatever is missing."""
    return collection.prefixed("order_missing_videos")
