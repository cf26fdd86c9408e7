"""What the runs that place orders have in common, whatever selects their prompts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.desks import load_prompts
from wiro_dagster.defs.missing import add_up_missing
from wiro_dagster.defs.order_checks import judge_orders, prompts_check
from wiro_dagster.defs.placed import Placed
from wiro_dagster.defs.prices import (
    OrderConfig,
    describe_prices,
    find_price,
    select_affordable,
)
from wiro_dagster.defs.prompt_sources import asset_loader
from wiro_dagster.defs.report import Reporter
from wiro_dagster.ledger import Order, Proposal
from wiro_dagster.orders.describe import describe_placement
from wiro_dagster.prompts import PromptFile

_LINES_A_MESSAGE = 50
_PRIORITY_TAG = "dagster/priority"
_USER_TAG = "user"
"""Dagster+ names the user who launched a run in this tag."""

_MANY_ORDERS = 50
_SENDING_PAUSE_SECONDS = 0.1
_MOST_PAUSES = 50
_MOST_PAUSES_IN_VAIN = 5

RunContext = dg.OpExecutionContext | dg.AssetExecutionContext


def load_in_run(
    context: RunContext, collection: VideoCollection, config: OrderConfig | None = None
) -> PromptFile:
    """Read the prompts, with what the run's tags and its launch dialog say for all of them."""
    found = load_prompts(collection, context.resources, context.instance, asset_loader(context))
    config = config or OrderConfig()
    priority = _find_priority(context) if config.priority is None else config.priority
    given = {"priority": priority, "takes": config.takes}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not changes:
        return found
    changed = {key: replace(prompt, **changes) for key, prompt in found.prompts.items()}
    return replace(found, prompts=changed)


def order_in_run(
    context: RunContext,
    reporter: Reporter,
    prompts: PromptFile,
    partitions: Sequence[str],
    config: OrderConfig,
) -> Placed | None:
    """Do what the launch dialog of a run says: order partitions, or log what they would cost.

    Returns:
        What came of it; `None` if nothing was to be ordered (`dry_run`).
    """
    if config.dry_run:
        here = [prompts.prompts[key] for key in partitions if key in prompts.prompts]
        prices = [find_price(reporter.desk, prompt) for prompt in here]
        context.log.info(f"Prices (dry_run):\n{describe_prices(prices)}")
        return None
    placed = place_in_run(context, reporter, prompts, partitions, max_usd=config.max_usd)
    if config.approve:
        _approve(context, reporter, placed)
    return placed


def place_in_run(
    context: RunContext,
    reporter: Reporter,
    prompts: PromptFile,
    partitions: Sequence[str],
    *,
    max_usd: float | None = None,
) -> Placed:
    """Order the videos of partitions, up to `max_usd`."""
    here = [prompts.prompts[key] for key in partitions if key in prompts.prompts]
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
    for partition in partitions:
        if partition not in prompts.prompts:
            placed.failures[partition] = _why_no_prompt(prompts, partition, reporter.collection)
    return placed


def record_in_run(reporter: Reporter, orders: Collection[Order]) -> None:
    """Materialize `video_order` for a run's orders, many of them after most were sent."""
    _let_send(reporter, orders)
    reporter.record(orders)


def log_checks(reporter: Reporter, prompts: PromptFile) -> None:
    """Evaluate the checks on `video_order` after a run materialized it."""
    order_key = reporter.collection.order_key
    missing = add_up_missing(reporter.desk, reporter.collection, prompts.prompts.values())
    reporter.write(prompts_check(prompts, order_key, missing))
    for evaluation in judge_orders(reporter.desk, order_key):
        reporter.write(evaluation)


def find_user(context: RunContext) -> str:
    """Return who launched a run, as well as is known."""
    return context.run.tags.get(_USER_TAG) or f"run {context.run.run_id}"


def _let_send(reporter: Reporter, orders: Collection[Order]) -> None:
    """Wait a moment for the sensor's process to send many orders that were just placed.

    To write their events takes a core for seconds, and to send them takes longer for as long. If
    nothing is sent, as the sensor is stopped or the budget spent, this waits half a second. It
    never waits for more than five.
    """
    if len(orders) < _MANY_ORDERS:
        return
    context, before, in_vain = reporter.desk.context, 0, 0
    for _ in range(_MOST_PAUSES):
        unsent = context.ledger.count_unsettled(context.collection).get("ordered", 0)
        in_vain = in_vain + 1 if unsent == before else 0
        if not unsent or in_vain == _MOST_PAUSES_IN_VAIN:
            return
        before = unsent
        reporter.collection.timing.sleep(_SENDING_PAUSE_SECONDS)


def _approve(context: RunContext, reporter: Reporter, placed: Placed) -> None:
    """Approve the run's orders that wait for it, in the name of the run's user."""
    waiting = [order for order in placed.orders if order.state == "proposed"]
    if not waiting:
        return
    by, ledger = find_user(context), reporter.desk.ledger
    approved = ledger.approve(waiting, by=by)
    for partition, takes in placed.placements.items():
        placed.placements[partition] = [
            replace(take, order=ledger.get(take.order.id)) for take in takes
        ]
    total = Proposal.of(order for order in waiting if order.id in approved)
    context.log.info(f"{by} approved {total.describe()}.")


def _find_priority(context: RunContext) -> int | None:
    """Return the priority of a run in Dagster's own tag."""
    tag = context.run.tags.get(_PRIORITY_TAG, "")
    return int(tag) if tag.lstrip("-").isdigit() else None


def _why_no_prompt(prompts: PromptFile, partition: str, collection: VideoCollection) -> str:
    problems = [str(problem) for problem in prompts.problems if problem.id == partition]
    return "\n".join(problems) or (
        f'{collection.source.name} has no prompt with the id "{partition}". '
        "Add it again, or delete the partition."
    )
