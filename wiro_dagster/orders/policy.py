"""When to do what: timings of an order's steps, and what a polled task means for its order.

Everything here is pure: values in, values out. All times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

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
        lease_seconds: how soon others take up what a process was at when it fell silent. A living
            one keeps what it is at, however long that takes.
        first_look_seconds: when a lost answer is first looked up.
        look_again_seconds: the shortest pause between two looks.
        resubmit_after_seconds: an unknown outcome is taken for "nothing was bought" when Wiro's
            list of tasks has not shown the task for this long. Listing may lag behind.
        clock_skew_seconds: how far Wiro's clock may be from ours.
        not_found_grace_seconds: how long Wiro may go on not knowing a task that it accepted.
        pause_seconds: how long nothing is submitted when nothing can be accepted and Wiro does
            not say how long to wait.
        refused_pause_seconds: how long nothing is submitted after Wiro refused the credentials or
            the balance.
        slots_seconds: how long Wiro's limit of concurrent tasks is believed.
        run_deadline_seconds: a task that runs longer is killed; queue time does not count.
        error_deadline_seconds: a task that stays in `task_error` longer is given up.
        download_retry_maximum_seconds: the longest pause between two tries to fetch a file.
        download_give_up_seconds: how long after a task ended to go on trying.
        max_file_bytes: larger output files are refused.
        superseded: what becomes of a task under way whose prompt has changed: it is kept, and its
            video is there when somebody goes back, or it is cancelled.
        files_at_wiro: what becomes of a task's inputs and outputs at Wiro once its files are
            stored and verified. What is deleted there cannot be fetched again.
        local_files: how files of this machine and of the video store reach Wiro: attached to each
            run, or uploaded once for each content, so that any number of runs refer to them.
            Uploads stay among the account's files, whatever `files_at_wiro` says.
        upload_reuse_seconds: how long an upload is referred to. Wiro does not say how long it
            keeps files.
        model_max_age_seconds: how old what Wiro says of a model may be when its prompts are read
            and priced.
    """

    first_poll_seconds: float = 3.0
    poll_minimum_seconds: float = 3.0
    poll_maximum_seconds: float = 30.0
    poll_growth: float = 0.15
    lease_seconds: float = 60.0
    first_look_seconds: float = 2.0
    look_again_seconds: float = 10.0
    resubmit_after_seconds: float = 900.0
    clock_skew_seconds: float = 900.0
    not_found_grace_seconds: float = 600.0
    pause_seconds: float = 15.0
    refused_pause_seconds: float = 60.0
    slots_seconds: float = 30.0
    run_deadline_seconds: float = 3600.0
    error_deadline_seconds: float = 1800.0
    download_retry_maximum_seconds: float = 600.0
    download_give_up_seconds: float = 86400.0
    max_file_bytes: int = 2 * 1024**3
    superseded: Literal["keep", "cancel"] = "keep"
    files_at_wiro: Literal["keep", "delete"] = "keep"
    local_files: Literal["attach", "upload"] = "attach"
    upload_reuse_seconds: float = 7 * 86400.0
    model_max_age_seconds: float = 3600.0

    def believes_size(self, seconds_since_end: float) -> bool:
        """Whether a file must still be as long as Wiro announced.

        A cut file can decode to its end, so the number counts at first. When no download has
        matched it for half the time that there is, the number is wrong, and a video that decodes is
        worth more.
        """
        return seconds_since_end < self.download_give_up_seconds / 2

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

    def look_again_after(self, waited_seconds: float) -> float:
        """How long to wait for the next look for a task that has been lost for so long."""
        pause = max(self.look_again_seconds, waited_seconds * self.poll_growth)
        left = self.resubmit_after_seconds - waited_seconds
        return min(pause, left) if left > 0 else pause


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
        "progress_percent": task.progress_percent,
        "polls": order.polls + 1,
        "attempts": 0,
        "lost_since": None,
        "queue_seconds": _queue_seconds(order, task, now),
        "elapsed_seconds": task.elapsed_seconds,
    }
    if task.state in ("queued", "running"):  # an end without an exit code is not known yet
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
        # Files that Wiro shows all the same can still be had: `wiro-dagster orders recover`.
        files = [asdict(output) for output in task.outputs]
        state = order.stop_state or "cancelled"
        reason = order.stop_reason or "Cancelled at Wiro."
        return {**seen, "state": state, "outputs": files, "error": reason}
    reason = task.failure_reason or f"Wiro gave no reason (exit code {task.exit_code})."
    return {**seen, "state": "failed", "error": reason}


def _queue_seconds(order: Order, task: Task, now: float) -> float | None:
    """How long the task waited: as Wiro says, or as it looks while Wiro does not say."""
    if task.queue_seconds is not None or task.state == "queued":
        return task.queue_seconds
    if order.queue_seconds is not None:
        return order.queue_seconds
    return max(0.0, now - (task.created_at or order.submitted_at or now))


def why_stop(order: Order, task: Task, *, now: float, policy: OrderPolicy) -> str | None:
    """Why a running task is to be given up, or `None` where it is to go on."""
    if task.is_ended:
        return None
    last_seen = f'last seen as "{task.status}"'
    started = task.started_at
    if started is None and task.state != "queued" and order.queue_seconds is not None:
        # It has left the queue, but is stuck before its start.
        started = (task.created_at or order.submitted_at or now) + order.queue_seconds
    if started is not None and now - started > policy.run_deadline_seconds:
        return (
            f"The task ran longer than its deadline of {policy.run_deadline_seconds:g} s "
            f"({last_seen})."
        )
    created = task.created_at or order.submitted_at or now
    if task.has_error_status and now - created > policy.error_deadline_seconds:
        detail = f": {task.failure_reason}" if task.failure_reason else ""
        return (
            f"The task stayed in error for {policy.error_deadline_seconds:g} s "
            f"({last_seen}){detail}"
        )
    return None


def count_surplus(order: Order, task: Task) -> int | None:
    """How many inputs a task of Wiro's list has beyond those of an order; 0 = it is its equal.

    Wiro may have added defaults, so a surplus does not rule a task out. Inputs that are files
    cannot be compared: Wiro shows where it put them, not their bytes.

    Returns:
        `None` where the task has another model, or another value of one of the order's inputs.
    """
    if task.model_slug is not None and task.model_slug.lower() != order.model_slug.lower():
        return None
    files = [file for value in order.inputs.values() for file in _list_files(value)]
    # An uploaded file is under the name that takes its URL, among other URLs perhaps.
    url_inputs = {file.get("url_input") for file in files}
    for name, value in order.inputs.items():
        if _list_files(value) or name in url_inputs:
            continue
        if _as_sent(task.inputs.get(name)) != _as_sent(value):
            return None
    surplus = task.inputs.keys() - order.inputs.keys() - url_inputs
    return sum(1 for name in surplus if _as_sent(task.inputs[name]))


def _list_files(value: object) -> list[Mapping[str, Any]]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, Mapping)]


def _as_sent(value: object) -> str:
    """A value as text that is the same however Wiro spells it: 5 or "5.0", one line or more."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(_as_sent(item) for item in value)
    text = "" if value is None else " ".join(str(value).split())
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return str(number.normalize()) if number.is_finite() else text
