"""Task/List in worlds in which it ignores the request, or leaves tasks out."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from wiro_dagster.emulator.chance import happens
from wiro_dagster.emulator.task import Task

_DEFAULT_LIMIT = 20
_LEFT_OUT_SHARE = 1 / 3


@dataclass(frozen=True)
class PageWanted:
    """The page of Task/List that a caller asks for.

    Args:
        order: by id.
        start: how many tasks to pass over.
        limit: how many to show at most.
    """

    order: Literal["ASC", "DESC"]
    start: int
    limit: int


def page_shown(wanted: PageWanted, worlds: Container[str]) -> PageWanted:
    """Return the page that is shown instead."""
    if "list_ascending" in worlds:
        wanted = replace(wanted, order="ASC")
    if "list_ignores_limit" in worlds:
        wanted = replace(wanted, limit=_DEFAULT_LIMIT)
    if "list_ignores_start" in worlds:
        wanted = replace(wanted, start=0)
    return wanted


def tasks_shown(tasks: Sequence[Task], worlds: Container[str], now: float) -> list[Task]:
    """Return the tasks of a page that are shown."""
    if "list_empty" in worlds:
        return []
    if "list_leaves_out" in worlds:
        return [task for task in tasks if not happens(_LEFT_OUT_SHARE, int(now), task.number)]
    return list(tasks)


def total_shown(total: int, worlds: Container[str]) -> int:
    """Return the number of tasks that the list claims to have."""
    return 1 if "list_total_wrong" in worlds else total
