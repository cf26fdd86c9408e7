"""The result of collecting an order's files: stored, or to be tried again, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from wiro_dagster.errors import ApiError, DownloadError, StoreError, WiroError
from wiro_dagster.ledger import Order, ProblemKind
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.evidence import note_or_warn

_SURE_ATTEMPTS = 4
"""How many tries it takes to believe that Wiro no longer has a file."""


def renew_outputs(context: OrderContext, order: Order) -> Order:
    """Ask Task/Detail for fresh URLs before every further try: signed ones expire."""
    if order.attempts == 0:
        return order
    try:
        task = context.client.get_task(str(order.task_id))
    except ApiError:
        return order  # the URLs that we have may still work
    if not task.outputs:
        return order
    return replace(order, outputs=tuple(output.model_dump() for output in task.outputs))


def note_stored(context: OrderContext, order: Order, files: Sequence[Mapping[str, Any]]) -> None:
    """Note that an order's files are in the store, there and in the ledger."""
    # The store first: if the ledger is lost right after, the video is still known to be owned.
    note_or_warn(context, order, files)
    context.ledger.apply(
        order,
        "store",
        files=list(files),
        error=None,
        hold=None,
        attempts=0,
        due_at=context.now(),
    )
    context.end_problem("hosts")
    context.end_problem("store")


def note_not_collected(context: OrderContext, order: Order, error: Exception) -> str:
    """Note that an order's files could not be fetched. Return a notice.

    A fault of configuration or of the store ends nothing: everything continues once it is fixed,
    however long that takes. It also pauses buying, unless it concerns this one file (its size).
    Only what Wiro itself no longer has is written off.
    """
    now, timing = context.now(), context.policy.timing
    reason = str(error) if isinstance(error, WiroError) else f"{type(error).__name__}: {error}"
    if _forbids_this_file(error):
        pass
    elif getattr(error, "is_configuration", False):
        kind: ProblemKind = "store" if isinstance(error, StoreError) else "hosts"
        until = now + timing.refused_pause_seconds
        context.gate.close(until=until, reason=reason, problem=kind)
    elif isinstance(error, DownloadError) and _is_sure(context, order, reason):
        context.ledger.apply(order, "lose_files", error=reason, due_at=now)
        return f"{order.name}: the files of task {order.task_id} are no longer available: {reason}"
    context.postpone(order, error=reason)
    return f"{order.name}: the files of task {order.task_id} could not be fetched yet: {reason}"


def _forbids_this_file(error: Exception) -> bool:
    return isinstance(error, DownloadError) and error.is_configuration and error.is_final


def _is_sure(context: OrderContext, order: Order, reason: str) -> bool:
    """Whether Wiro has said the same for long enough, with no different fault in between."""
    waited = context.now() - (order.ended_at or context.now())
    is_repeated = order.attempts + 1 >= _SURE_ATTEMPTS and order.error == reason
    return is_repeated and waited > context.policy.timing.sure_gone_seconds
