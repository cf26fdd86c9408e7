"""Collecting for a run: the files of finished orders, a few at once, which the run then reports."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from functools import partial

from wiro_dagster.ledger import Order, OrderState
from wiro_dagster.orders.collect import collect_order
from wiro_dagster.orders.steps import Steps, notices_of
from wiro_dagster.orders.worker_pool import WorkerPool

UNCOLLECTED: tuple[OrderState, ...] = ("finished",)
"""Wiro has the files, and we do not yet."""

_LOOKS_A_HEARTBEAT = 3


def collect_batch(
    steps: Steps,
    pool: WorkerPool,
    collections: Sequence[str],
    *,
    limit: int,
    run_id: str,
    heartbeat_seconds: float,
) -> Generator[list[str], None, None]:
    """Collect finished orders that no run waits for, until none is due.

    The run is noted as their waiter, so that it can report their videos itself. If it dies, its
    claims and its signs of life end, and others take the orders over.

    Args:
        steps: claims the orders.
        pool: runs the downloads.
        collections: whose orders.
        limit: how many at most.
        run_id: of the run.
        heartbeat_seconds: how long a sign of life lasts.

    Yields:
        Notices, after every order that is done and once more at the end.
    """
    ledger, taken = steps.context.ledger, list[Order]()
    try:
        while True:
            claimed = _claim(steps, collections, min(limit - len(taken), pool.free))
            taken += claimed
            until = ledger.clock() + heartbeat_seconds
            if claimed:
                ledger.register_waiter([order.id for order in claimed], run_id, until=until)
            for order in claimed:
                step = partial(collect_order, steps.context, steps.leases, order)
                steps.start(pool, [order], partial(notices_of, step))
            under_way = pool.list_unfinished()
            pause = heartbeat_seconds / _LOOKS_A_HEARTBEAT
            wait(under_way, timeout=pause, return_when=FIRST_COMPLETED)
            for failure in pool.take_failures():
                raise failure
            until = ledger.clock() + heartbeat_seconds
            ledger.keep_waiting([order.id for order in taken], run_id, until=until)
            yield pool.take_notices()
            if not under_way:
                return
    finally:
        # If the run was terminated, others fetch what is left once the claims have expired.
        for order in taken:
            steps.leases.release(order)


def _claim(steps: Steps, collections: Sequence[str], limit: int) -> list[Order]:
    if limit == 0:
        return []
    return steps.claim(collections, UNCOLLECTED, limit, unwaited=True, oldest_task_first=True)
