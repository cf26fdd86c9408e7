"""Lineage tags: which version of its inputs a materialization was made from.

Dagster writes these tags only for what a step returns. An event that a sensor reports, or that a
run logs for one of several partitions, must carry them itself, or Dagster does not know whether its
partition is out of date.

`prompt` has no code: the sensor observes each new text, with the prompt's fingerprint as the data
version.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import dagster as dg

from wiro_dagster.defs.asset_files import find_newest
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.event_log import OrderEvent
from wiro_dagster.defs.metadata import DATA_VERSION_TAG
from wiro_dagster.ledger import Order

_INPUT_DATA_VERSION = "dagster/input_data_version/"
_INPUT_EVENT = "dagster/input_event_pointer/"
# What Dagster writes for an input that was never materialized, or that has no data version.
_NO_DATA_VERSION = "INITIAL"
_NO_EVENT = "NULL"
_PARTITIONS_AT_ONCE = 1000
_RECORDS_AT_ONCE = 1000


def order_lineage_tags(
    instance: dg.DagsterInstance, collection: VideoCollection, orders: Collection[Order]
) -> dict[int, dict[str, str]]:
    """Return the tags that name what `video_order` was made from, by order id."""
    observed = _find_observations(instance, collection.prompt_key, orders)
    tags = {
        order.id: _input_tags(collection.prompt_key, order.prompt_version, observed.get(order.id))
        for order in orders
    }
    for asset_key in collection.input_keys:
        newest = find_newest(instance, asset_key, {order.partition for order in orders})
        for order in orders:
            tags[order.id] |= _asset_tags(asset_key, newest.get(order.partition))
    return tags


def video_lineage_tags(
    collection: VideoCollection, orders: Collection[Order], events: Mapping[int, OrderEvent]
) -> dict[int, dict[str, str]]:
    """Return the tags that name the prompt and order that `video` was made from, by order id.

    Args:
        collection: whose orders.
        orders: whose videos are reported.
        events: their `video_order` materializations, which name the prompt's observation.
    """
    observed = _INPUT_EVENT + collection.prompt_key.to_user_string()
    tags: dict[int, dict[str, str]] = {order.id: {} for order in orders}
    for order in orders:
        event, version = events.get(order.id), order.prompt_version
        if event is not None:
            made_from = event.tags.get(observed)
            tags[order.id] |= _input_tags(collection.prompt_key, version, made_from)
            tags[order.id] |= _input_tags(collection.order_key, version, event.storage_id)
    return tags


def newest_tags(instance: dg.DagsterInstance, upstream: dg.AssetKey) -> dict[str, str]:
    """Return the tags that name the newest materialization of an asset, in any partition."""
    records = instance.fetch_materializations(upstream, limit=1).records
    return _asset_tags(upstream, records[0] if records else None)


def _asset_tags(upstream: dg.AssetKey, record: dg.EventLogRecord | None) -> dict[str, str]:
    event = None if record is None else record.asset_materialization
    tags = {} if event is None else event.tags or {}
    name = upstream.to_user_string()
    return {
        _INPUT_DATA_VERSION + name: tags.get(DATA_VERSION_TAG, _NO_DATA_VERSION),
        _INPUT_EVENT + name: _NO_EVENT if record is None else str(record.storage_id),
    }


def _input_tags(upstream: dg.AssetKey, version: str, event: int | str | None) -> dict[str, str]:
    if event is None:
        return {}
    name = upstream.to_user_string()
    return {_INPUT_DATA_VERSION + name: version, _INPUT_EVENT + name: str(event)}


def find_observed_versions(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions: Collection[str]
) -> dict[str, str]:
    """Return the last observed data version of each partition that has one."""
    versions: dict[str, str] = {}
    for some in _chunks(sorted(partitions)):
        missing = set(some)
        for partition, version, _ in _observations(instance, asset_key, some):
            if partition in missing:
                versions[partition] = version
                missing.discard(partition)
                if not missing:
                    break
    return versions


def _find_observations(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, orders: Collection[Order]
) -> dict[int, int]:
    """Return the storage id of the newest observation of each order's prompt, by order id."""
    # The takes of a prompt are made from one observation.
    wanted: dict[tuple[str, str], list[int]] = defaultdict(list)
    for order in orders:
        wanted[order.partition, order.prompt_version].append(order.id)
    found: dict[int, int] = {}
    versions: dict[str, set[str]] = defaultdict(set)
    for partition, version in wanted:
        versions[partition].add(version)
    for some in _chunks(sorted(versions)):
        missing = {(partition, version) for partition in some for version in versions[partition]}
        for partition, version, storage_id in _observations(instance, asset_key, some):
            if (partition, version) in missing:
                found |= dict.fromkeys(wanted[partition, version], storage_id)
                missing.discard((partition, version))
                if not missing:
                    break
    return found


def _observations(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions: Sequence[str]
) -> Iterator[tuple[str, str, int]]:
    """Iterate over partition, data version and storage id of observations, newest first."""
    wanted = dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=list(partitions))
    cursor = None
    while True:
        page = instance.fetch_observations(wanted, limit=_RECORDS_AT_ONCE, cursor=cursor)
        for record in page.records:
            event = record.asset_observation
            if event is not None and event.partition is not None:
                version = (event.tags or {}).get(DATA_VERSION_TAG, "")
                yield event.partition, version, record.storage_id
        if not page.has_more:
            return
        cursor = page.cursor


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _PARTITIONS_AT_ONCE):
        yield keys[start : start + _PARTITIONS_AT_ONCE]
