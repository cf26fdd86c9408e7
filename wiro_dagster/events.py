"""From an order to what Dagster's event log says of it. Owns the metadata keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from wiro_dagster.errors import InputError
from wiro_dagster.ledger import Order
from wiro_dagster.prompts import PromptFile, SchemaChange

CODE_VERSION = "1"
"""Of `video_order` and `video`. Raised when the same inputs would give another video."""

TASK_ID_KEY = "wiro/task_id"
ORDERS_CHECK = "orders_succeeded"
PROMPTS_CHECK = "prompts_valid"

_NAMED_FAILURES = 5
_LISTED_FAILURES = 200

# A runless event carries the provenance that a run would have added by itself. These are the
# tags that Dagster reads it from.
_DATA_VERSION = "dagster/data_version"
_DATA_VERSION_IS_OURS = "dagster/data_version_is_user_provided"
_CODE_VERSION = "dagster/code_version"


def order_metadata(order: Order) -> dict[str, Any]:
    """What was asked for: metadata of a `video_order` materialization, and part of a video's."""
    quote = {} if order.quote_usd is None else {"wiro/quote_usd": float(order.quote_usd)}
    return {
        "wiro/prompt": order.prompt,
        "wiro/model": order.model_slug,
        **quote,
        "wiro/inputs": dg.MetadataValue.json(dict(order.inputs)),
        "wiro/take": order.take,
        "wiro/order_id": order.id,
        "wiro/fingerprint": order.fingerprint,
    }


def video_metadata(order: Order, *, preview: str | None = None) -> dict[str, Any]:
    """All that is known of an owned video, under the keys that the README lists.

    Args:
        order: in state `stored` or `delivered`.
        preview: markdown that shows the video moving.
    """
    first = order.files[0]
    media: Mapping[str, Any] = first.get("media") or {}
    uris = [file["uri"] for file in order.files]
    # In the order in which the UI shows them: what a person looks for first comes first.
    metadata: dict[str, Any] = {
        "wiro/preview": None if preview is None else dg.MetadataValue.md(preview),
        "wiro/cost_usd": None if order.cost_usd is None else float(order.cost_usd),
        "dagster/uri": first["uri"],
        "wiro/files": dg.MetadataValue.json(uris) if len(uris) > 1 else None,
        "wiro/output_urls": _output_urls(order),
        "wiro/duration_seconds": media.get("duration_seconds"),
        "wiro/width": media.get("width"),
        "wiro/height": media.get("height"),
        "wiro/size_bytes": sum(file["size_bytes"] for file in order.files),
        "wiro/queue_seconds": order.queue_seconds,
        "wiro/elapsed_seconds": order.elapsed_seconds,
        "wiro/ended_at": _timestamp(order.ended_at),
        **order_metadata(order),
        TASK_ID_KEY: dg.MetadataValue.text(str(order.task_id)),
        "wiro/sha256": first["sha256"],
    }
    return {key: value for key, value in metadata.items() if value is not None}


def _output_urls(order: Order) -> dg.MetadataValue[Any]:
    urls = [output["url"] for output in order.outputs if output.get("url")]
    if len(urls) == 1:
        return dg.MetadataValue.url(urls[0])
    return dg.MetadataValue.json(urls)


def _timestamp(seconds: float | None) -> Any:
    if seconds is None:
        return None
    return dg.MetadataValue.timestamp(datetime.fromtimestamp(seconds, tz=timezone.utc))


def order_materialization(order: Order, asset_key: dg.AssetKey) -> dg.AssetMaterialization:
    """`video_order[partition]`: we asked for it; it may cost the quote."""
    return dg.AssetMaterialization(
        asset_key=asset_key,
        partition=order.partition,
        metadata=order_metadata(order),
        tags=_provenance(order),
    )


