"""Second tries: what follows a failed order, by the policy that the user wrote.

No schedule and no retry of Dagster ever orders again what was billed and brought nothing: only the
user does. A policy with `attempts` or `fallback_models` is the user's word in advance. It is off by
default, it is on the order when that is placed, and three things bound it: the number of tries, the
most that one video may cost, and the budget, which counts each try like any other order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from wiro_dagster.errors import ApiError, InputError
from wiro_dagster.ledger import Order, OrderRequest
from wiro_dagster.ledger.budget import why_never
from wiro_dagster.orders.context import FittedInputs, OrderContext
from wiro_dagster.orders.reasons import FailureKind, find_failure_kind, may_pass

_WHY_NOT: dict[FailureKind, str] = {
    "refused": "A refused run is not tried again.",
    "input_moderated": "Moderation of the input does not pass, so there is no second try.",
    "bad_input": "What is wrong with the inputs does not pass, so there is no second try.",
}


def decide_tries(context: OrderContext, *, partition: str | None = None) -> list[str]:
    """Place the tries that follow failed orders of a collection, or note why none does.

    Args:
        context: of the collection.
        partition: whose orders; `None` = all.

    Returns:
        A notice for each decision. What cannot be priced now is decided later.
    """
    failed = context.ledger.list_awaiting_next_try(context.collection, partition=partition)
    notices = (_decide(context, order) for order in failed)
    return [notice for notice in notices if notice]


def _decide(context: OrderContext, failed: Order) -> str | None:
    kind = find_failure_kind(failed)
    if not may_pass(kind):
        context.ledger.end_tries(failed, _WHY_NOT[kind])
        return None
    earlier_usd = context.ledger.add_up_tries(failed)
    problems: list[str] = []
    for position, slug in enumerate(failed.next_models):
        left = failed.next_models[position + 1 :]
        try:
            request = _build_try(context, failed, slug, left, earlier_usd)
        except ApiError:
            return None  # Wiro cannot say now what it takes or costs: the next tick asks again
        except InputError as error:
            problems += error.problems
            continue
        following = context.ledger.try_again(failed, request, needs_approval=context.needs_approval)
        if following is None:
            return None
        return (
            f"{failed.name} failed: {failed.error} Try {following.try_number} follows, with {slug}."
        )
    context.ledger.end_tries(failed, f"No other try is possible: {'; '.join(problems)}")
    return None


def _build_try(
    context: OrderContext, failed: Order, slug: str, left: Sequence[str], earlier_usd: Decimal
) -> OrderRequest:
    """Return the request for the next try.

    Raises:
        InputError: this model is not possible, because of the inputs or of what it may cost.
        ApiError: Wiro cannot be asked about the model now.
    """
    fitted = FittedInputs(failed.inputs, failed.prompt_input)
    if slug != failed.model_slug:
        if context.fit_inputs is None:
            raise InputError(f"{slug} is not known here.")
        fitted = context.fit_inputs(failed.model_slug, slug, failed.inputs)
    quote = context.quoter(slug, fitted.inputs)
    objection = why_never(
        quote.ceiling_usd, context.limits, earlier_usd=earlier_usd, limit_usd=failed.limit_usd
    )
    if objection is not None:
        raise InputError(f"{slug}: {objection}")
    return replace(
        failed.request,
        account=context.account,
        model_slug=slug,
        inputs=fitted.inputs,
        prompt_input=fitted.prompt_input,
        quote_usd=quote.amount_usd,
        ceiling_usd=quote.ceiling_usd,
        quoted_at=context.now(),
        next_models=tuple(left),
    )
