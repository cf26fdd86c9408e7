"""The metadata and version tags of our events: every `wiro/` key is named here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import dagster as dg

from wiro_dagster.ledger import Order
from wiro_dagster.prompts import Prompt

CODE_VERSION = "1"
"""Of `video_order` and `video`. Raise it when the same inputs would make a different video."""

TASK_ID_KEY = "wiro/task_id"
DATA_VERSION_TAG = "dagster/data_version"
_DATA_VERSION_IS_OURS_TAG = "dagster/data_version_is_user_provided"
_CODE_VERSION_TAG = "dagster/code_version"
_TEXT_CHARACTERS = 1000


def prompt_metadata(prompt: Prompt, *, quote_usd: Decimal | None) -> dict[str, Any]:
    """Return the metadata of a prompt.

    Args:
        prompt: which.
        quote_usd: its expected cost; `None` if it is unknown.
    """
    quote = {} if quote_usd is None else {"wiro/quote_usd": float(quote_usd)}
    return {
        **quote,
        "wiro/prompt": prompt.text,
        "wiro/model": prompt.model_slug,
        "wiro/take": prompt.take,
        **({} if prompt.takes == 1 else {"wiro/takes": prompt.takes}),
        "wiro/fingerprint": prompt.fingerprint,
    }


def order_metadata(order: Order) -> dict[str, Any]:
    """Return what was ordered: the metadata of `video_order`, and part of a video's."""
    quote = {} if order.quote_usd is None else {"wiro/quote_usd": float(order.quote_usd)}
    return {
        "wiro/prompt": order.prompt,
        "wiro/model": order.model_slug,
        **quote,
        "wiro/inputs": dg.MetadataValue.json(dict(order.inputs)),
        "wiro/take": order.take,
        "wiro/order_id": order.id,
        "wiro/fingerprint": order.fingerprint,
        **_approval(order),
        **({} if order.chosen_by is None else {"wiro/chosen_by": order.chosen_by}),
    }


def _approval(order: Order) -> dict[str, Any]:
    if order.state == "proposed":
        return {"wiro/waits_for_approval": True}
    if order.approved_by is None:
        return {}
    return {
        "wiro/approved_by": order.approved_by,
        "wiro/approved_at": _timestamp(order.approved_at),
    }


def video_metadata(
    order: Order, *, preview: str | None = None, link: str | None = None
) -> dict[str, Any]:
    """Return everything known about an owned video, under the keys that the README lists.

    Args:
        order: in state `stored` or `delivered`.
        preview: markdown that shows the video moving.
        link: a URL that plays it.
    """
    first = order.files[0]
    media: Mapping[str, Any] = first.get("media") or {}
    uris = [file["uri"] for file in order.files]
    # The UI keeps this order, so what readers look for most comes first.
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


def tries_metadata(tries: Sequence[Order]) -> dict[str, Any]:
    """Return what each try at a video came to and cost; nothing if there was only one.

    Args:
        tries: of one video, the first first.
    """
    if len(tries) <= 1:
        return {}
    listed = [
        {
            "order_id": order.id,
            "model": order.model_slug,
            "task_id": order.task_id,
            "state": order.state,
            "reason": order.error,
            "cost_usd": None if order.cost_usd is None else float(order.cost_usd),
        }
        for order in tries
    ]
    total = sum((order.cost_usd or Decimal(0) for order in tries), Decimal(0))
    return {"wiro/tries": dg.MetadataValue.json(listed), "wiro/tries_cost_usd": float(total)}


def failure_metadata(order: Order) -> dict[str, Any]:
    """Return why an order ended without a video."""
    metadata: dict[str, Any] = {"wiro/state": order.state, "wiro/reason": order.error or ""}
    if order.cost_usd is not None:
        metadata["wiro/cost_usd"] = float(order.cost_usd)
    metadata["wiro/model"] = order.model_slug
    metadata["wiro/order_id"] = order.id
    if order.task_id is not None:
        metadata[TASK_ID_KEY] = dg.MetadataValue.text(order.task_id)
    return metadata


def progress_metadata(order: Order, *, now: float) -> dict[str, Any]:
    """Return how far a running task is.

    Args:
        order: in state `running`, its task out of the queue.
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
    return metadata


def prompt_tags(prompt: Prompt) -> dict[str, str]:
    """Return the tags that make a prompt's fingerprint the data version of its observation."""
    return {DATA_VERSION_TAG: prompt.fingerprint, _DATA_VERSION_IS_OURS_TAG: "true"}


def version_tags(data_version: str) -> dict[str, str]:
    """Return the version tags that Dagster adds only to what a step returns."""
    return {
        DATA_VERSION_TAG: data_version,
        _DATA_VERSION_IS_OURS_TAG: "true",
        _CODE_VERSION_TAG: CODE_VERSION,
    }


def _first_text(order: Order) -> str | None:
    """Return the start of a language model's text; the stored file has all of it."""
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
