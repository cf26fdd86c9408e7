"""When to do what: timings of an order's steps, and what a polled task means for its order.

Everything here is pure: values in, values out. All times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from wiro_dagster.api.types import Task
from wiro_dagster.ledger import Order


@dataclass(frozen=True)
class OrderPolicy:
    """Timings of orders, in seconds.

    Args:
        first_poll_seconds: the first poll of a task, after it was submitted.
        poll_minimum_seconds: never poll a task more often than this.
        poll_maximum_seconds: nor less often than this.
        poll_growth: a task is polled again after this share of its age.
        submit_lease_seconds: how long a POST may take before its outcome counts as unknown. Keep it
            well above the client's time-outs.
        resubmit_after_seconds: an unknown outcome is taken for "nothing was bought" when Wiro's
            list of tasks has not shown the task for this long. Listing may lag behind.
        clock_skew_seconds: how far Wiro's clock may be from ours.
        not_found_grace_seconds: how long Wiro may not know a task that it just accepted.
        run_deadline_seconds: a task that runs longer is killed; queue time does not count.
        error_deadline_seconds: a task that stays in `task_error` longer is given up.
        download_retry_maximum_seconds: the longest pause between two tries to fetch a file.
        download_give_up_seconds: how long after a task ended to go on trying.
        max_file_bytes: larger output files are refused.
    """

    first_poll_seconds: float = 3.0
    poll_minimum_seconds: float = 3.0
    poll_maximum_seconds: float = 30.0
    poll_growth: float = 0.15
    submit_lease_seconds: float = 600.0
    resubmit_after_seconds: float = 900.0
    clock_skew_seconds: float = 120.0
    not_found_grace_seconds: float = 120.0
    run_deadline_seconds: float = 3600.0
    error_deadline_seconds: float = 1800.0
    download_retry_maximum_seconds: float = 600.0
    download_give_up_seconds: float = 86400.0
    max_file_bytes: int = 2 * 1024**3

    def next_poll_seconds(self, age_seconds: float, jitter: float) -> float:
        """How long to wait for the next poll of a task.

        Args:
            age_seconds: since it was submitted.
            jitter: a random number from 0 to 1, so that tasks submitted together drift apart.
        """
        step = age_seconds * self.poll_growth * (0.8 + 0.4 * jitter)
        return min(max(step, self.poll_minimum_seconds), self.poll_maximum_seconds)

    def retry_seconds(self, attempts: int, jitter: float) -> float:
        """How long to wait after the given number of failed tries at one step."""
        pause = 2.0 ** min(attempts, 12) * (0.8 + 0.4 * jitter)
        return float(min(pause, self.download_retry_maximum_seconds))


def changes_after_poll(
    order: Order, task: Task, *, now: float, jitter: float, policy: OrderPolicy
) -> dict[str, Any]:
    """What a look at a task changes in its order.

    Args:
        order: as claimed, in state `running`.
        task: as Wiro tells it now.
        now: unix seconds.
        jitter: a random number from 0 to 1.
        policy: the timings.
    """
    seen: dict[str, Any] = {
        "task_status": task.status,
        "polls": order.polls + 1,
        "attempts": 0,
        "queue_seconds": task.queue_seconds,
        "elapsed_seconds": task.elapsed_seconds,
    }
    if not task.is_ended:
        age = now - (order.submitted_at or now)
        return {**seen, "due_at": now + policy.next_poll_seconds(age, jitter)}
    seen |= {"ended_at": task.ended_at or now, "due_at": now, "cost_usd": task.cost_usd}
    if task.state == "succeeded" and task.outputs:
        files = [asdict(output) for output in task.outputs]
        return {**seen, "state": "finished", "outputs": files, "error": None}
    # Wiro bills successful runs only; where it does not state the cost, that is what it was.
    seen["cost_usd"] = task.cost_usd if task.cost_usd is not None else Decimal(0)
    if task.state == "succeeded":
        reason = "The task ended as a success, but without an output file."
        return {**seen, "state": "failed", "error": reason}
    if task.state == "cancelled":
        state = order.stop_state or "cancelled"
        return {**seen, "state": state, "error": order.stop_reason or "Cancelled at Wiro."}
    reason = task.failure_reason or f"Wiro gave no reason (exit code {task.exit_code})."
    return {**seen, "state": "failed", "error": reason}


def why_stop(order: Order, task: Task, *, now: float, policy: OrderPolicy) -> str | None:
    """Why a running task is to be given up, or `None` where it is to go on."""
    if task.is_ended:
        return None
    last_seen = f'last seen as "{task.status}"'
    if task.started_at is not None and now - task.started_at > policy.run_deadline_seconds:
        return (
            f"The task ran longer than its deadline of {policy.run_deadline_seconds:g} s "
            f"({last_seen})."
        )
    started = task.created_at or order.submitted_at or now
    if task.has_error_status and now - started > policy.error_deadline_seconds:
        detail = f": {task.failure_reason}" if task.failure_reason else ""
        return (
            f"The task stayed in error for {policy.error_deadline_seconds:g} s "
            f"({last_seen}){detail}"
        )
    return None


def is_same_request(order: Order, task: Task) -> bool:
    """Whether a task from Wiro's list has the model and the inputs of an order.

    Inputs that are local files cannot be compared: Wiro shows where it put them, not their bytes.
    """
    if task.model_slug is not None and task.model_slug.lower() != order.model_slug.lower():
        return False
    return all(
        _as_sent(task.inputs.get(name)) == _as_sent(value)
        for name, value in order.inputs.items()
        if not _holds_file(value)
    )


def _holds_file(value: object) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list) and any(isinstance(item, Mapping) for item in value)


def _as_sent(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(_as_sent(item) for item in value)
    return "" if value is None else str(value)