def video_materialization(
    order: Order, asset_key: dg.AssetKey, *, preview: str | None = None
) -> dg.AssetMaterialization:
    """`video[partition]`: we own it; it cost this much.

    Args:
        order: in state `stored` or `delivered`.
        asset_key: the video asset's.
        preview: markdown that shows the video moving.
    """
    return dg.AssetMaterialization(
        asset_key=asset_key,
        partition=order.partition,
        metadata=video_metadata(order, preview=preview),
        tags=_provenance(order),
    )


def _provenance(order: Order) -> dict[str, str]:
    return {
        _DATA_VERSION: order.fingerprint,
        _DATA_VERSION_IS_OURS: "true",
        _CODE_VERSION: CODE_VERSION,
    }


def prompts_check(
    prompts: PromptFile, order_key: dg.AssetKey, changes: Sequence[SchemaChange] = ()
) -> dg.AssetCheckEvaluation:
    """Check `prompts_valid` on `video_order`: whether every entry of the file can be ordered.

    Args:
        prompts: the file's content.
        order_key: the order asset's key.
        changes: what Wiro has changed of its models; they are told, and fail nothing by themselves.
    """
    problems = [str(problem) for problem in prompts.problems]
    told = "\n\n".join(map(str, changes))
    more = {"wiro/model_changes": dg.MetadataValue.md(told)} if changes else {}
    return _prompts_check(problems, len(prompts.prompts), order_key, more)


def unreadable_check(error: InputError, order_key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """The same check where the prompt file cannot be read at all."""
    return _prompts_check(list(error.problems), 0, order_key)


def _prompts_check(
    problems: Sequence[str],
    right: int,
    order_key: dg.AssetKey,
    more: Mapping[str, dg.MetadataValue[Any]] | None = None,
) -> dg.AssetCheckEvaluation:
    metadata: dict[str, Any] = {
        "wiro/prompts": right,
        "wiro/problems": len(problems),
        **(more or {}),
    }
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems[:_LISTED_FAILURES])
        metadata["wiro/problem_list"] = dg.MetadataValue.md(listed)
    return dg.AssetCheckEvaluation(
        asset_key=order_key,
        check_name=PROMPTS_CHECK,
        passed=not problems,
        description=(
            f"{len(problems)} problems; {right} prompts are right and not held up."
            if problems
            else f"{right} prompts, all right."
        ),
        metadata=metadata,
    )


