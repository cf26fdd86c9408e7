"""Read Dagster's event log: which orders and videos it already has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import dagster as dg

from wiro_dagster.defs.metadata import DATA_VERSION_TAG, TASK_ID_KEY
from wiro_dagster.ledger import Order

_PARTITIONS_AT_ONCE = 1000
_RECORDS_AT_ONCE = 1000


class OrderEvent(NamedTuple):
    """What a materialization of `video_order` says of lineage: its number in the log, its tags."""

    storage_id: int
    tags: Mapping[str, str]


def find_order_events(
    instance: dg.DagsterInstance, order_key: dg.AssetKey, orders: Collection[Order]
) -> dict[int, OrderEvent]:
    """Return each order's newest `video_order` materialization, by order id.

    The takes of a prompt share it.
    """
    wanted: dict[tuple[str, str], list[int]] = defaultdict(list)
    for order in orders:
        wanted[order.partition, order.prompt_version].append(order.id)
    found: dict[int, OrderEvent] = {}
    for record in list_materializations(instance, order_key, {order.partition for order in orders}):
        event = record.asset_materialization
        if event is None or record.partition_key is None:
            continue
        found_event = OrderEvent(record.storage_id, event.tags or {})
        version = found_event.tags.get(DATA_VERSION_TAG, "")
        for order_id in wanted.get((record.partition_key, version), ()):
            found.setdefault(order_id, found_event)
    return found


def find_reported_tasks(
    instance: dg.DagsterInstance, video_key: dg.AssetKey, orders: Collection[Order]
) -> dict[str, str]:
    """Return the task id of the newest video materialization, by partition."""
    newest: dict[str, str] = {}
    for record in list_materializations(instance, video_key, {order.partition for order in orders}):
        event = record.asset_materialization
        if event is None or record.partition_key is None:
            continue
        task_id = event.metadata.get(TASK_ID_KEY)
        newest.setdefault(record.partition_key, str(task_id.value) if task_id else "")
    return newest


def find_video_uris(
    instance: dg.DagsterInstance, video_key: dg.AssetKey, partitions: Collection[str]
) -> dict[str, str]:
    """Return the URI of the newest video materialization, by partition."""
    newest: dict[str, str] = {}
    for record in list_materializations(instance, video_key, partitions):
        event = record.asset_materialization
        uri = None if event is None else event.metadata.get("dagster/uri")
        if uri is not None and record.partition_key is not None:
            newest.setdefault(record.partition_key, str(uri.value))
    return newest


def list_materializations(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions: Collection[str]
) -> Iterator[dg.EventLogRecord]:
    """Iterate over the materializations of some partitions; of each partition, the newest first."""
    keys = sorted(partitions)
    for start in range(0, len(keys), _PARTITIONS_AT_ONCE):
        some = keys[start : start + _PARTITIONS_AT_ONCE]
        wanted = dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=some)
        cursor, has_more = None, True
        while has_more:
            page = instance.fetch_materializations(wanted, limit=_RECORDS_AT_ONCE, cursor=cursor)
            yield from page.records
            cursor, has_more = page.cursor, page.has_more
