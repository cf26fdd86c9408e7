"""A closer look at one task: Task/Detail, which judges what Wiro's list leaves open."""

from __future__ import annotations

from contextlib import suppress

from wiro_dagster.api.types import Task
from wiro_dagster.errors import ApiError, NotFound, RateLimited, RequestRefused
from wiro_dagster.ledger import FOLLOWED, Cost, Order, SubmissionRecord
from wiro_dagster.ledger.identity import find_marker
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.judge import Judgement, is_stated, judge_task, why_stop

_LOOKS_IF_GONE = 5
"""How often a cost is read again, over an hour or more, if Wiro does not show its task."""


def look_at_order(context: OrderContext, order: Order) -> list[str]:
    """Read one order's task and note what that changes. Return notices.

    A task that is past its deadline, or was asked to stop, is stopped here.

    Args:
        context: of the account.
        order: in state `running` or `settling`.
    """
    try:
        task = context.client.get_task(str(order.task_id))
    except NotFound as error:
        return _note_not_found(context, order, error)
    except ApiError as error:
        context.note_read_failure(error)
        until = context.now() + context.policy.timing.look_maximum_seconds
        due_at = until if isinstance(error, RateLimited) else min(context.retry_at(order), until)
        context.ledger.apply(
            order, "observe", due_at=due_at, attempts=order.attempts + 1, hold=str(error)
        )
        return []
    context.end_problem("reads")
    now, wiro_now, policy = context.now(), context.wiro_now(), context.policy
    judgement = judge(context, order, task, now=now)
    reason = order.stop_reason or why_stop(order, task, wiro_now=wiro_now, policy=policy)
    if reason is None or task.is_ended:
        context.ledger.apply(order, judgement.transition, cost=judgement.cost, **judgement.records)
        return []
    doubt = _find_doubt(context, task)
    # Another process may have seen the end since this one read the task.
    if doubt is None and context.ledger.get(order.id).state in FOLLOWED:
        stop_task(context, task)
    # No answer is trusted: the next looks show whether the task has ended, and how. A task that
    # cannot be stopped is asked less and less often.
    longest = now + policy.timing.look_maximum_seconds
    context.ledger.apply(
        order,
        judgement.transition,
        **{
            **judgement.records,
            "stop_reason": reason,
            "stop_state": order.stop_state or "failed",
            "hold": doubt,
            "due_at": min(context.retry_at(order), longest),
            "attempts": order.attempts + 1,
        },
    )
    if doubt is not None:
        return [] if order.hold == doubt else [f"{order.name}: {doubt}"]
    if order.stop_reason is None:
        return [f"{order.name}: task {order.task_id} is being stopped. {reason}"]
    return []


def _find_doubt(context: OrderContext, task: Task) -> str | None:
    """Return why a task may be another user's; `None` if it is certainly the order's.

    Without a marker it may have been adopted by its inputs, until the user accepts it.
    """
    if find_marker(task.callback_url) is not None:
        return None
    if all(stray.task_id != task.id for stray in context.ledger.list_strays(context.account)):
        return None
    return (
        f"Task {task.id} is not stopped: it was adopted because its inputs are equal, and may be "
        f"another user's. If it is yours: wiro-dagster audit --accept {task.id}"
    )


def judge(context: OrderContext, order: Order, task: Task, *, now: float) -> Judgement:
    """Judge what a task shows, by the rules, Wiro's clock and the pace of its account."""
    return judge_task(
        order,
        task,
        now=now,
        wiro_now=context.wiro_now(),
        policy=context.policy,
        first_look_at=context.first_look_at(order),
    )


def stop_task(context: OrderContext, task: Task) -> None:
    """Cancel a queued task or kill a running one; try the other call if the first is refused."""
    first, second = context.client.cancel_task, context.client.kill_task
    if task.state != "queued":
        first, second = second, first
    try:
        first(task.id)
    except RequestRefused:
        with suppress(ApiError):
            second(task.id)
    except ApiError:
        return


def recheck_cost(context: OrderContext, record: SubmissionRecord) -> list[str]:
    """Read a cost again that was not stated: at delivery, an hour and a day later.

    A stated cost is read once more if Wiro's list has not shown its task by then.
    """
    ledger, schedule = context.ledger, context.policy.timing.cost_recheck_seconds
    done, is_known = record.rechecks + 1, record.cost_usd is not None
    if is_known and record.listed_at is not None:
        ledger.note_recheck(record.id, recheck_at=None)
        return []
    recheck_at = None
    if done < len(schedule) and not is_known:
        recheck_at = context.now() + schedule[done] - schedule[done - 1]
    try:
        task = context.client.get_task(str(record.task_id))
    except NotFound:
        task = None
        # Wiro may forget a task for minutes, and bill it all the same.
        if recheck_at is None and done < len(schedule) + _LOOKS_IF_GONE:
            recheck_at = context.now() + context.policy.timing.look_maximum_seconds * 2**done
    except ApiError as error:
        context.note_read_failure(error)
        pause = context.policy.timing.look_maximum_seconds
        ledger.postpone_recheck(record.id, recheck_at=context.now() + pause)
        return []
    order, stated = ledger.get(record.order_id), None
    if task is not None and is_stated(task, order.ceiling_usd):
        recheck_at = None if is_known else context.now() + schedule[-1]
        stated = order, Cost(task.cost_usd, has_ended=True, recheck_at=recheck_at)
    ledger.note_recheck(record.id, recheck_at=recheck_at, stated=stated)
    if stated is not None or recheck_at is not None or is_known:
        return []
    return [
        f"Order {record.order_id}: Wiro does not state the cost of task {record.task_id}. Its "
        "ceiling stays committed in the budget."
    ]


def _note_not_found(context: OrderContext, order: Order, error: NotFound) -> list[str]:
    """Keep looking, less and less often: Wiro may forget a task for minutes, and still bill it.

    What stands still is reported by the check `orders_moving`; only the user gives such a task up.
    """
    now = context.now()
    lost_since = order.lost_since or now
    pause = context.policy.timing.retry_seconds(order.attempts + 1, context.random.random())
    context.ledger.apply(
        order,
        "observe",
        lost_since=lost_since,
        attempts=order.attempts + 1,
        hold=f"Wiro does not show task {order.task_id} now: {error}",
        due_at=now + pause,
    )
    return []
