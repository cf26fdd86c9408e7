"""Submitting: the one step that spends money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from wiro_dagster.api.types import Submission
from wiro_dagster.errors import (
    ApiError,
    AuthenticationRefused,
    ConcurrencyLimitReached,
    InputError,
    InsufficientBalance,
    NothingAccepted,
    OutcomeUnknown,
    RequestRefused,
)
from wiro_dagster.ledger import Order
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.prompts import inputs_from_json, wire_inputs

_PAUSE_SECONDS = 15.0
_REFUSED_PAUSE_SECONDS = 60.0
_SLOTS_BELIEVED_SECONDS = 30.0
_FIRST_LOOK_SECONDS = 2.0


def quote_order(context: OrderContext, order: Order) -> None:
    """Prices an order that could not be priced when it was placed."""
    try:
        quote = context.quoter(order.model_slug, order.inputs)
    except ApiError:
        return  # the gate goes on saying that the price is not known
    if quote.ceiling_usd is not None:
        context.ledger.advance(order, quote_usd=quote.amount_usd, ceiling_usd=quote.ceiling_usd)


def submit_order(context: OrderContext, order: Order) -> str | None:
    """Sends one admitted order to Wiro, once, and notes how that ended.

    Args:
        context: the collection's orders.
        order: in state `submitting`, claimed by us: the intent is on record already.

    Returns:
        What a person should know of it, `None` where all went well.
    """
    callback = context.callback_url(order.marker) if context.callback_url else None
    try:
        inputs = wire_inputs(inputs_from_json(order.inputs))
        submission = context.client.submit(order.model_slug, inputs, callback_url=callback)
    except Exception as error:  # whatever it is, money may depend on how it is noted
        return _note_failure(context, order, error)
    return _note_task(context, order, submission)


def _note_task(context: OrderContext, order: Order, submission: Submission) -> str | None:
    due_at = context.now() + context.policy.first_poll_seconds
    if context.ledger.record_task(order, submission.task_id, due_at=due_at):
        return None
    return (
        f"{order.name} has another task already; task {submission.task_id} was made as well. "
        "Look at both with: wiro-dagster orders"
    )


def _note_failure(context: OrderContext, order: Order, error: Exception) -> str:
    message = f"{order.name}: {error}"
    match error:
        case AuthenticationRefused() | InsufficientBalance():
            _hold(context, order, error, _REFUSED_PAUSE_SECONDS)
        case RequestRefused() | InputError():
            _end(context, order, str(error))
        case ConcurrencyLimitReached():
            _return_unsent(context, order, str(error))
            context.gate.learn_slots(
                error.limit,
                until=context.now() + _SLOTS_BELIEVED_SECONDS,
                reason=str(error),
            )
        case NothingAccepted():
            _hold(context, order, error, error.retry_after_seconds or _PAUSE_SECONDS)
        case OutcomeUnknown():
            _look_first(context, order, str(error))
        case _:
            # Not an error we know: it may have come after Wiro accepted the run.
            _look_first(context, order, f"{type(error).__name__} while submitting")
    return message


def _hold(context: OrderContext, order: Order, error: Exception, seconds: float) -> None:
    """Nothing was accepted, and the next order would fare the same: the whole account waits."""
    _return_unsent(context, order, str(error))
    context.gate.close(until=context.now() + seconds, reason=str(error))


def _return_unsent(context: OrderContext, order: Order, reason: str) -> None:
    unsent: dict[str, Any] = {"state": "ordered", "claimed_at": None, "due_at": context.now()}
    if order.stop_state is not None:
        unsent |= {"state": order.stop_state, "error": order.stop_reason}
    context.ledger.advance(order, **unsent, hold=reason)


def _end(context: OrderContext, order: Order, reason: str) -> None:
    now = context.now()
    context.ledger.advance(
        order, state="failed", error=reason, cost_usd=Decimal(0), ended_at=now, due_at=now
    )


def _look_first(context: OrderContext, order: Order, reason: str) -> None:
    due_at = context.now() + _FIRST_LOOK_SECONDS
    context.ledger.advance(order, state="unknown", error=reason, due_at=due_at)
