"""The assets of a collection: `prompt`, `video_order` (we asked for it), `video` (we own it)."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.desks import load_prompts
from wiro_dagster.defs.evidence import hear_event_log
from wiro_dagster.defs.failures import fail_with_reasons, is_failure_run, raise_failures
from wiro_dagster.defs.metadata import CODE_VERSION
from wiro_dagster.defs.missing import add_up_missing
from wiro_dagster.defs.order_checks import judge_orders, prompts_check
from wiro_dagster.defs.placed import Placed
from wiro_dagster.defs.prices import (
    OrderConfig,
    VideoConfig,
    describe_prices,
    find_price,
    select_affordable,
)
from wiro_dagster.defs.prompt_sources import asset_loader
from wiro_dagster.defs.report import Reporter
from wiro_dagster.defs.translator import asset_arguments
from wiro_dagster.defs.waiting import VideoWait, let_send
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Placement, Proposal
from wiro_dagster.orders.describe import describe_placement
from wiro_dagster.prompts import PromptFile

_LINES_A_MESSAGE = 50
_PRIORITY_TAG = "dagster/priority"
_USER_TAG = "user"
"""Dagster+ names the user who launched a run in this tag."""

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
        prompts = _load_prompts(context, collection)
        changes = {"takes": config.takes, "priority": config.priority}
        prompts = _change_prompts(prompts, changes)
        if config.dry_run:
            _log_prices(context, reporter, prompts)
            return
        placed = _place_orders(context, reporter, prompts, max_usd=config.max_usd)
        if config.approve:
            _approve(context, reporter, placed)
        if len(context.partition_keys) == 1:
            # A step has one result for a partition: the first take's.
            reporter.record(placed.orders[1:])
            for order in placed.orders[:1]:
                yield reporter.order_result(order)
        else:
            if not placed.failures and has_followers(context):
                yield dg.MaterializeResult()  # lets the steps after this one run
            let_send(reporter, placed.orders)
            reporter.record(placed.orders)
        # Dagster skips the steps of checks if this step yields nothing, so they are evaluated here.
        _log_checks(context, reporter, prompts)
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
            prompts = _load_prompts(context, collection)
            placed = _place_orders(context, reporter, prompts)
            reporter.record_missing(placed.orders)
            _log_checks(context, reporter, prompts)
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


def _load_prompts(context: dg.AssetExecutionContext, collection: VideoCollection) -> PromptFile:
    found = load_prompts(collection, context.resources, context.instance, asset_loader(context))
    return _change_prompts(found, {"priority": _find_priority(context)})


def _log_prices(context: dg.AssetExecutionContext, reporter: Reporter, prompts: PromptFile) -> None:
    """Log what the run's partitions would cost. The run ends without a materialization."""
    here = [prompts.prompts[key] for key in context.partition_keys if key in prompts.prompts]
    prices = [find_price(reporter.desk, prompt) for prompt in here]
    context.log.info(f"Prices (dry_run):\n{describe_prices(prices)}")


def _place_orders(
    context: dg.AssetExecutionContext,
    reporter: Reporter,
    prompts: PromptFile,
    *,
    max_usd: float | None = None,
) -> Placed:
    """Order the videos of a run's partitions, up to `max_usd`."""
    here = [prompts.prompts[key] for key in context.partition_keys if key in prompts.prompts]
    # The sensor may not have seen the newest text yet.
    reporter.observe_prompts(here)
    refused: dict[str, str] = {}
    if max_usd is not None:
        here, refused = select_affordable(reporter.desk, here, max_usd)
    placed = reporter.place(here, present=prompts.ids)
    placed.failures |= refused
    lines = [describe_placement(placement) for placement in placed.every]
    # Each message is a row in Dagster's event log, which costs as much as a materialization.
    for start in range(0, len(lines), _LINES_A_MESSAGE):
        context.log.info("\n".join(lines[start : start + _LINES_A_MESSAGE]))
    for partition in context.partition_keys:
        if partition not in prompts.prompts:
            placed.failures[partition] = _why_no_prompt(prompts, partition, reporter.collection)
    return placed


def _approve(context: dg.AssetExecutionContext, reporter: Reporter, placed: Placed) -> None:
    """Approve the run's orders that wait for it, in the name of the run's user."""
    waiting = [order for order in placed.orders if order.state == "proposed"]
    if not waiting:
        return
    by, ledger = _find_user(context), reporter.desk.ledger
    approved = ledger.approve(waiting, by=by)
    for partition, takes in placed.placements.items():
        placed.placements[partition] = [
            replace(take, order=ledger.get(take.order.id)) for take in takes
        ]
    total = Proposal.of(order for order in waiting if order.id in approved)
    context.log.info(f"{by} approved {total.describe()}.")


def _find_user(context: dg.AssetExecutionContext) -> str:
    return context.run.tags.get(_USER_TAG) or f"run {context.run.run_id}"


def _change_prompts(prompts: PromptFile, changes: Mapping[str, Any]) -> PromptFile:
    """Return the prompts with what a run says for all of them."""
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        return prompts
    changed = {key: replace(prompt, **given) for key, prompt in prompts.prompts.items()}
    return replace(prompts, prompts=changed)


def _find_priority(context: dg.AssetExecutionContext) -> int | None:
    """Return the priority of a run in Dagster's own tag."""
    tag = context.run.tags.get(_PRIORITY_TAG, "")
    return int(tag) if tag.lstrip("-").isdigit() else None


def _choose(context: dg.AssetExecutionContext, reporter: Reporter, take: int) -> Placed:
    """Let a take represent each partition of the run."""
    ledger, placed = reporter.desk.ledger, Placed()
    for partition in context.partition_keys:
        try:
            order = ledger.choose_take(
                reporter.collection.ledger_name, partition, take, by=_find_user(context)
            )
        except LedgerError as error:
            placed.failures[partition] = str(error)
        else:
            placed.placements[partition] = [Placement(order, "owned")]
    return placed


def _why_no_prompt(prompts: PromptFile, partition: str, collection: VideoCollection) -> str:
    problems = [str(problem) for problem in prompts.problems if problem.id == partition]
    return "\n".join(problems) or (
        f'{collection.source.name} has no prompt with the id "{partition}". '
        "Add it again, or delete the partition."
    )


def _log_checks(context: dg.AssetExecutionContext, reporter: Reporter, prompts: PromptFile) -> None:
    """Evaluate the checks on `video_order` after a run materialized it."""
    order_key = reporter.collection.order_key
    missing = add_up_missing(reporter.desk, reporter.collection, prompts.prompts.values())
    context.log_event(prompts_check(prompts, order_key, missing))
    for evaluation in judge_orders(reporter.desk, order_key):
        context.log_event(evaluation)


def has_followers(context: dg.AssetExecutionContext) -> bool:
    """Return whether later steps of the run would be skipped if this one had no result."""
    selection = context.run.asset_selection  # empty if the run executes its whole job
    return not selection or len(selection) > 1
