"""Asset checks on `video_order`, executable at any time; the sensors evaluate them as things happen."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
import dagster as dg

from wiro_dagster.collection import VideoCollection
from wiro_dagster.errors import InputError
from wiro_dagster.events import ORDERS_CHECK, PROMPTS_CHECK, orders_verdict
from wiro_dagster.sensors import prompts_verdict


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
            prompts = collection.load_prompts(context.resources)
        except InputError as error:
            return dg.AssetCheckResult(**prompts_verdict(list(error.problems), 0))
        problems = [str(problem) for problem in prompts.problems]
        return dg.AssetCheckResult(**prompts_verdict(problems, len(prompts.prompts)))

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
        return dg.AssetCheckResult(**orders_verdict(ledger.list_failed(collection.ledger_name)))

    return orders_succeeded
