"""Reports of several orders, of which one that cannot be written harms no other."""

from __future__ import annotations

import math
from collections.abc import Collection

import dagster as dg

from wiro_dagster.defs.ended import claim_ended
from wiro_dagster.defs.report import Reporter
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Order

_DELIVERED_AT_ONCE = 50
"""If the process dies, at most this many videos wait for the end of a lease."""

_SLOW_SECONDS = 0.2
"""How long a report may take on a busy machine. What is claimed is reported, late or not."""


def deliver_videos(
    reporter: Reporter, *, run_id: str | None = None, deadline: float = math.inf
) -> list[int]:
    """Report some of the videos that are in the store. Return the ids of their orders.

    The sensor does so while its tick works on, and not with its result: the daemon would write them
    one by one when the tick is over, and nothing else would move until then.

    Args:
        reporter: of the collection.
        run_id: the run that collected them, if one did.
        deadline: by the monotonic clock, when to be done, more or less.
    """
    collection = reporter.collection
    seconds_left = deadline - collection.timing.monotonic()
    fitting = max(1.0, seconds_left / _SLOW_SECONDS)
    claimed = claim_ended(
        reporter,
        collection.ledger_name,
        collection.video_key,
        ["stored"],
        limit=int(min(_DELIVERED_AT_ONCE, fitting)),
        run_id=run_id,
    )
    ids = write_videos(reporter, claimed)
    reporter.desk.ledger.mark_reported(ids)
    return ids


def write_videos(reporter: Reporter, orders: Collection[Order]) -> list[int]:
    """Write the materializations of stored orders. Return the ids of those that are written.

    An order whose event cannot be built or written waits ever longer, and says why.
    """
    try:
        events = reporter.build_videos(orders)
    except LedgerError:
        raise
    except Exception as error:
        if len(orders) > 1:
            return [order_id for order in orders for order_id in write_videos(reporter, [order])]
        _postpone(reporter, next(iter(orders)), error)
        return []
    written = []
    for order, event in zip(orders, events, strict=True):
        try:
            reporter.write(event)
        except Exception as error:
            _postpone(reporter, order, error)
        else:
            written.append(order.id)
    return written


def build_failures(reporter: Reporter, orders: Collection[Order]) -> list[dg.AssetObservation]:
    """Build the observations of orders that ended without a video; postpone one that fails."""
    events: list[dg.AssetObservation] = []
    for order in orders:
        try:
            events += reporter.build_failures(order)
        except LedgerError:
            raise
        except Exception as error:
            _postpone(reporter, order, error)
    return events


def _postpone(reporter: Reporter, order: Order, error: Exception) -> None:
    hold = f"It could not be reported in Dagster: {type(error).__name__}: {error}"
    reporter.desk.context.postpone(order, hold=hold)
