"""When a task is in which status: a pure function of its script and the time of its Run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wiro_dagster.emulator.task_script import TaskScript

# Status, and the share of the task's time that has passed when it is reached.
LADDER: tuple[tuple[str, float], ...] = (
    ("task_queue", 0.00),
    ("task_accept", 0.10),
    ("task_preprocess_start", 0.14),
    ("task_preprocess_end", 0.18),
    ("task_assign", 0.22),
    ("task_start", 0.28),
    ("task_output", 0.34),
    ("task_output_full", 0.84),
    ("task_end", 0.88),
    ("task_postprocess_start", 0.92),
    ("task_postprocess_end", 1.00),
)
TERMINAL = frozenset({"task_postprocess_end", "task_cancel"})


@dataclass(frozen=True, slots=True)
class Moment:
    """From `at` (unix seconds) on, the task has this status."""

    status: str
    at: float


Timeline = tuple[Moment, ...]


def build_timeline(
    script: TaskScript, created_at: float, *, task_seconds: float, queue_seconds: float
) -> Timeline:
    """Return the whole course of a task without a cancel or kill."""
    queue = queue_seconds if script.queue_seconds is None else script.queue_seconds
    run = task_seconds if script.run_seconds is None else script.run_seconds
    moments = [
        Moment(status, created_at + (queue if share else 0.0) + share * run)
        for status, share in LADDER
    ]
    moments = _with_unknown_status(moments, script)
    moments = _with_task_error(moments, script, run)
    kept = [
        moment
        for moment in moments
        if moment.status not in script.skip or moment.status in TERMINAL
    ]
    if script.outcome == "cancelled_with_cost":
        kept[-1] = Moment("task_cancel", kept[-1].at)
    return tuple(kept)


def _with_unknown_status(moments: list[Moment], script: TaskScript) -> list[Moment]:
    if script.unknown_status is None:
        return moments
    place = [moment.status for moment in moments].index("task_output_full")
    between = (moments[place - 1].at + moments[place].at) / 2
    return [*moments[:place], Moment(script.unknown_status, between), *moments[place:]]


def _with_task_error(moments: list[Moment], script: TaskScript, run: float) -> list[Moment]:
    if script.outcome == "stuck":
        return _up_to(moments, script.stuck_at)
    if script.outcome == "task_error":
        before = _up_to(moments, "task_accept")
        return [*before, Moment("task_error", before[-1].at + 0.04 * run)]
    if script.outcome == "task_error_recovers":
        # Failed before it ran, waits for a requeue, then takes the ladder again.
        before = _up_to(moments, "task_accept")
        failed_at = before[-1].at + 0.04 * run
        later = [Moment(moment.status, moment.at + 0.5 * run) for moment in moments[1:]]
        requeued = Moment("task_queue", failed_at + 0.3 * run)
        return [*before, Moment("task_error", failed_at), requeued, *later]
    return moments


def _up_to(moments: Iterable[Moment], status: str) -> list[Moment]:
    kept = []
    for moment in moments:
        kept.append(moment)
        if moment.status == status:
            break
    return kept


def ends_at(timeline: Timeline) -> float | None:
    """Return when the task ends; None if it never does."""
    last = timeline[-1]
    return last.at if last.status in TERMINAL else None


def status_at(timeline: Timeline, now: float) -> str:
    """Return the status at that time."""
    present = timeline[0].status
    for moment in timeline:
        if moment.at > now:
            break
        present = moment.status
    return present


def reached_at(timeline: Timeline, status: str, now: float) -> float | None:
    """Return when the status was last reached, if it was by now."""
    reached = None
    for moment in timeline:
        if moment.at > now:
            break
        if moment.status == status:
            reached = moment.at
    return reached


def cut_short(timeline: Timeline, status: str, *, now: float, at: float) -> Timeline:
    """Return the course so far, then another status from `at` on, and nothing after it."""
    return (*(moment for moment in timeline if moment.at <= now), Moment(status, at))
