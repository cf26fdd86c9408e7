"""Dagster's event log as evidence of what was bought: it outlives the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from wiro_dagster.defs.event_log import list_materializations
from wiro_dagster.defs.metadata import TASK_ID_KEY
from wiro_dagster.defs.report import Reporter
from wiro_dagster.media import MediaFacts
from wiro_dagster.orders import OrderContext
from wiro_dagster.orders.evidence import EventLog
from wiro_dagster.orders.witness import contradict
from wiro_dagster.store import VideoStore

_AMOUNTS = {"quote_usd": "wiro/quote_usd", "cost_usd": "wiro/cost_usd"}


def hear_event_log(reporter: Reporter) -> None:
    """Let the event log say whether it knows more than the ledger, once for each process.

    Only a ledger that was replaced before the process began can be older than its own events.
    """
    context = reporter.desk.context

    def hear() -> bool:
        identity = context.ledger.identity()
        reasons = (
            contradict(identity, witness, where="Dagster's event log")
            for witness in _list_witnesses(reporter.instance, context)
        )
        reason = next((reason for reason in reasons if reason is not None), None)
        context.ledger.note_witness("events", reason)
        return True

    reporter.collection.cache.get(("heard", context.collection, context.ledger.engine.url), hear)


def find_events(reporter: Reporter) -> EventLog:
    """Read what the event log says of a reporter's collection."""
    return read_event_log(reporter.instance, reporter.desk.context)


def read_event_log(instance: dg.DagsterInstance, context: OrderContext) -> EventLog:
    """Read what the event log says of a collection.

    Raises:
        StoreError: the store cannot say which of the videos it has.
    """
    key = dg.AssetKey.from_user_string(context.collection)
    partitions = instance.get_materialized_partitions(key)
    seen: set[str] = set()
    videos = []
    for record in list_materializations(instance, key, partitions):
        event, partition = record.asset_materialization, record.partition_key
        if event is None or partition is None or partition in seen:
            continue
        seen.add(partition)
        values = {name: entry.value for name, entry in event.metadata.items()}
        videos += list(_read_video(values, partition, context))
    return EventLog(tuple(videos), tuple(_list_witnesses(instance, context)))


def _list_witnesses(
    instance: dg.DagsterInstance, context: OrderContext
) -> Iterator[Mapping[str, Any]]:
    """Yield the ledger of the newest video's event, if there is one."""
    key = dg.AssetKey.from_user_string(context.collection)
    for record in instance.fetch_materializations(key, limit=1).records:
        event = record.asset_materialization
        metadata = {} if event is None else event.metadata
        if "wiro/ledger_id" in metadata:
            yield {
                "ledger_id": metadata["wiro/ledger_id"].value,
                "sequence": metadata["wiro/ledger_sequence"].value,
            }


def _read_video(
    values: Mapping[str, Any], partition: str, context: OrderContext
) -> Iterator[Mapping[str, Any]]:
    """Yield the note of a video, if the event says enough of it and its files are in the store."""
    uris = values.get("wiro/files") or [values.get("dagster/uri")]
    files = [_find_file(context.store, str(uri), values) for uri in uris]
    inputs = values.get("wiro/inputs")
    if not isinstance(inputs, dict) or not all(files):
        return
    amounts = {name: values.get(key) for name, key in _AMOUNTS.items()}
    yield {
        "collection": context.collection,
        "partition": partition,
        "account": context.account,
        "model_slug": values.get("wiro/model"),
        "inputs": inputs,
        "fingerprint": values.get("wiro/fingerprint"),
        "take": values.get("wiro/take", 1),
        "prompt_input": "prompt" if "prompt" in inputs else None,
        "task_id": values.get(TASK_ID_KEY),
        "queue_seconds": values.get("wiro/queue_seconds"),
        "elapsed_seconds": values.get("wiro/elapsed_seconds"),
        "files": files,
        **{name: None if amount is None else str(amount) for name, amount in amounts.items()},
    }


def _find_file(store: VideoStore, uri: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a file that an event names, as an order's note has it; `None` if it is gone."""
    base = store.uri_for("x").removesuffix("x")
    key = uri.removeprefix(base)
    size_bytes = store.find_size(key) if uri.startswith(base) else None
    is_first = uri == values.get("dagster/uri")
    if size_bytes is None or (
        "wiro/files" not in values and size_bytes != values.get("wiro/size_bytes")
    ):
        return None
    media = MediaFacts(
        "video" if values.get("wiro/duration_seconds") else "file",
        duration_seconds=values.get("wiro/duration_seconds"),
        width=values.get("wiro/width"),
        height=values.get("wiro/height"),
    )
    return {
        "key": key,
        "uri": uri,
        "size_bytes": size_bytes,
        "sha256": values.get("wiro/sha256") if is_first else None,
        "content_type": None,
        "media": media.to_json(),
    }
