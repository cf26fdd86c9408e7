"""From a prompt to what the ledger is asked for: the inputs as plain JSON, and their price."""

from __future__ import annotations

from decimal import Decimal

from wiro_dagster.errors import ApiError
from wiro_dagster.ledger import OrderRequest
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.prompts import Prompt, inputs_to_json


def build_request(
    context: OrderContext,
    partition: str,
    prompt: Prompt,
    *,
    version: str = "",
    limit_usd: Decimal | None = None,
) -> OrderRequest:
    """Return the request for a prompt's video. Its price is unknown if Wiro cannot be asked now.

    Args:
        context: of the collection.
        partition: the prompt's id.
        prompt: what is wanted; one take.
        version: what the takes of the prompt have in common; empty for one of its own.
        limit_usd: the most that the video may cost; `None` leaves it to the budget.
    """
    inputs = inputs_to_json(prompt.inputs)
    try:
        quote = context.quoter(prompt.model_slug, inputs)
        quote_usd, ceiling_usd = quote.amount_usd, quote.ceiling_usd
    except ApiError:
        quote_usd = ceiling_usd = None  # the tick asks again
    return OrderRequest(
        collection=context.collection,
        partition=partition,
        account=context.account,
        model_slug=prompt.model_slug,
        inputs=inputs,
        fingerprint=prompt.fingerprint,
        take=prompt.take,
        priority=context.priority if prompt.priority is None else prompt.priority,
        prompt_version=version or prompt.fingerprint,
        prompt_input=prompt.prompt_input,
        quote_usd=quote_usd,
        ceiling_usd=ceiling_usd,
        quoted_at=context.now(),
        limit_usd=limit_usd,
        next_models=context.policy.list_next_models(prompt.model_slug),
    )
