"""Asset checks on `video_order`, executable at any time; sensors and runs evaluate them too."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
from collections.abc import Callable, Iterator

import dagster as dg

from wiro_dagster.collection import VideoCollection
from wiro_dagster.errors import InputError
from wiro_dagster.order_checks import (
    ACCOUNT_CHECK,
    BUDGET_CHECK,
    LISTED_ORDERS,
    ORDERS_CHECK,
    PROMPTS_CHECK,
    account_check,
    budget_check,
    orders_check,
    prompts_check,
    unreadable_check,
)
from wiro_dagster.prompt_sources import asset_loader

_RULES = {
    PROMPTS_CHECK: "Every entry of the prompt file can be ordered.",
    ORDERS_CHECK: "No order that stands for a partition failed, was cancelled or given up.",
    ACCOUNT_CHECK: "Wiro takes the account's submissions: key and balance are in order.",
    BUDGET_CHECK: "The budget holds no order back.",
}

_Evaluate = Callable[[dg.AssetCheckExecutionContext, VideoCollection], dg.AssetCheckEvaluation]


def build_checks(collection: VideoCollection) -> list[dg.AssetChecksDefinition]:
    """The checks of a collection's orders, in one step: a step is a process of its own."""
    specs = [
        dg.AssetCheckSpec(name, asset=collection.order_key, description=rule)
        for name, rule in _RULES.items()
    ]

    @dg.multi_asset_check(
        name=collection.prefixed("video_order_checks"),
        specs=specs,
        can_subset=True,
        required_resource_keys=collection.resource_keys,
    )
    def video_order_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        for key in sorted(context.selected_asset_check_keys):
            yield _result(_EVALUATIONS[key.name](context, collection))

    return [video_order_checks]


def _check_prompts(
    context: dg.AssetCheckExecutionContext, collection: VideoCollection
) -> dg.AssetCheckEvaluation:
    try:
        prompts = collection.load_prompts(
            context.resources, context.instance, asset_loader(context)
        )
    except InputError as error:
        return unreadable_check(error, collection.order_key)
    return prompts_check(prompts, collection.order_key)


def _check_orders(
    context: dg.AssetCheckExecutionContext, collection: VideoCollection
) -> dg.AssetCheckEvaluation:
    ledger = collection.open_desk(context.resources).context.ledger
    return orders_check(ledger.list_failed(collection.ledger_name), collection.order_key)


def _check_account(
    context: dg.AssetCheckExecutionContext, collection: VideoCollection
) -> dg.AssetCheckEvaluation:
    gate = collection.open_desk(context.resources).context.gate
    return account_check(gate.find_trouble(), collection.order_key)


def _check_budget(
    context: dg.AssetCheckExecutionContext, collection: VideoCollection
) -> dg.AssetCheckEvaluation:
    ledger = collection.open_desk(context.resources).context.ledger
    held = ledger.list_held(collection.ledger_name, limit=LISTED_ORDERS)
    return budget_check(held, ledger.count_held(collection.ledger_name), collection.order_key)


_EVALUATIONS: dict[str, _Evaluate] = {
    PROMPTS_CHECK: _check_prompts,
    ORDERS_CHECK: _check_orders,
    ACCOUNT_CHECK: _check_account,
    BUDGET_CHECK: _check_budget,
}


def _result(evaluation: dg.AssetCheckEvaluation) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=evaluation.asset_key,
        check_name=evaluation.check_name,
        passed=evaluation.passed,
        severity=evaluation.severity,
        description=evaluation.description,
        metadata=evaluation.metadata,
    )
