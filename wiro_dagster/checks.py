"""Asset checks on `video_order`, executable at any time; sensors and runs evaluate them too."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
import dagster as dg

from wiro_dagster.collection import VideoCollection
from wiro_dagster.errors import InputError
from wiro_dagster.events import (
    ORDERS_CHECK,
    PROMPTS_CHECK,
    orders_check,
    prompts_check,
    unreadable_check,
)
from wiro_dagster.prompt_sources import asset_loader


def build_checks(collection: VideoCollection) -> list[dg.AssetChecksDefinition]:
    """The checks of a collection."""
    return [_build_prompts_check(collection), _build_orders_check(collection)]


def _build_prompts_check(collection: VideoCollection) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=collection.order_key,
        name=PROMPTS_CHECK,
        required_resource_keys=collection.resource_keys,
        description="Every entry of the prompt file can be ordered.",
    )
    def prompts_valid(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        try:
            prompts = collection.load_prompts(context.resources, asset_loader(context))
        except InputError as error:
            return _result(unreadable_check(error, collection.order_key))
        return _result(prompts_check(prompts, collection.order_key))

    return prompts_valid


def _build_orders_check(collection: VideoCollection) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=collection.order_key,
        name=ORDERS_CHECK,
        required_resource_keys=collection.resource_keys,
        description="No order that stands for a partition failed, was cancelled or given up.",
    )
    def orders_succeeded(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        ledger = collection.open_desk(context.resources).context.ledger
        failed = ledger.list_failed(collection.ledger_name)
        return _result(orders_check(failed, collection.order_key))

    return orders_succeeded


def _result(evaluation: dg.AssetCheckEvaluation) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=evaluation.passed,
        description=evaluation.description,
        metadata=evaluation.metadata,
    )
