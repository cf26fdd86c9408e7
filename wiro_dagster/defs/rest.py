"""Rest: while no order is under way and the ledger does not change, a tick has nothing to do."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.order_cursor import OrderCursor
from wiro_dagster.orders import OrderDesk

_LONGEST_SECONDS = 285.0
"""How long ticks are skipped at most: audits and costs that were not stated become due by time."""


@dataclass(frozen=True)
class Rest:
    """What the last tick of an idle collection left behind.

    Args:
        desk: which moves the orders.
        cursor: of the sensor.
        stamp: of the ledger.
        until: by the monotonic clock, when to look again in any case. No two rests share it.
        summary: the tick's text.
    """

    desk: OrderDesk
    cursor: OrderCursor
    stamp: Hashable
    until: float
    summary: str


def note_rest(
    collection: VideoCollection,
    desk: OrderDesk,
    after: OrderCursor,
    summary: str,
    *,
    stamp: Hashable | None,
) -> None:
    """Note at the end of a tick that did and reported nothing that the next ones may be skipped.

    Args:
        collection: whose orders.
        desk: which moves them.
        after: the cursor that the tick leaves behind.
        summary: the tick's text.
        stamp: of the ledger, before the tick. If it has changed since, another process is at work.
    """
    ledger = desk.ledger
    is_open = after.unjudged or after.lease or desk.orphans or desk.find_problem() is not None
    if is_open or stamp is None or stamp != ledger.find_stamp():
        return
    if not ledger.count_unsettled(collection.ledger_name):
        until = collection.timing.monotonic() + _LONGEST_SECONDS
        rest = Rest(desk, after, stamp, until, summary)
        collection.cache.put(("rest", collection.ledger_name), rest)


def find_rest(
    collection: VideoCollection, before: OrderCursor, desk: OrderDesk | None = None
) -> Rest | None:
    """Return the rest because of which a tick may be skipped; `None` if there may be work.

    Args:
        collection: whose orders.
        before: what the last tick reported.
        desk: of this tick; `None` if all ticks have the same.
    """
    rest = find_standing_rest(collection)
    if rest is None or (desk or rest.desk) is not rest.desk or rest.cursor != before:
        return None
    return _hold(collection, rest)


def _hold(collection: VideoCollection, rest: Rest) -> Rest | None:
    """Note now and then that the desk works for its collection, which ends no rest by itself."""
    rest.desk.hold()
    stamp = rest.desk.ledger.find_stamp()
    if stamp == rest.stamp:
        return rest
    # Another process may have written as well: asked after the stamp was taken, this tells.
    has_orders = rest.desk.ledger.count_unsettled(collection.ledger_name)
    if stamp is None or has_orders or rest.desk.orphans:
        return None
    held = replace(rest, stamp=stamp)
    collection.cache.put(("rest", collection.ledger_name), held)
    return held


def find_standing_rest(collection: VideoCollection) -> Rest | None:
    """Return the rest of a collection's orders if nothing has ended it."""
    rest = collection.cache.find(("rest", collection.ledger_name), Rest)
    if rest is None or collection.timing.monotonic() >= rest.until:
        return None
    return rest if rest.stamp == rest.desk.ledger.find_stamp() else None
