"""Asset checks on `video_order`. Users can execute them; sensors and runs evaluate them too."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
from collections.abc import Iterator

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.desks import load_prompts, open_desk
from wiro_dagster.defs.missing import add_up_missing
from wiro_dagster.defs.order_checks import (
    ACCOUNT_CHECK,
    APPROVAL_CHECK,
    BOOKS_CHECK,
    BUDGET_CHECK,
    MOVING_CHECK,
    ORDERS_CHECK,
    PROMPTS_CHECK,
    judge_orders,
    prompts_check,
    unreadable_check,
)
from wiro_dagster.defs.prompt_sources import asset_loader
from wiro_dagster.defs.report import check_result
from wiro_dagster.errors import InputError

_RULES = {
    PROMPTS_CHECK: "Every entry of the prompt file can be ordered.",
    ORDERS_CHECK: "Every ordered partition has a video, or an order under way.",
    ACCOUNT_CHECK: "Wiro accepts the account's key and balance.",
    BUDGET_CHECK: "Every order fits into the budget.",
    MOVING_CHECK: "No order stays in one state for too long.",
    BOOKS_CHECK: "Every task of the account is in the ledger, at the cost that Wiro states.",
    APPROVAL_CHECK: "No order waits for approval.",
}


def build_order_checks(collection: VideoCollection) -> list[dg.AssetChecksDefinition]:
    """Build the checks of a collection's orders, in one step: each step is a process."""
    specs = [
        dg.AssetCheckSpec(name, asset=collection.order_key, description=rule)
        for name, rule in _RULES.items()
        if name != APPROVAL_CHECK or collection.needs_approval
    ]

    @dg.multi_asset_check(
        name=collection.prefixed("video_order_checks"),
        specs=specs,
        can_subset=True,
        required_resource_keys=collection.resource_keys,
    )
    def video_order_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        asked = {key.name for key in context.selected_asset_check_keys}
        if PROMPTS_CHECK in asked:
            yield check_result(_check_prompts(context, collection))
        desk = open_desk(collection, context.resources)
        for evaluation in judge_orders(desk, collection.order_key):
            if evaluation.check_name in asked:
                yield check_result(evaluation)

    return [video_order_checks]


def _check_prompts(
    context: dg.AssetCheckExecutionContext, collection: VideoCollection
) -> dg.AssetCheckEvaluation:
    try:
        prompts = load_prompts(
            collection, context.resources, context.instance, asset_loader(context)
        )
    except InputError as error:
        return unreadable_check(error, collection.order_key)
    desk = open_desk(collection, context.resources)
    missing = add_up_missing(desk, collection, prompts.prompts.values())
    return prompts_check(prompts, collection.order_key, missing)
