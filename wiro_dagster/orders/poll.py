"""Polling: asking Wiro how the tasks are that are due."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from wiro_dagster.api.types import Task
from wiro_dagster.errors import ApiError, NotFound, RateLimited, RequestRefused
from wiro_dagster.ledger import Order
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.policy import changes_after_poll, why_stop


def poll_order(context: OrderContext, order: Order) -> str | None:
    """Looks at one order's task and notes what that changes in the order.

    A task that is past its deadline, or that somebody asked to stop, is stopped here.

    Args:
        context: the collection's orders.
        order: in state `running`, claimed by us.

    Returns:
        What a person should know of it, `None` where all is as expected.
    """
    changes = _look(context, order)
    context.ledger.advance(order, **changes)
    if changes.get("stop_reason") not in (None, order.stop_reason):
        return f"{order.name}: task {order.task_id} is being stopped. {changes['stop_reason']}"
    return None


def _look(context: OrderContext, order: Order) -> dict[str, Any]:
    try:
        task = context.client.get_task(str(order.task_id))
    except NotFound as error:
        return _after_not_found(context, order, error)
    except RateLimited as error:
        return {"due_at": context.slow_down(error), "hold": str(error)}
    except ApiError as error:
        longest = context.now() + context.policy.poll_maximum_seconds
        return {
            "due_at": min(context.retry_at(order), longest),
            "attempts": order.attempts + 1,
            "hold": str(error),
        }
    now = context.now()
    changes = changes_after_poll(
        order, task, now=now, jitter=context.random.random(), policy=context.policy
    )
    reason = order.stop_reason or why_stop(order, task, now=now, policy=context.policy)
    if reason is None or task.is_ended:
        return {**changes, "hold": None}
    stop_task(context, task)
    # Nobody's word is taken for it: the next polls show whether the task has ended, and how. One
    # that cannot be stopped is asked for ever more seldom.
    soonest, latest = context.policy.poll_minimum_seconds, context.policy.poll_maximum_seconds
    return {
        **changes,
        "stop_reason": reason,
        "stop_state": order.stop_state or "failed",
        "due_at": min(max(context.retry_at(order), now + soonest), now + latest),
        "attempts": order.attempts + 1,
        "hold": None,
    }


def stop_task(context: OrderContext, task: Task) -> None:
    """Cancels a queued task or kills a running one; tries the other where the first is refused."""
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


def _after_not_found(context: OrderContext, order: Order, error: NotFound) -> dict[str, Any]:
    now, policy = context.now(), context.policy
    lost_since = order.lost_since or now
    # Another account's tasks cannot be seen with this key: that says nothing about them.
    is_ours = order.account == context.account
    if not is_ours or now - lost_since < policy.not_found_grace_seconds:
        pause = policy.next_poll_seconds(now - lost_since, context.random.random())
        return {"lost_since": lost_since, "hold": str(error), "due_at": now + pause}
    return {
        "state": "failed",
        "ended_at": now,
        "due_at": now,
        "hold": None,
        "error": f"Wiro does not know task {order.task_id} any more: {error}",
    }