def orders_check(failed: Sequence[Order], order_key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """Check `orders_succeeded` on `video_order`: which partitions have no video, and why.

    It is not a check of single partitions: Dagster stores a runless evaluation of a partitioned
    check once for each partition, and refuses the next one.

    Args:
        failed: the orders that stand for their partitions and ended without a video.
        order_key: the order asset's key.
    """
    metadata: dict[str, Any] = {"wiro/failed_orders": len(failed)}
    if failed:
        metadata["wiro/failures"] = dg.MetadataValue.json(
            {order.partition: describe_state(order) for order in failed[-_LISTED_FAILURES:]}
        )
    names = ", ".join(f'"{order.partition}"' for order in failed[-_NAMED_FAILURES:])
    more = " and others" if len(failed) > _NAMED_FAILURES else ""
    return dg.AssetCheckEvaluation(
        asset_key=order_key,
        check_name=ORDERS_CHECK,
        passed=not failed,
        description=(
            f"{len(failed)} partitions have no video, because their orders failed or were "
            f"cancelled: {names}{more}. Materialize video_order to order them again."
            if failed
            else "No order has failed."
        ),
        metadata=metadata,
    )


def failure_observation(order: Order, asset_key: dg.AssetKey) -> dg.AssetObservation:
    """On a partition: why there is no new video. Nothing else shows a failure that had no run.

    Args:
        order: ended without a video.
        asset_key: whose partition.
    """
    metadata: dict[str, Any] = {
        "wiro/order_id": order.id,
        "wiro/state": order.state,
        "wiro/model": order.model_slug,
        "wiro/reason": order.error or "",
    }
    if order.task_id is not None:
        metadata[TASK_ID_KEY] = dg.MetadataValue.text(order.task_id)
    if order.cost_usd is not None:
        metadata["wiro/cost_usd"] = float(order.cost_usd)
    return dg.AssetObservation(
        asset_key=asset_key,
        partition=order.partition,
        description=describe_state(order),
        metadata=metadata,
    )


def describe_state(order: Order) -> str:
    """How an order stands, for people, ending with what can be done where something can."""
    cost = "" if order.cost_usd is None else f" Wiro charged {order.cost_usd:f} USD."
    reason = order.error or "no reason given"
    match order.state:
        case "ordered":
            return f"Waits: {order.hold}" if order.hold else "Ordered; not submitted yet."
        case "submitting":
            return "Being submitted."
        case "unknown":
            return "The answer to the submission was lost; it is being looked up at Wiro."
        case "running":
            return f"Under way at Wiro as task {order.task_id} ({order.task_status or 'new'})."
        case "finished":
            late = f" Last try: {order.error}" if order.error else ""
            return f"Made by task {order.task_id}; being fetched.{late}"
        case "stored" | "delivered":
            return f"Owned: task {order.task_id}, verified in the video store.{cost}"
        case "uncollected":
            return (
                f"Paid for, but task {order.task_id}'s files could not be fetched: {reason}{cost} "
                f"Try again with: wiro-dagster orders recover {order.id}"
            )
        case "cancelled":
            return f"Cancelled: {reason}{cost} Materialize video_order to order it again."
        case "failed":
            return f"Failed: {reason}{cost} Materialize video_order to order it again."


def find_order_events(
    instance: dg.DagsterInstance, order_key: dg.AssetKey, orders: Collection[Order]
) -> dict[int, int]:
    """Storage ids of the `video_order` materializations behind these orders, by order id."""
    wanted = {(order.partition, order.fingerprint): order.id for order in orders}
    found: dict[int, int] = {}
    for record in _records(instance, order_key, {order.partition for order in orders}):
        event = record.asset_materialization
        if event is None or record.partition_key is None:
            continue
        version = (event.tags or {}).get(_DATA_VERSION, "")
        order_id = wanted.get((record.partition_key, version))
        if order_id is not None:
            found.setdefault(order_id, record.storage_id)
    return found


def find_reported_tasks(
    instance: dg.DagsterInstance, video_key: dg.AssetKey, orders: Collection[Order]
) -> dict[str, str]:
    """For each partition of these orders, the task id of its newest video materialization."""
    newest: dict[str, str] = {}
    for record in _records(instance, video_key, {order.partition for order in orders}):
        event = record.asset_materialization
        if event is None or record.partition_key is None:
            continue
        task_id = event.metadata.get(TASK_ID_KEY)
        newest.setdefault(record.partition_key, str(task_id.value) if task_id else "")
    return newest


def find_video_uris(
    instance: dg.DagsterInstance, video_key: dg.AssetKey, partitions: Collection[str]
) -> dict[str, str]:
    """For each of these partitions that has a video, the URI in its newest materialization."""
    newest: dict[str, str] = {}
    for record in _records(instance, video_key, partitions):
        event = record.asset_materialization
        uri = None if event is None else event.metadata.get("dagster/uri")
        if uri is not None and record.partition_key is not None:
            newest.setdefault(record.partition_key, str(uri.value))
    return newest


def _records(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions: Collection[str]
) -> list[dg.EventLogRecord]:
    """All materializations of some partitions, the newest first."""
    if not partitions:
        return []
    wanted = dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=sorted(partitions))
    records: list[dg.EventLogRecord] = []
    cursor = None
    while True:
        page = instance.fetch_materializations(wanted, limit=1000, cursor=cursor)
        records += page.records
        if not page.has_more:
            return records
        cursor = page.cursor
