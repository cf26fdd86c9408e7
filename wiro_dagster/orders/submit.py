"""Submitting: the one step that spends money."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal

import sqlalchemy as sa

from wiro_dagster.api.types import Submission
from wiro_dagster.errors import (
    ApiError,
    AuthenticationRefused,
    ConcurrencyLimitReached,
    InputError,
    InsufficientBalance,
    MediaError,
    NothingAccepted,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    StoreError,
)
from wiro_dagster.ledger import Order, TroubleKind
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.files import (
    OrderFile,
    list_missing_uploads,
    read_inputs,
    upload_files,
)
from wiro_dagster.orders.lease import LeaseKeeper

_TRIES_TO_NOTE = 5
_FIRST_PAUSE_SECONDS = 0.2
_UPLOAD_SECONDS = 300.0
"""How long a silent upload is believed in. Then somebody else uploads too, which costs nothing."""


def quote_order(context: OrderContext, order: Order) -> None:
    """Prices an order that could not be priced when it was placed."""
    try:
        quote = context.quoter(order.model_slug, order.inputs)
    except RateLimited as error:
        context.slow_down(error)
        return
    except AuthenticationRefused as error:
        _close_for_person(context, error, "credentials")
        return
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
    missing = list_missing_uploads(context, order)
    if missing:
        return _upload_first(context, order, missing)
    callback = context.callback_url(order.marker) if context.callback_url else None
    with ExitStack() as copies:
        try:
            inputs = read_inputs(context, order, copies)
        except Exception as error:  # nothing was sent, whatever it is
            return _note_unreadable(context, order, error)
        try:
            if not leases.confirm(order):
                return f"{order.name} was taken over by another process before it was sent."
            submission = context.client.submit(order.model_slug, inputs, callback_url=callback)
        except Exception as error:  # whatever it is, money may depend on how it is noted
            return _note_failure(context, order, error)
        return _note_task(context, order, submission)


def _upload_first(context: OrderContext, order: Order, files: list[OrderFile]) -> str | None:
    """Uploads what a run is to refer to, while the order is back where nothing is bought.

    Who dies here leaves an order that is simply submitted later, not one of unknown outcome.
    """
    state = context.ledger.record_unsent(
        order, due_at=context.now() + _UPLOAD_SECONDS, hold="Its files are being uploaded to Wiro."
    )
    if state != "ordered":
        return None  # nobody wants it any more, or somebody else has it
    waiting = replace(order, state="ordered", lease=None)
    try:
        upload_files(context, files)
    except (ApiError, InputError, StoreError, MediaError) as error:
        return _note_failed_upload(context, waiting, error)
    context.ledger.advance(waiting, due_at=context.now(), hold=None)
    return None


def _note_failed_upload(context: OrderContext, order: Order, error: Exception) -> str | None:
    policy, due_at = context.policy, context.retry_at(order)
    reason = f"Its files could not be uploaded: {error}"
    match error:
        case AuthenticationRefused():
            until = context.now() + policy.refused_pause_seconds
            context.gate.close(until=until, reason=str(error), trouble="credentials")
            context.ledger.advance(order, hold=reason, due_at=context.now())
            return None
        case RequestRefused() | InputError() | MediaError():
            _end(context, order, reason)
            return f"{order.name}: {reason}"
        case RateLimited():
            due_at = context.slow_down(error)
        case NothingAccepted():
            due_at = context.now() + (error.retry_after_seconds or policy.pause_seconds)
    context.ledger.advance(order, attempts=order.attempts + 1, hold=reason, due_at=due_at)
    return f"{order.name}: {reason}"


def _note_unreadable(context: OrderContext, order: Order, error: Exception) -> str:
    """Nothing was sent: the order ends, or waits, as for a video store that cannot be reached."""
    if isinstance(error, (InputError, MediaError)):
        _end(context, order, str(error))
    else:
        due_at = context.now() + context.policy.pause_seconds
        context.ledger.record_unsent(order, due_at=due_at, hold=f"{type(error).__name__}: {error}")
    return f"{order.name}: {error}"


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


def _note_failure(context: OrderContext, order: Order, error: Exception) -> str | None:
    policy, now = context.policy, context.now()
    match error:
        case AuthenticationRefused():
            _hold_for_person(context, order, error, "credentials")
            return None
        case InsufficientBalance():
            _hold_for_person(context, order, error, "balance")
            return None
        case RequestRefused() | InputError():
            _end(context, order, str(error))
        case ConcurrencyLimitReached():
            context.ledger.record_unsent(order, due_at=now, hold=str(error))
            until = now + policy.slots_seconds
            if context.gate.learn_slots(error.limit, until=until, reason=str(error)):
                context.gate.close(until=now + policy.pause_seconds, reason=str(error))
        case RateLimited():
            context.slow_down(error)
            context.ledger.record_unsent(order, due_at=now, hold=str(error))
        case NothingAccepted():
            # The gate first: in between, nobody may find it open and the order due again.
            seconds = error.retry_after_seconds or policy.pause_seconds
            context.gate.close(until=now + seconds, reason=str(error))
            context.ledger.record_unsent(order, due_at=now, hold=str(error))
        case OutcomeUnknown():
            _look_first(context, order, str(error))
        case _:
            # Not an error we know: it may have come after Wiro accepted the run.
            _look_first(context, order, f"{type(error).__name__} while submitting")
    return f"{order.name}: {error}"


def _hold_for_person(
    context: OrderContext, order: Order, error: Exception, trouble: TroubleKind
) -> None:
    """The next order would fare the same: the account waits, and tries one from time to time.

    No try is worth a notice: the account's trouble is told once, see `Gate.find_trouble`.
    """
    _close_for_person(context, error, trouble)
    context.ledger.record_unsent(order, due_at=context.now(), hold=str(error))


def _close_for_person(context: OrderContext, error: Exception, trouble: TroubleKind) -> None:
    until = context.now() + context.policy.refused_pause_seconds
    context.gate.close(until=until, reason=str(error), trouble=trouble)


def _end(context: OrderContext, order: Order, reason: str) -> None:
    now = context.now()
    context.ledger.advance(
        order, state="failed", error=reason, cost_usd=Decimal(0), ended_at=now, due_at=now
    )


def _look_first(context: OrderContext, order: Order, reason: str) -> None:
    now = context.now()
    due_at = now + context.policy.first_look_seconds
    context.ledger.advance(order, state="unknown", lost_since=now, error=reason, due_at=due_at)
