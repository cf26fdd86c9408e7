"""The two assets of a collection: `video_order` (we asked for it) and `video` (we own it)."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
from collections.abc import Iterator
from typing import Any

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.event_log import find_order_events
from wiro_dagster.defs.events import CODE_VERSION, order_materialization, order_metadata
from wiro_dagster.defs.order_checks import judge_orders, prompts_check
from wiro_dagster.defs.prompt_sources import asset_loader
from wiro_dagster.defs.provenance import add_tags, observe_prompts, order_inputs
from wiro_dagster.defs.waiting import VideoWait
from wiro_dagster.errors import InputError, StoreError
from wiro_dagster.ledger import Order, Placement
from wiro_dagster.orders import OrderDesk
from wiro_dagster.prompts import PromptFile

StepEvents = Iterator[dg.MaterializeResult[Any]]


def build_video_order_asset(collection: VideoCollection) -> dg.AssetsDefinition:
    """The asset whose materialization places orders; nothing waits for them."""

    @dg.asset(
        key=collection.order_key,
        partitions_def=collection.partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[collection.prompt_key, *collection.input_deps],
        output_required=False,
        required_resource_keys=collection.resource_keys,
        code_version=CODE_VERSION,
        group_name=collection.group_name,
        kinds={"wiro"},
        owners=list(collection.owners),
        tags=dict(collection.tags),
        description=(
            "A video was asked for and may cost its quote. Materializing places the order, unless "
            "the same video is under way or owned; the sensor submits it when budget and Wiro's "
            "limits allow."
        ),
    )
    def video_order(context: dg.AssetExecutionContext) -> StepEvents:
        desk = collection.open_desk(context.resources)
        prompts = collection.load_prompts(
            context.resources, context.instance, asset_loader(context)
        )
        placements, failures = place_orders(context, collection, desk, prompts)
        orders = [placement.order for placement in placements.values()]
        inputs = order_inputs(context.instance, collection, orders)
        if len(context.partition_keys) == 1:
            for order in orders:
                yield dg.MaterializeResult(
                    metadata=order_metadata(order),
                    data_version=dg.DataVersion(order.fingerprint),
                    tags=inputs[order.id],
                )
        else:
            if not failures and has_followers(context):
                yield dg.MaterializeResult()  # lets the steps after this one run
            for order in orders:
                event = order_materialization(order, collection.order_key)
                context.log_event(add_tags(event, inputs[order.id]))
        # Steps of checks are skipped where this one yields nothing: their verdict is given here.
        _log_checks(context, collection, desk, prompts)
        raise_failures(failures, "were not ordered")

    return video_order


def build_video_asset(collection: VideoCollection) -> dg.AssetsDefinition:
    """The asset whose materialization means: the file is in the video store, verified."""

    @dg.asset(
        key=collection.video_key,
        io_manager_key=collection.io_manager,
        deps=[collection.prompt_key, collection.order_key],
        partitions_def=collection.partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        output_required=False,
        required_resource_keys=collection.resource_keys,
        pool=collection.pool,
        code_version=CODE_VERSION,
        group_name=collection.group_name,
        kinds={"wiro", "video"},
        owners=list(collection.owners),
        tags=dict(collection.tags),
        description=(
            "A video that we own: in the video store, verified, its cost known. The sensor reports "
            "it when its order is done. Materializing it orders it where that has not been done "
            "yet, and waits for it."
        ),
    )
    def video(context: dg.AssetExecutionContext) -> StepEvents:
        desk = collection.open_desk(context.resources)
        prompts = collection.load_prompts(
            context.resources, context.instance, asset_loader(context)
        )
        placements, failures = place_orders(context, collection, desk, prompts)
        _record_orders(context, collection, [placed.order for placed in placements.values()])
        _log_checks(context, collection, desk, prompts)
        wait = VideoWait(context, collection, desk, list(placements.values()))
        if len(context.partition_keys) == 1:
            yield from wait.deliver_result()
        else:
            wait.deliver_events()
            if not (failures or wait.failures) and has_followers(context):
                yield dg.MaterializeResult()  # lets the steps after this one run
                wait.repeat_events()
        raise_failures({**failures, **wait.failures}, "have no video")

    return video


def place_orders(
    context: dg.AssetExecutionContext,
    collection: VideoCollection,
    desk: OrderDesk,
    prompts: PromptFile,
) -> tuple[dict[str, Placement], dict[str, str]]:
    """Orders the videos of a run's partitions. One that is wrong does not hold up the others.

    Returns:
        The placements, and why the other partitions could not be ordered.
    """
    # The sensor may not have seen the newest text yet.
    here = [prompts.prompts[key] for key in context.partition_keys if key in prompts.prompts]
    observe_prompts(context.instance, collection, here, context.log_event)
    placements: dict[str, Placement] = {}
    failures: dict[str, str] = {}
    for partition in context.partition_keys:
        prompt = prompts.prompts.get(partition)
        if prompt is None:
            failures[partition] = _why_no_prompt(prompts, partition, collection)
            continue
        try:
            placements[partition] = desk.place(partition, prompt)
        except (InputError, StoreError) as error:
            failures[partition] = str(error)
            continue
        context.log.info(_describe_placement(placements[partition]))
    return placements, failures


def _why_no_prompt(prompts: PromptFile, partition: str, collection: VideoCollection) -> str:
    problems = [str(problem) for problem in prompts.problems if problem.id == partition]
    return "\n".join(problems) or (
        f'{collection.source.name} has no prompt with the id "{partition}". '
        "Add it again, or delete the partition."
    )


def _describe_placement(placement: Placement) -> str:
    order = placement.order
    match placement.outcome:
        case "placed":
            quote = (
                "price not known" if order.quote_usd is None else f"quote {order.quote_usd:f} USD"
            )
            return f"{order.name} is placed: {order.model_slug}, {quote}."
        case "under_way":
            return f"{order.name} is under way already ({order.state}); nothing new is bought."
        case "owned":
            return f"{order.name} is owned already (task {order.task_id}); nothing new is bought."
        case "taken_up":
            return f"{order.name} is taken up again ({order.state}); nothing new is bought."


def _record_orders(
    context: dg.AssetExecutionContext, collection: VideoCollection, orders: list[Order]
) -> None:
    """Tells the event log of orders that were placed by a run of `video` itself."""
    recorded = find_order_events(context.instance, collection.order_key, orders)
    missing = [order for order in orders if order.id not in recorded]
    inputs = order_inputs(context.instance, collection, missing)
    for order in missing:
        event = order_materialization(order, collection.order_key)
        context.log_event(add_tags(event, inputs[order.id]))


def _log_checks(
    context: dg.AssetExecutionContext,
    collection: VideoCollection,
    desk: OrderDesk,
    prompts: PromptFile,
) -> None:
    """Evaluates the checks on `video_order` where a run has materialized it."""
    context.log_event(prompts_check(prompts, collection.order_key))
    for evaluation in judge_orders(desk, collection.order_key):
        context.log_event(evaluation)


def has_followers(context: dg.AssetExecutionContext) -> bool:
    """Whether the run may have steps after this one, which a step without a result would skip."""
    selection = context.run.asset_selection  # empty where the run executes its whole job
    return not selection or len(selection) > 1


def raise_failures(failures: dict[str, str], what: str) -> None:
    """Fails a step that did what it could, naming each partition that it could not do.

    A retry of the run is pointless, but harmless: what is under way is not ordered again.
    """
    if not failures:
        return
    lines = [f'- "{partition}": {reason}' for partition, reason in sorted(failures.items())]
    raise dg.Failure(
        description=f"{len(failures)} partitions {what}:\n" + "\n".join(lines),
        metadata={"wiro/failures": dg.MetadataValue.json(failures)},
        allow_retries=False,
    )
