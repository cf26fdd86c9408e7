"""Submitting: the one step that spends money."""

from __future__ import annotations

import time
from decimal import Decimal

import sqlalchemy as sa

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
from wiro_dagster.orders.lease import LeaseKeeper
from wiro_dagster.prompts import inputs_from_json, wire_inputs

_TRIES_TO_NOTE = 5
_FIRST_PAUSE_SECONDS = 0.2


def quote_order(context: OrderContext, order: Order) -> None:
    """Prices an order that could not be priced when it was placed."""
    try:
        quote = context.quoter(order.model_slug, order.inputs)
    except (ApiError, InputError):
        return  # the gate goes on saying that the price is not known
    if quote.ceiling_usd is not None:
        context.ledger.advance(order, quote_usd=quote.amount_usd, ceiling_usd=quote.ceiling_usd)


def submit_order(context: OrderContext, leases: LeaseKeeper, order: Order) -> str | None:
    """Sends one admitted order to Wiro, once, and notes how that ended.

    Args:
        context: the collection's orders.
        leases: holds the order, so that nobody takes it for lost while it is being sent.
        order: in state `submitting`, claimed by us: the intent is on record already.

    Returns:
        What a person should know of it, `None` where all went well.
    """
    callback = context.callback_url(order.marker) if context.callback_url else None
    try:
        inputs = wire_inputs(inputs_from_json(order.inputs))
        if not leases.confirm(order):
            return f"{order.name} was taken over by another process before it was sent."
        submission = context.client.submit(order.model_slug, inputs, callback_url=callback)
    except Exception as error:  # whatever it is, money may depend on how it is noted
        return _note_failure(context, order, error)
    return _note_task(context, order, submission)


def _note_task(context: OrderContext, order: Order, submission: Submission) -> str | None:
    for attempt in range(_TRIES_TO_NOTE):
        try:
            return _note_task_once(context, order, submission.task_id)
        except sa.exc.OperationalError:
            # Given up, the order counts as unknown when its lease ends, and its task is looked up.
            if attempt == _TRIES_TO_NOTE - 1:
                raise
            time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
    return None


def _note_task_once(context: OrderContext, order: Order, task_id: str) -> str | None:
    due_at = context.now() + context.policy.first_poll_seconds
    try:
        if context.ledger.record_task(order, task_id, due_at=due_at):
            return None
        if context.ledger.get(order.id).task_id == task_id:
            return None  # it was looked up and adopted before its answer came
        context.ledger.record_extra_task(order, task_id, due_at=due_at)
    except sa.exc.IntegrityError:
        # An equal order whose answer was lost has adopted it. Its own task is there for us.
        _look_first(context, order, f"Task {task_id} was adopted by an equal order.")
        return f"{order.name}: its task {task_id} was adopted by an equal order."
    return (
        f"{order.name} has another task or had ended when task {task_id} was made for it as well. "
        "That task's cost and files are kept on the books as an order of its own."
    )


def _note_failure(context: OrderContext, order: Order, error: Exception) -> str:
    policy, now = context.policy, context.now()
    match error:
        case AuthenticationRefused() | InsufficientBalance():
            _hold(context, order, error, policy.refused_pause_seconds)
        case RequestRefused() | InputError():
            _end(context, order, str(error))
        case ConcurrencyLimitReached():
            context.ledger.record_unsent(order, due_at=now, hold=str(error))
            until = now + policy.slots_seconds
            if context.gate.learn_slots(error.limit, until=until, reason=str(error)):
                context.gate.close(until=now + policy.pause_seconds, reason=str(error))
        case NothingAccepted():
            _hold(context, order, error, error.retry_after_seconds or policy.pause_seconds)
        case OutcomeUnknown():
            _look_first(context, order, str(error))
        case _:
            # Not an error we know: it may have come after Wiro accepted the run.
            _look_first(context, order, f"{type(error).__name__} while submitting")
    return f"{order.name}: {error}"


def _hold(context: OrderContext, order: Order, error: Exception, seconds: float) -> None:
    """Nothing was accepted, and the next order would fare the same: the whole account waits."""
    now = context.now()
    # The gate first: in between, nobody may find it open and the order due again.
    context.gate.close(until=now + seconds, reason=str(error))
    context.ledger.record_unsent(order, due_at=now, hold=str(error))


def _end(context: OrderContext, order: Order, reason: str) -> None:
    now = context.now()
    context.ledger.advance(
        order, state="failed", error=reason, cost_usd=Decimal(0), ended_at=now, due_at=now
    )


def _look_first(context: OrderContext, order: Order, reason: str) -> None:
    now = context.now()
    due_at = now + context.policy.first_look_seconds
    context.ledger.advance(order, state="unknown", lost_since=now, error=reason, due_at=due_at)
