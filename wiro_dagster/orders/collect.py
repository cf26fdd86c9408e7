"""Collecting: bringing the files of finished tasks home while Wiro's CDN still has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from wiro_dagster.errors import DownloadError, MediaError, StoreError
from wiro_dagster.ledger import Order
from wiro_dagster.media import make_preview
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.store import (
    FileSource,
    RemoteFile,
    StoredFile,
    output_key,
    store_download,
    store_text,
)

COLLECT_LEASE_SECONDS = 60.0
_RENEW_SECONDS = 15.0
_STRICT_ATTEMPTS = 5
_PREVIEWED_KINDS = ("video", "image")


def collect_order(context: OrderContext, order: Order) -> str | None:
    """Fetches, verifies and stores all files of one order, and notes how that went.

    Args:
        context: the collection's orders.
        order: in state `finished`, claimed by us.

    Returns:
        What a person should know of it, `None` where all went well.
    """
    try:
        files = [
            _collect_output(context, order, index, output)
            for index, output in enumerate(order.outputs)
        ]
        files[0] |= _store_preview(context, order, files[0])
    except (DownloadError, MediaError, StoreError, OSError) as error:
        return _note_failure(context, order, error)
    now = context.now()
    context.ledger.advance(order, state="stored", files=files, error=None, attempts=0, due_at=now)
    return None


def _collect_output(
    context: OrderContext, order: Order, index: int, output: Mapping[str, Any]
) -> dict[str, Any]:
    base = output_key(order.partition, order.fingerprint, str(order.task_id), index)
    if output.get("url") is None:
        return store_text(str(output.get("content") or ""), context.store, base).to_json()
    # A file that decodes to its end is worth more than a wrong number about it.
    announced = output.get("size_bytes") if order.attempts < _STRICT_ATTEMPTS else None
    stored = store_download(
        _KeepingLease(context, order),
        output["url"],
        context.store,
        base,
        content_type=output.get("content_type"),
        size_bytes=announced,
        max_bytes=context.policy.max_file_bytes,
    )
    return stored.to_json()


def _store_preview(context: OrderContext, order: Order, file: Mapping[str, Any]) -> dict[str, str]:
    """Stores a small moving preview beside the file. A video without one is a video all the same."""
    stored = StoredFile.from_json(file)
    if stored.media.kind not in _PREVIEWED_KINDS:
        return {}
    base = output_key(order.partition, order.fingerprint, str(order.task_id))
    key = f"{base}.preview.webp"
    try:
        with context.store.local_copy(stored.key) as path:
            preview = make_preview(path)
    except MediaError:
        return {}
    with context.store.staging() as staged:
        staged.write_bytes(preview)
        sha256 = hashlib.sha256(preview).hexdigest()
        context.store.commit(staged, key, content_type="image/webp", sha256=sha256)
    return {"preview_key": key}


def _note_failure(context: OrderContext, order: Order, error: Exception) -> str:
    now = context.now()
    late = now - (order.ended_at or now) > context.policy.download_give_up_seconds
    if late or (isinstance(error, DownloadError) and error.is_final):
        context.ledger.advance(order, state="uncollected", error=str(error), due_at=now)
        return f"{order.name}: given up fetching the files of task {order.task_id}: {error}"
    context.ledger.advance(
        order, attempts=order.attempts + 1, error=str(error), due_at=context.retry_at(order)
    )
    return f"{order.name}: the files of task {order.task_id} could not be fetched yet: {error}"


class _KeepingLease:
    """A source of files that keeps the order's claim alive while bytes arrive."""

    def __init__(self, context: OrderContext, order: Order) -> None:
        self._context = context
        self._order = order

    @contextmanager
    def download(self, url: str) -> Iterator[RemoteFile]:
        """Opens a URL; see `WiroClient.download`."""
        source: FileSource = self._context.client
        with source.download(url) as remote:
            yield _Renewing(remote, self._renew, self._context.now)

    def _renew(self) -> None:
        if not self._context.ledger.renew(self._order, COLLECT_LEASE_SECONDS):
            raise DownloadError(f"{self._order.name} has been taken over by another process.")


class _Renewing:
    def __init__(
        self, remote: RemoteFile, renew: Callable[[], None], now: Callable[[], float]
    ) -> None:
        self._remote = remote
        self._renew = renew
        self._now = now

    @property
    def content_length(self) -> int | None:
        return self._remote.content_length

    @property
    def content_type(self) -> str | None:
        return self._remote.content_type

    def chunks(self) -> Iterator[bytes]:
        renewed_at = self._now()
        for chunk in self._remote.chunks():
            yield chunk
            if self._now() - renewed_at > _RENEW_SECONDS:
                self._renew()
                renewed_at = self._now()
