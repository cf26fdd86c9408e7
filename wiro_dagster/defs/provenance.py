"""Which prompt a materialization was made from, as Dagster's staleness is judged by.

The asset `prompt` has no code of its own: Dagster is told of it by observations, one for each new
text, whose data version is the prompt's fingerprint. Materializations that no run writes, or that a
run writes for one of several partitions, must name the observation they are based on themselves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import dagster as dg

from wiro_dagster.defs.asset_files import find_newest
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.event_log import find_order_events
from wiro_dagster.ledger import Order
from wiro_dagster.prompts import Prompt

_DATA_VERSION = "dagster/data_version"
_DATA_VERSION_IS_OURS = "dagster/data_version_is_user_provided"
_INPUT_DATA_VERSION = "dagster/input_data_version/"
_INPUT_EVENT = "dagster/input_event_pointer/"
# What Dagster itself writes of an input that was never materialized, or has no data version.
_NO_DATA_VERSION = "INITIAL"
_NO_EVENT = "NULL"
_PARTITIONS_AT_ONCE = 1000
_RECORDS_AT_ONCE = 1000

ReportObservation = Callable[[dg.AssetObservation], object]


def build_prompt_spec(collection: VideoCollection) -> dg.AssetSpec:
    """The asset `prompt`: what Dagster is told of the prompts, so that it sees them change."""
    upstream = collection.source.asset_key
    return dg.AssetSpec(
        key=collection.prompt_key,
        deps=[] if upstream is None else [upstream],
        partitions_def=collection.partitions,
        group_name=collection.group_name,
        kinds={"wiro"},
        owners=list(collection.owners),
        tags=dict(collection.tags),
        description=(
            f"A prompt of {collection.source.name}: text, model and inputs. The sensor observes "
            "each new text; what was made from an earlier one is out of date then."
        ),
    )


def observe_prompts(
    instance: dg.DagsterInstance,
    collection: VideoCollection,
    prompts: Iterable[Prompt],
    report: ReportObservation,
    *,
    deadline: float = math.inf,
) -> int:
    """Tells the event log of prompts whose last observed text is another, or that have none.

    Args:
        instance: keeps the event log.
        collection: whose prompts.
        prompts: as they are now.
        report: writes one observation.
        deadline: by the monotonic clock, when to start no more.

    Returns:
        How many are left that it does not know of yet.
    """
    now = {prompt.id: prompt for prompt in prompts}
    versions = _find_versions(instance, collection.prompt_key, now)
    untold = [prompt for prompt in now.values() if versions.get(prompt.id) != prompt.fingerprint]
    for count, prompt in enumerate(untold):
        if time.monotonic() > deadline:
            return len(untold) - count
        report(_observation(prompt, collection.prompt_key))
    return 0


def _observation(prompt: Prompt, asset_key: dg.AssetKey) -> dg.AssetObservation:
    return dg.AssetObservation(
        asset_key=asset_key,
        partition=prompt.id,
        metadata={
            "wiro/prompt": prompt.text,
            "wiro/model": prompt.model_slug,
            "wiro/take": prompt.take,
            "wiro/fingerprint": prompt.fingerprint,
        },
        tags={_DATA_VERSION: prompt.fingerprint, _DATA_VERSION_IS_OURS: "true"},
    )


def order_inputs(
    instance: dg.DagsterInstance, collection: VideoCollection, orders: Collection[Order]
) -> dict[int, dict[str, str]]:
    """Tags that name what `video_order` was materialized from, by order id."""
    tags = _prompt_inputs(instance, collection, orders)
    for asset_key in collection.input_keys:
        newest = find_newest(instance, asset_key, {order.partition for order in orders})
        for order in orders:
            tags[order.id] |= _asset_tags(asset_key, newest.get(order.partition))
    return tags


def _prompt_inputs(
    instance: dg.DagsterInstance, collection: VideoCollection, orders: Collection[Order]
) -> dict[int, dict[str, str]]:
    """Tags that name the prompts, by order id."""
    found = _find_observations(instance, collection.prompt_key, orders)
    return {
        order.id: _input_tags(collection.prompt_key, order, found.get(order.id)) for order in orders
    }


def video_inputs(
    instance: dg.DagsterInstance, collection: VideoCollection, orders: Collection[Order]
) -> dict[int, dict[str, str]]:
    """Tags that name the prompts and orders which `video` was materialized from, by order id."""
    prompts = _prompt_inputs(instance, collection, orders)
    events = find_order_events(instance, collection.order_key, orders)
    return {
        order.id: prompts[order.id] | _input_tags(collection.order_key, order, events.get(order.id))
        for order in orders
    }


def _asset_tags(upstream: dg.AssetKey, record: dg.EventLogRecord | None) -> dict[str, str]:
    event = None if record is None else record.asset_materialization
    tags = {} if event is None else event.tags or {}
    name = upstream.to_user_string()
    return {
        _INPUT_DATA_VERSION + name: tags.get(_DATA_VERSION, _NO_DATA_VERSION),
        _INPUT_EVENT + name: _NO_EVENT if record is None else str(record.storage_id),
    }


def _input_tags(upstream: dg.AssetKey, order: Order, event: int | None) -> dict[str, str]:
    if event is None:
        return {}
    name = upstream.to_user_string()
    return {_INPUT_DATA_VERSION + name: order.fingerprint, _INPUT_EVENT + name: str(event)}


def add_tags(event: dg.AssetMaterialization, tags: Mapping[str, str]) -> dg.AssetMaterialization:
    """The same materialization with more tags."""
    return dg.AssetMaterialization(
        asset_key=event.asset_key,
        description=event.description,
        partition=event.partition,
        metadata=event.metadata,
        tags={**(event.tags or {}), **tags},
    )


def _find_versions(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions: Collection[str]
) -> dict[str, str]:
    """The last observed data version of each partition that was ever observed."""
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
    """Storage ids of the newest observations of what these orders ask for, by order id."""
    wanted = {(order.partition, order.fingerprint): order.id for order in orders}
    found: dict[int, int] = {}
    for some in _chunks(sorted({order.partition for order in orders})):
        missing = {key for key in wanted if key[0] in set(some)}
        for partition, version, storage_id in _observations(instance, asset_key, some):
            if (partition, version) in missing:
                found[wanted[partition, version]] = storage_id
                missing.discard((partition, version))
                if not missing:
                    break
    return found


def _observations(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions: Sequence[str]
) -> Iterator[tuple[str, str, int]]:
    """Partition, data version and storage id of the observations, the newest first."""
    wanted = dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=list(partitions))
    cursor = None
    while True:
        page = instance.fetch_observations(wanted, limit=_RECORDS_AT_ONCE, cursor=cursor)
        for record in page.records:
            event = record.asset_observation
            if event is not None and event.partition is not None:
                yield event.partition, (event.tags or {}).get(_DATA_VERSION, ""), record.storage_id
        if not page.has_more:
            return
        cursor = page.cursor


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _PARTITIONS_AT_ONCE):
        yield keys[start : start + _PARTITIONS_AT_ONCE]
