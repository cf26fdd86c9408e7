"""Polling: asking Wiro how the tasks are that are due."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from wiro_dagster.api.types import Task
from wiro_dagster.errors import ApiError, NotFound, RequestRefused
from wiro_dagster.ledger import Order
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.policy import changes_after_poll, why_stop


def poll_order(context: OrderContext, order: Order) -> dict[str, Any]:
    """Looks at one order's task and says what that changes in the order.

    A task that is past its deadline, or that somebody asked to stop, is stopped here.

    Args:
        context: the collection's orders.
        order: in state `running`, claimed by us.
    """
    try:
        task = context.client.get_task(str(order.task_id))
    except NotFound as error:
        return _after_not_found(context, order, error)
    except ApiError as error:
        return {
            "due_at": context.retry_at(order),
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
    # Nobody's word is taken for it: the next poll shows whether the task has ended, and how.
    due_at = now + context.policy.poll_minimum_seconds
    stop = {"stop_reason": reason, "stop_state": order.stop_state or "failed"}
    return {**changes, **stop, "due_at": due_at, "hold": None}


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
    now = context.now()
    changes = {"attempts": order.attempts + 1, "hold": str(error)}
    if now - (order.submitted_at or now) < context.policy.not_found_grace_seconds:
        return {**changes, "due_at": now + context.policy.poll_minimum_seconds}
    return {
        **changes,
        "state": "failed",
        "ended_at": now,
        "due_at": now,
        "error": f"Wiro does not know task {order.task_id} any more: {error}",
    }
