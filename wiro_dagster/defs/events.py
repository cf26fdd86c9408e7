"""From an order to what Dagster's event log says of it. Owns the metadata keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from wiro_dagster.ledger import Order

CODE_VERSION = "1"
"""Of `video_order` and `video`. Raised when the same inputs would give another video."""

TASK_ID_KEY = "wiro/task_id"
_TEXT_CHARACTERS = 1000

# A runless event carries the provenance that a run would have added by itself. These are the
# tags that Dagster reads it from.
DATA_VERSION_TAG = "dagster/data_version"
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


def video_metadata(
    order: Order, *, preview: str | None = None, link: str | None = None
) -> dict[str, Any]:
    """All that is known of an owned video, under the keys that the README lists.

    Args:
        order: in state `stored` or `delivered`.
        preview: markdown that shows the video moving.
        link: a URL that plays it.
    """
    first = order.files[0]
    media: Mapping[str, Any] = first.get("media") or {}
    uris = [file["uri"] for file in order.files]
    # In the order in which the UI shows them: what a person looks for first comes first.
    metadata: dict[str, Any] = {
        "wiro/preview": None if preview is None else dg.MetadataValue.md(preview),
        "wiro/video": None if link is None else dg.MetadataValue.url(link),
        "wiro/prompt": order.prompt,
        "wiro/model": order.model_slug,
        "wiro/cost_usd": None if order.cost_usd is None else float(order.cost_usd),
        "dagster/uri": first["uri"],
        "wiro/files": dg.MetadataValue.json(uris) if len(uris) > 1 else None,
        "wiro/text": _first_text(order),
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


def _first_text(order: Order) -> str | None:
    """How the text begins that a language model gave; all of it is in the stored file."""
    texts = (output.get("content") for output in order.outputs)
    text = next((text for text in texts if isinstance(text, str)), None)
    if text is None or len(text) <= _TEXT_CHARACTERS:
        return text
    return text[: _TEXT_CHARACTERS - 1] + "…"


def _output_urls(order: Order) -> dg.MetadataValue[Any] | None:
    urls = [output["url"] for output in order.outputs if output.get("url")]
    if not urls:
        return None
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
    order: Order, asset_key: dg.AssetKey, *, preview: str | None = None, link: str | None = None
) -> dg.AssetMaterialization:
    """`video[partition]`: we own it; it cost this much.

    Args:
        order: in state `stored` or `delivered`.
        asset_key: the video asset's.
        preview: markdown that shows the video moving.
        link: a URL that plays it.
    """
    return dg.AssetMaterialization(
        asset_key=asset_key,
        partition=order.partition,
        metadata=video_metadata(order, preview=preview, link=link),
        tags=_provenance(order),
    )


def _provenance(order: Order) -> dict[str, str]:
    return {
        DATA_VERSION_TAG: order.fingerprint,
        _DATA_VERSION_IS_OURS: "true",
        _CODE_VERSION: CODE_VERSION,
    }


def failure_observation(order: Order, asset_key: dg.AssetKey) -> dg.AssetObservation:
    """On a partition: why there is no new video. Nothing else shows a failure that had no run.

    Args:
        order: ended without a video.
        asset_key: whose partition.
    """
    metadata: dict[str, Any] = {"wiro/state": order.state, "wiro/reason": order.error or ""}
    if order.cost_usd is not None:
        metadata["wiro/cost_usd"] = float(order.cost_usd)
    metadata["wiro/model"] = order.model_slug
    metadata["wiro/order_id"] = order.id
    if order.task_id is not None:
        metadata[TASK_ID_KEY] = dg.MetadataValue.text(order.task_id)
    return dg.AssetObservation(
        asset_key=asset_key,
        partition=order.partition,
        description=describe_state(order),
        metadata=metadata,
    )


def progress_observation(
    order: Order, asset_key: dg.AssetKey, *, now: float
) -> dg.AssetObservation:
    """On a partition: how far the task is that makes its video.

    Args:
        order: in state `running`, its task out of the queue.
        asset_key: whose partition.
        now: unix seconds.
    """
    left_queue_at = (order.submitted_at or now) + (order.queue_seconds or 0.0)
    metadata: dict[str, Any] = {
        "wiro/status": order.task_status or "",
        "wiro/running_seconds": round(max(0.0, now - left_queue_at), 1),
        "wiro/order_id": order.id,
        TASK_ID_KEY: dg.MetadataValue.text(str(order.task_id)),
    }
    if order.progress_percent is not None:
        metadata["wiro/progress_percent"] = round(order.progress_percent, 1)
    return dg.AssetObservation(
        asset_key=asset_key,
        partition=order.partition,
        description=describe_state(order),
        metadata=metadata,
    )


def describe_progress(order: Order) -> str:
    """What Wiro last told of a running task: `task_output, 40 %`."""
    percent = "" if order.progress_percent is None else f", {order.progress_percent:.0f} %"
    return f"{order.task_status or 'new'}{percent}"


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
            return f"Under way at Wiro as task {order.task_id} ({describe_progress(order)})."
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
