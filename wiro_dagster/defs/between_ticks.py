"""What the process of the sensors reports between two ticks: videos that have come home.

A tick starts every half a minute, and Dagster closes its instance with it. So the process
opens the instance of DAGSTER_HOME once more for itself, and keeps it.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Hashable
from dataclasses import replace

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.contained import deliver_videos
from wiro_dagster.defs.report import Reporter
from wiro_dagster.errors import LedgerError
from wiro_dagster.orders.worker_pool import take_all

_log = logging.getLogger("wiro_dagster")


def report_between_ticks(reporter: Reporter) -> None:
    """Let the desk report videos also after this tick, if the process can.

    Args:
        reporter: of a tick of any sensor that has written to the event log, or may do so.
    """
    collection = reporter.collection
    instance = _find_own_instance(reporter) if collection.timing.awake_seconds > 0 else None
    if instance is None:
        reporter.desk.deliver_between_ticks(None)
        return
    own = replace(reporter, instance=instance, write=instance.report_runless_asset_event)
    shown = _find_shown(collection)

    def deliver() -> int:
        try:
            order_ids = deliver_videos(own)
        except LedgerError:
            raise
        except Exception:  # the next tick shows them, or says why it cannot
            _log.warning("Videos could not be shown between ticks.", exc_info=True)
            return 0
        shown.extend(order_ids)
        return len(order_ids)

    reporter.desk.deliver_between_ticks(deliver)


def take_shown(collection: VideoCollection) -> list[int]:
    """Return the ids of orders whose videos were reported between ticks, since the last call."""
    return take_all(_find_shown(collection))


def _find_shown(collection: VideoCollection) -> deque[int]:
    return collection.cache.get(("shown between ticks", collection.ledger_name), deque[int])


def _find_own_instance(reporter: Reporter) -> dg.DagsterInstance | None:
    """Return an instance that outlives the tick, if it is the tick's.

    DAGSTER_HOME of a code location need not be that of the daemon. Two instances are taken for the
    same if both know the same first prompt, or the same first order.
    """
    own = reporter.collection.cache.get("own instance", _open_own_instance)
    if own is None:
        return None
    for key in (reporter.collection.prompt_key, reporter.collection.order_key):
        first = _find_first(reporter.instance, key)
        if first is not None:
            return own if first == _find_first(own, key) else None
    return None


def _open_own_instance() -> dg.DagsterInstance | None:
    if not os.environ.get("DAGSTER_HOME"):
        return None
    try:
        return dg.DagsterInstance.get()
    except Exception:  # a home that the daemon does not use need not be a right one
        return None


def _find_first(instance: dg.DagsterInstance, key: dg.AssetKey) -> Hashable | None:
    for record in instance.fetch_materializations(key, limit=1, ascending=True).records:
        return record.storage_id, record.timestamp, record.partition_key
    return None
