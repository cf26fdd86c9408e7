"""From a prompt to what the ledger is asked for: the inputs as plain JSON, and their price."""

from __future__ import annotations

from wiro_dagster.errors import ApiError
from wiro_dagster.ledger import OrderRequest
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.prompts import Prompt, inputs_to_json


def build_request(context: OrderContext, partition: str, prompt: Prompt) -> OrderRequest:
    """Return the request for a prompt's video. Its price is unknown if Wiro cannot be asked now."""
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
        prompt_input=prompt.prompt_input,
        quote_usd=quote_usd,
        ceiling_usd=ceiling_usd,
        quoted_at=context.now(),
    )
