"""What a look at a task means for its order. Pure: values in, values out.

An end is not final at first sight: Wiro may show it before outputs, exit code or cost are there.
So a task that ends is read again until they are, or have stopped changing. A success with its files
needs no second look: the files themselves are verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from wiro_dagster.api.types import Task
from wiro_dagster.ledger import Cost, Order
from wiro_dagster.orders.policy import OrderPolicy

ERROR_DEADLINE_SECONDS = 1800.0
"""A task that stays in `task_error` for longer is stopped."""


@dataclass(frozen=True)
class Judgement:
    """The step that a look at a task calls for.

    Args:
        transition: a name in the transition table.
        records: what the step records.
        cost: what was learned of the task's cost.
        is_news: whether anything has changed since the last look.
    """

    transition: str
    records: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost | None = None
    is_news: bool = True


def is_plain_success(task: Task, order: Order) -> bool:
    """Whether a task shows a success that leaves nothing open: exit code, files and cost."""
    return task.state == "succeeded" and bool(task.outputs) and is_stated(task, order.ceiling_usd)


def judge_task(
    order: Order,
    task: Task,
    *,
    now: float,
    wiro_now: float,
    policy: OrderPolicy,
    first_look_at: float = 0.0,
) -> Judgement:
    """Decide what a look at a task changes in its order.

    Args:
        order: in state `running` or `settling`.
        task: as Wiro shows it now.
        now: unix seconds, by our clock.
        wiro_now: unix seconds, by Wiro's clock.
        policy: the rules and timings.
        first_look_at: when the task is worth a look, if nothing hints at its end before.
    """
    seen = _seen(order, task, wiro_now)
    if not task.is_ended:
        return _still_running(order, seen, now, policy, first_look_at)
    ended_at = order.ended_at if order.state == "settling" else None
    seen |= {"ended_at": ended_at or now, "error": _why_no_video(order, task)}
    waited = now - (ended_at or now)
    if task.outputs:
        is_paid = task.state == "succeeded" or (task.cost_usd or Decimal(0)) > 0
        is_open = task.cost_usd is None or _may_be_success(task)
        if is_paid or (is_open and waited >= policy.timing.settle_seconds):
            # Files that were paid for are fetched, whatever the status is called.
            files = [output.model_dump() for output in task.outputs]
            fetched = {**seen, "outputs": files, "due_at": now, "error": None, "attempts": 0}
            return Judgement("succeed", fetched, _cost_of_end(order, task, now, policy))
    patience = policy.timing.settle_seconds
    if task.state == "succeeded" or not task.exit_code:
        patience = policy.timing.settle_missing_seconds
    if ended_at is None or waited < patience:
        due_at = now + policy.timing.settle_pause_seconds(waited)
        step = "observe" if order.state == "settling" else "end"
        return Judgement(step, {**seen, "due_at": due_at})
    return _without_video(order, task, {**seen, "due_at": now}, now, policy)


def _seen(order: Order, task: Task, wiro_now: float) -> dict[str, Any]:
    started_at = task.started_at or order.started_at
    if started_at is None and task.state != "queued":
        started_at = wiro_now  # by Wiro's clock, at our first sight of it
    return {
        "task_status": task.status,
        "progress_percent": task.progress_percent,
        "attempts": 0,
        "lost_since": None,
        "hold": None,
        "queue_seconds": _queue_seconds(order, task, wiro_now),
        "elapsed_seconds": task.elapsed_seconds,
        "started_at": started_at,
    }


def _still_running(
    order: Order, seen: dict[str, Any], now: float, policy: OrderPolicy, first_look_at: float
) -> Judgement:
    age = now - (order.submitted_at or now)
    records = {**seen, "due_at": now + policy.timing.next_look_seconds(age)}
    if order.state == "running":  # a look that came early, by a hint, makes no others
        records["due_at"] = max(records["due_at"], first_look_at)
    if order.state == "settling":  # the task had not ended after all
        return Judgement("resume", {**records, "ended_at": None, "error": None})
    names = ("task_status", "progress_percent", "queue_seconds", "hold")
    is_news = order.attempts > 0 or any(getattr(order, name) != seen[name] for name in names)
    return Judgement("observe", records, is_news=is_news)


def _without_video(
    order: Order, task: Task, seen: dict[str, Any], now: float, policy: OrderPolicy
) -> Judgement:
    is_cancelled = task.state == "cancelled" and order.stop_state != "failed"
    files = [output.model_dump() for output in task.outputs]
    cost = _cost_of_end(order, task, now, policy)
    return Judgement("cancel" if is_cancelled else "fail", {**seen, "outputs": files}, cost)


def _why_no_video(order: Order, task: Task) -> str:
    if task.state == "succeeded":
        return "The task ended as a success, but without an output file."
    if task.state == "cancelled":
        return order.stop_reason or "Cancelled at Wiro."
    return task.failure_reason or f"Wiro gave no reason (exit code {task.exit_code})."


def _cost_of_end(order: Order, task: Task, now: float, policy: OrderPolicy) -> Cost:
    """Return the stated cost. Without one the ceiling stays committed, and the task is read again.

    A stated cost may change, which Wiro's list shows. A task that the list does not show is read
    once more at the end.
    """
    rechecks = policy.timing.cost_recheck_seconds
    if is_stated(task, order.ceiling_usd):
        return Cost(task.cost_usd, has_ended=True, recheck_at=now + rechecks[-1])
    return Cost(None, has_ended=True, recheck_at=now + rechecks[0])


def is_stated(task: Task, ceiling_usd: Decimal | None) -> bool:
    """Whether the cost of a task that has ended can be believed.

    Only a failure or a cancellation is free, unless its model has no price. A task that is shown
    as cancelled, but with files and without the exit code of a failure, was a success.
    """
    if task.cost_usd is None or task.cost_usd > 0:
        return task.cost_usd is not None
    was_success = bool(task.outputs) and _may_be_success(task)
    return ceiling_usd == 0 or (task.state in ("failed", "cancelled") and not was_success)


def _may_be_success(task: Task) -> bool:
    return task.exit_code in (None, "0")


def _queue_seconds(order: Order, task: Task, wiro_now: float) -> float | None:
    """Return how long the task waited: as Wiro says, or as it looks while Wiro does not say."""
    if task.queue_seconds is not None or task.state == "queued":
        return task.queue_seconds
    if order.queue_seconds is not None:
        return order.queue_seconds
    return max(0.0, wiro_now - (task.created_at or wiro_now))


def why_stop(order: Order, task: Task, *, wiro_now: float, policy: OrderPolicy) -> str | None:
    """Return why a running task is to be stopped, or `None` if it is to go on.

    All times are Wiro's own, so a wrong clock on this machine kills nothing.
    """
    if task.is_ended:
        return None
    last_seen = f'last seen as "{task.status}"'
    detail = f": {task.failure_reason}" if task.has_error_status and task.failure_reason else ""
    started = task.started_at or order.started_at
    if started is not None and wiro_now - started > policy.run_deadline_seconds:
        return (
            f"The task ran longer than its deadline of {policy.run_deadline_seconds:g} s "
            f"({last_seen}){detail}"
        )
    created = task.created_at or started
    is_stuck = created is not None and wiro_now - created > ERROR_DEADLINE_SECONDS
    if task.has_error_status and is_stuck:
        return f"The task stayed in error for {ERROR_DEADLINE_SECONDS:g} s ({last_seen}){detail}"
    return None
