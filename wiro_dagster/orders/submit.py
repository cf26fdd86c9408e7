"""Submitting: the one step that spends money."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace
from decimal import Decimal

from wiro_dagster.errors import (
    ApiError,
    AuthenticationRefused,
    ConcurrencyLimitReached,
    InputError,
    InsufficientBalance,
    LedgerError,
    MediaError,
    NothingAccepted,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    StoreError,
    SubmissionWithdrawn,
)
from wiro_dagster.ledger import Move, Order
from wiro_dagster.orders.answers import Answer, AnswerSpool
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.files import (
    OrderFile,
    list_missing_uploads,
    read_inputs,
    upload_files,
)
from wiro_dagster.orders.lease import LeaseKeeper

_NOTHING_BOUGHT = (
    AuthenticationRefused,
    ConcurrencyLimitReached,
    InputError,
    InsufficientBalance,
    NothingAccepted,
    RateLimited,
    RequestRefused,
    SubmissionWithdrawn,
)
"""After these, no task exists for certain."""

_TRIES_TO_NOTE = 5
_FIRST_PAUSE_SECONDS = 0.2
_PRICE_SECONDS = 600.0
"""How soon Wiro is asked again for the price of a proposed order that has none."""

_UPLOAD_SECONDS = 300.0
"""How long a silent upload is believed. Then another process uploads too, which costs nothing."""


def quote_order(context: OrderContext, order: Order) -> None:
    """Price an order whose price is missing or too old: prices change while orders wait."""
    try:
        quote = context.quoter(order.model_slug, order.inputs)
    except ApiError as error:
        context.note_read_failure(error)
        return
    except InputError:
        return  # the gate keeps saying that the price is not known
    now, ceiling_usd = context.now(), quote.ceiling_usd
    price = {"quote_usd": quote.amount_usd, "ceiling_usd": ceiling_usd, "quoted_at": now}
    if order.state == "proposed":
        price["due_at"] = now + _PRICE_SECONDS if ceiling_usd is None else None
    moves = [Move(order, "quote", price)]
    if order.state == "ordered" and _is_dearer(ceiling_usd, order.approved_usd):
        moves.append(Move(order, "propose", {"due_at": None, "hold": _why_again(order)}))
    context.ledger.apply_all(moves)


def _is_dearer(ceiling_usd: Decimal | None, approved_usd: Decimal | None) -> bool:
    return ceiling_usd is not None and approved_usd is not None and ceiling_usd > approved_usd


def _why_again(order: Order) -> str:
    return f"Its price has risen since {order.approved_by} approved {order.approved_usd:f} USD."


def submit_order(
    context: OrderContext, leases: LeaseKeeper, answers: AnswerSpool, order: Order
) -> str | None:
    """Send one admitted order to Wiro, once, and note how that ended.

    Args:
        context: the collection's orders.
        leases: holds the order, so that it is not taken for lost while it is being sent.
        answers: keeps Wiro's answer if the ledger cannot be reached.
        order: in state `submitting`, claimed by us: the intent to buy is on the books already.

    Returns:
        A notice for the tick's log, `None` if all went well.
    """
    try:
        missing = list_missing_uploads(context, order)
    except LedgerError:
        answers.keep_unsent(order)
        raise
    if missing:
        return _upload_first(context, order, missing)
    with ExitStack() as copies:
        try:
            inputs = read_inputs(context, order, copies)
            callback_url = context.callback_url(order)
        except LedgerError:
            answers.keep_unsent(order)
            raise
        except Exception as error:  # nothing was sent, whatever it is
            return _note_unreadable(context, order, error)
        try:
            # The lease is confirmed when the connection stands, right before the first byte: a
            # process that was frozen in between must not send what another one has taken over.
            submission = context.client.submit(
                order.model_slug,
                inputs,
                callback_url=callback_url,
                marker=order.marker,
                confirm=lambda: leases.confirm(order),
            )
        except Exception as error:  # whatever it is, money may depend on how it is noted
            try:
                return _note_failure(context, order, error, is_marked=callback_url is not None)
            except LedgerError:
                if isinstance(error, _NOTHING_BOUGHT):
                    answers.keep_unsent(order)
                raise
        notice = _note_task(context, answers, order, submission.task_id)
        context.listen(submission.task_id, submission.task_token)
        return notice


def note_kept_answers(context: OrderContext, answers: AnswerSpool) -> list[str]:
    """Note answers that the ledger could not take when they came. Return notices."""
    notices = []
    for answer in answers.list():
        try:
            order = context.ledger.get(answer.order_id)
        except LedgerError:
            continue  # it is still away, or is a different ledger
        if not any(
            record.marker == answer.marker
            for record in context.ledger.list_submissions(order_id=order.id)
        ):
            continue  # another ledger's answer
        if answer.task_id is None:
            if order.marker == answer.marker:
                context.ledger.note_unsent(order, due_at=context.now())
            answers.drop(answer)
            continue
        notices += _note_answer(context, answers, order, answer, answer.task_id)
    return notices


def _upload_first(context: OrderContext, order: Order, files: list[OrderFile]) -> str | None:
    """Upload what a run is to refer to, while the order is back in state `ordered`.

    A process that dies here leaves an order that is simply submitted later, not an unknown outcome.
    """
    state = context.ledger.note_unsent(
        order, due_at=context.now() + _UPLOAD_SECONDS, hold="Its files are being uploaded to Wiro."
    )
    if state != "ordered":
        return None  # it was stopped, or some other process has it
    waiting = replace(order, state="ordered", lease=None)
    try:
        upload_files(context, files)
    except (ApiError, InputError, StoreError, MediaError) as error:
        return _note_failed_upload(context, waiting, error)
    context.ledger.apply(waiting, "postpone", due_at=context.now(), hold=None)
    return None


def _note_failed_upload(context: OrderContext, order: Order, error: Exception) -> str | None:
    due_at = context.retry_at(order)
    reason = f"Its files could not be uploaded: {error}"
    match error:
        case AuthenticationRefused():
            context.close_for_user(error)
            context.ledger.apply(order, "postpone", hold=reason, due_at=context.now())
            return None
        case RequestRefused() | InputError() | MediaError():
            now = context.now()
            context.ledger.apply(order, "refuse", error=reason, ended_at=now, due_at=now)
            return f"{order.name}: {reason}"
        case RateLimited():
            due_at = context.slow_down(error)
        case NothingAccepted():
            pause = context.policy.timing.pause_seconds
            due_at = context.now() + (error.retry_after_seconds or pause)
    context.ledger.apply(order, "postpone", attempts=order.attempts + 1, hold=reason, due_at=due_at)
    return f"{order.name}: {reason}"


def _note_unreadable(context: OrderContext, order: Order, error: Exception) -> str:
    """Nothing was sent: the order ends, or waits, as for a video store that cannot be reached."""
    if isinstance(error, (InputError, MediaError)):
        context.ledger.note_refused(order, str(error))
    else:
        due_at = context.now() + context.policy.timing.pause_seconds
        context.ledger.note_unsent(order, due_at=due_at, hold=f"{type(error).__name__}: {error}")
    return f"{order.name}: {error}"


def _note_task(
    context: OrderContext, answers: AnswerSpool, order: Order, task_id: str
) -> str | None:
    answer = Answer(order.id, str(order.marker), task_id)
    for attempt in range(_TRIES_TO_NOTE):
        try:
            notices = _note_answer(context, answers, order, answer, task_id)
        except LedgerError:
            if attempt == 0:
                answers.keep(answer)
            context.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
        else:
            return notices[0] if notices else None
    return (
        f"{order.name}: the ledger cannot be reached, so Wiro's answer (task {task_id}) is kept "
        "until it can."
    )


def _note_answer(
    context: OrderContext, answers: AnswerSpool, order: Order, answer: Answer, task_id: str
) -> list[str]:
    due_at = context.pace.first_look_at(order.model_slug, context.now())
    outcome = context.ledger.note_task(order, task_id, due_at=due_at, marker=answer.marker)
    answers.drop(answer)
    match outcome:
        case "noted" | "known":
            return []
        case "taken":
            return [f"{order.name}: its task {task_id} was adopted by another order."]
        case "extra":
            return [
                f"{order.name} already had a task, or had ended, when task {task_id} was "
                "made for it as well. That task is on the books as an order of its own."
            ]


def _note_failure(  # noqa: C901, each error is one rule about money
    context: OrderContext, order: Order, error: Exception, *, is_marked: bool
) -> str | None:
    timing, now, ledger = context.policy.timing, context.now(), context.ledger
    match error:
        case AuthenticationRefused():
            # The next order would fare the same: the account waits, and tries one now and then.
            context.close_for_user(error)
            ledger.note_unsent(order, due_at=now, hold=str(error))
            return None
        case InsufficientBalance():
            until = now + timing.refused_pause_seconds
            context.gate.close(until=until, reason=str(error), problem="balance")
            ledger.note_unsent(order, due_at=now, hold=str(error))
            return None
        case RequestRefused() if is_marked and "callback" in str(error).lower():
            reason = f"Wiro refused the marker of our runs: {error}"
            context.gate.stop_marking(reason)
            ledger.note_unsent(order, due_at=now, hold=str(error))
            return f"{reason} Runs go without one from now on; see identify_runs."
        case RequestRefused() | InputError():
            ledger.note_refused(order, str(error))
        case ConcurrencyLimitReached():
            ledger.note_unsent(order, due_at=now, hold=str(error))
            until = now + timing.slots_seconds
            if context.gate.learn_slots(error.limit, until=until, reason=str(error)):
                context.gate.close(until=now + timing.pause_seconds, reason=str(error))
        case SubmissionWithdrawn():
            ledger.note_unsent(order, due_at=now)
        case RateLimited():
            context.slow_down(error)
            ledger.note_unsent(order, due_at=now, hold=str(error))
        case NothingAccepted():
            # The gate first: in between, no process may find it open and the order due again.
            seconds = error.retry_after_seconds or timing.pause_seconds
            context.gate.close(until=now + seconds, reason=str(error))
            ledger.note_unsent(order, due_at=now, hold=str(error))
        case OutcomeUnknown():
            _look_first(context, order, str(error))
        case _:
            # Not an error we know: it may have come after Wiro accepted the run.
            _look_first(context, order, f"{type(error).__name__} while submitting")
    return f"{order.name}: {error}"


def _look_first(context: OrderContext, order: Order, reason: str) -> None:
    """The run may have been accepted, so Wiro's list is searched before anything else."""
    now = context.now()
    due_at = now + context.policy.timing.recover_first_seconds
    with suppress(LedgerError):  # if it is away, the lease ends and the order becomes unknown
        context.ledger.apply(order, "lose", lost_since=now, looks=0, error=reason, due_at=due_at)
