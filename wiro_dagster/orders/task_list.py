"""Wiro's list of tasks, and what it takes to believe what is absent from it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from wiro_dagster.api.types import Task, TaskPage
from wiro_dagster.errors import NotFound, OutcomeUnknown
from wiro_dagster.orders.context import OrderContext

PAGE = 100
_MAXIMUM_PAGES = 100
_TRIES_A_PAGE = 4


@dataclass(frozen=True)
class Listing:
    """Wiro's newest tasks, back to some time.

    Args:
        tasks: newest first, each once.
        doubts: why the list may be incomplete; empty if it has proved itself complete.
    """

    tasks: tuple[Task, ...]
    doubts: tuple[str, ...]


def list_page(context: OrderContext, start: int, *, tries: int = _TRIES_A_PAGE) -> TaskPage:
    """Read one page; an empty list is an empty page.

    Raises:
        ApiError: the page cannot be read now.
    """
    try:
        return context.client.list_tasks(start=start, limit=PAGE)
    except NotFound:
        return TaskPage(total=0, tasks=())  # the list is empty
    except OutcomeUnknown:
        # One spoiled page must not spoil a list of many: reading it again costs nothing.
        if tries == 1:
            raise
        return list_page(context, start, tries=tries - 1)


def list_tasks_since(
    context: OrderContext,
    created_after: float,
    *,
    expected: Collection[str] = (),
    younger_than: float | None = None,
) -> Listing:
    """Read Wiro's list, newest first, until its tasks are older than `created_after`.

    Args:
        context: of the account.
        created_after: unix seconds, by Wiro's clock.
        expected: ids of tasks that a complete list must show.
        younger_than: by Wiro's clock; a list that is up to date shows an expected task younger
            than this.

    Raises:
        ApiError: a page cannot be read now.
    """
    tasks: dict[str, Task] = {}
    totals: list[int] = []
    doubts: list[str] = []
    start, reached_back = 0, False
    for _ in range(_MAXIMUM_PAGES):
        page = list_page(context, start)
        totals.append(page.total)
        known_before = len(tasks)
        tasks |= {task.id: task for task in page.tasks}
        # A page's length says nothing: Wiro may give fewer than it is asked for.
        start += page.length
        if page.unreadable:
            doubts.append("some of its entries cannot be read")
        newest = max((task.created_at for task in page.tasks if task.created_at), default=None)
        if page.length == 0 or start >= page.total:
            reached_back = True
            break
        if newest is not None and newest < created_after:
            reached_back = True
            break
        if len(tasks) == known_before:
            doubts.append("it shows the same page again and again")
            break
    if not reached_back:
        doubts.append("it does not reach back far enough")
    found = tuple(tasks.values())
    doubts += _why_incomplete(found, totals, start, expected, younger_than)
    return Listing(found, tuple(doubts))


def _why_incomplete(
    tasks: tuple[Task, ...],
    totals: list[int],
    read: int,
    expected: Collection[str],
    younger_than: float | None,
) -> list[str]:
    doubts = []
    times = [task.created_at for task in tasks if task.created_at is not None]
    if any(later > earlier for earlier, later in pairwise(times)):
        doubts.append("it is not in order")
    if len(times) < len(tasks):
        doubts.append("some of its tasks have no time")
    if totals and read > max(totals):
        doubts.append("its total does not fit")
    listed = {task.id for task in tasks}
    wanted = set(expected)
    missing = [task_id for task_id in expected if task_id not in listed]
    if missing:
        doubts.append(f"it does not show task {missing[0]}, which exists")
    if not expected:
        doubts.append("it shows no task that we know")
    if younger_than is not None:
        known = [task.created_at for task in tasks if task.id in wanted and task.created_at]
        if not any(time > younger_than for time in known):
            doubts.append("it shows no task of ours that is younger than the lost one")
    return doubts
