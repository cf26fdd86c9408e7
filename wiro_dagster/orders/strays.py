"""Tasks that no submission explains by their id: ours by their marker, others', or strays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wiro_dagster.api.types import Task
from wiro_dagster.errors import ApiError, NotFound
from wiro_dagster.ledger import Stray
from wiro_dagster.ledger.identity import Marker, find_marker
from wiro_dagster.orders.context import OrderContext

_DETAILS = 10
"""How many tasks without a callback in the list are read by Task/Detail at once."""


@dataclass(frozen=True)
class Origin:
    """The origin of a task.

    Args:
        task: as Wiro shows it.
        marker: a marker that a ledger made, if it carries one.
        is_ours: whether this ledger made the marker.
        is_foreign: whether it carries a callback that no ledger made.
    """

    task: Task
    marker: Marker | None
    is_ours: bool
    is_foreign: bool


def find_origin(context: OrderContext, task: Task, *, closer: bool) -> Origin:
    """Find the origin of a task.

    Args:
        context: of the account.
        task: as the list shows it.
        closer: read Task/Detail if the list shows no callback: the list may leave it out.

    Raises:
        ApiError: Task/Detail cannot be read now.
    """
    url = task.callback_url
    marker = find_marker(url)
    if marker is None and closer:
        try:
            url = context.client.get_task(task.id).callback_url
        except NotFound:
            url = None
        marker = find_marker(url)
    is_ours = marker is not None and context.ledger.is_own_marker(marker)
    return Origin(task, marker, is_ours, is_foreign=bool(url) and not is_ours)


def explain_strays(context: OrderContext, tasks: Sequence[Task]) -> list[str]:
    """Explain tasks that no submission has, and note those that nothing explains.

    Args:
        context: of the account.
        tasks: as the list shows them.

    Returns:
        Notices.
    """
    known = {stray.task_id for stray in context.ledger.list_strays(context.account)}
    known |= {stray.task_id for stray in context.ledger.list_strays(context.account, accepted=True)}
    since = context.ledger.identity().created_at + (context.client.clock_offset_seconds or 0.0)
    notices: list[str] = []
    strays: list[Stray] = []
    details = _DETAILS
    foreign: list[Stray] = []
    for task in tasks:
        is_older = task.created_at is not None and task.created_at < since - 1
        if task.id in known or (is_older and find_marker(task.callback_url) is None):
            continue  # what was there before this ledger is not ours to explain
        try:
            origin = find_origin(context, task, closer=details > 0)
        except ApiError:
            continue  # looked at again with the next sweep
        details -= origin.marker is None
        if origin.is_ours and origin.marker is not None:
            notices += adopt_marked(context, task, origin.marker)
        else:
            stray = Stray(task.id, task.model_slug, task.cost_usd, task.created_at)
            (foreign if origin.is_foreign else strays).append(stray)
    if foreign:  # known from now on, so that they are read only once
        context.ledger.note_strays(context.account, foreign)
        theirs = [stray.task_id for stray in foreign]
        context.ledger.accept_strays(context.account, theirs, "carries a callback of others")
    if strays and not _has_unanswered(context):
        context.ledger.note_strays(context.account, strays)
        ids = ", ".join(stray.task_id for stray in strays)
        notices.append(
            f"No order explains these tasks of the account: {ids}. See `wiro-dagster audit`."
        )
    return notices


def adopt_marked(context: OrderContext, task: Task, marker: Marker) -> list[str]:
    """Give a task to the submission whose marker it carries: that is its identity."""
    found = context.ledger.find_marked(context.account, marker.text)
    if found is None:
        reason = (
            f"Task {task.id} carries a marker of this ledger that is not on its books: the ledger "
            "was restored from an older copy. Nothing is bought until it is rebuilt. Run "
            "`wiro-dagster ledger rebuild`."
        )
        context.ledger.note_witness("task", reason)
        return [reason]
    order = context.ledger.get(found.order_id)
    outcome = context.ledger.note_task(order, task.id, due_at=context.now(), marker=marker.text)
    match outcome:
        case "noted":
            return [f"{order.name}: its lost answer was task {task.id}, which is adopted."]
        case "extra":
            return [
                f"{order.name}: Wiro made a second task of it, {task.id}. Its cost and files are "
                "on the books as an order of its own."
            ]
        case "known" | "taken":
            return []


def _has_unanswered(context: OrderContext) -> bool:
    """Whether a POST is under way whose task may be the one that seems unexplained."""
    if context.identify_runs and context.gate.find_unmarked_reason() is None:
        return False
    return bool(context.ledger.list_unanswered(context.account))
