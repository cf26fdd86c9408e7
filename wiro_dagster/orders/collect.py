"""Collecting: bringing the files of finished tasks home while Wiro's CDN still has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from wiro_dagster.errors import (
    ApiError,
    DownloadError,
    LedgerError,
    MediaError,
    StoreError,
)
from wiro_dagster.ledger import Order
from wiro_dagster.media import make_poster, make_preview
from wiro_dagster.orders.collected import note_not_collected, note_stored, renew_outputs
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.findings import inspect_delivery
from wiro_dagster.orders.lease import LeaseKeeper
from wiro_dagster.store import (
    FileSource,
    RemoteFile,
    StoredFile,
    output_key,
    store_download,
    store_text,
)

_PICTURED_KINDS = ("video", "image")
_PREVIEW_BYTES = 18_000
"""As a data URI a third more: the 24 KB that an event may carry."""
_POSTER_BYTES = 12_000
"""A gallery carries one for each video."""


def collect_order(context: OrderContext, leases: LeaseKeeper, order: Order) -> str | None:
    """Fetches, verifies and stores all files of one order, and notes how that went.

    Args:
        context: the collection's orders.
        leases: holds the order while its files come.
        order: in state `finished`, claimed by us.

    Returns:
        What a person should know of it, `None` where all went well.
    """
    try:
        if order.files and is_in_store(context, order):
            # They were missed while the store, or the disk below it, was away.
            note_stored(context, order, order.files)
            return None
        order = renew_outputs(context, order)
        files = [
            _collect_output(context, leases, order, index, output)
            for index, output in enumerate(order.outputs)
        ]
        for index, file in enumerate(files):
            file.update(_look_at(context, order, index, file))
    except (DownloadError, MediaError, StoreError, OSError) as error:
        return note_not_collected(context, order, error)
    except LedgerError:
        raise
    except Exception as error:  # no fault of a file may keep its order from being reported
        return note_not_collected(context, order, error)
    note_stored(context, order, files)
    if context.policy.files_at_wiro == "delete":
        return _delete_at_wiro(context, order)
    return None


def is_in_store(context: OrderContext, order: Order) -> bool:
    """Whether the files that were stored for an order are still there.

    Raises:
        StoreError: the store cannot tell.
    """
    sizes = (context.store.find_size(file["key"]) for file in order.files)
    return all(size == file["size_bytes"] for size, file in zip(sizes, order.files, strict=True))


def _delete_at_wiro(context: OrderContext, order: Order) -> str | None:
    """Deletes a task's files at Wiro, where ours are stored; its record stays there."""
    try:
        context.client.delete_task_files(context.client.get_task(str(order.task_id)).token)
    except ApiError as error:
        return f"{order.name}: the files of task {order.task_id} are still at Wiro: {error}"
    return None


def _collect_output(
    context: OrderContext,
    leases: LeaseKeeper,
    order: Order,
    index: int,
    output: Mapping[str, Any],
) -> dict[str, Any]:
    base = output_key(order.partition, order.fingerprint, str(order.task_id), index)
    if output.get("url") is None:
        return store_text(str(output.get("content") or ""), context.store, base).to_json()
    stored = store_download(
        _WhileClaimed(context, leases, order),
        output["url"],
        context.store,
        base,
        content_type=output.get("content_type"),
        size_bytes=output.get("size_bytes"),
        max_bytes=context.policy.max_file_bytes,
    )
    return stored.to_json()


def _look_at(
    context: OrderContext, order: Order, index: int, file: Mapping[str, Any]
) -> dict[str, Any]:
    """Measures a video for its checks, and stores small pictures of an order's first file."""
    stored = StoredFile.from_json(file)
    if stored.media.kind not in _PICTURED_KINDS:
        return {}
    seen: dict[str, Any] = {}
    pictures: dict[str, bytes] = {}
    with context.store.local_copy(stored.key) as path:
        if stored.media.kind == "video":
            seen["findings"] = inspect_delivery(path, order.inputs).to_json()
        if index == 0:
            # A video without pictures of it is a video all the same.
            with suppress(MediaError):
                pictures["preview"] = make_preview(path, max_bytes=_PREVIEW_BYTES)
                pictures["poster"] = make_poster(path, max_bytes=_POSTER_BYTES)
    base = output_key(order.partition, order.fingerprint, str(order.task_id))
    for name, picture in pictures.items():
        key = f"{base}.{name}.webp"
        _store_bytes(context, key, picture)
        seen[f"{name}_key"] = key
    return seen


def _store_bytes(context: OrderContext, key: str, content: bytes) -> None:
    with context.store.staging() as staged:
        staged.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        context.store.commit(staged, key, content_type="image/webp", sha256=sha256)


class _WhileClaimed:
    """A source of files that gives up when somebody else has taken the order over."""

    def __init__(self, context: OrderContext, leases: LeaseKeeper, order: Order) -> None:
        self._context = context
        self._leases = leases
        self._order = order

    @contextmanager
    def download(self, url: str) -> Iterator[RemoteFile]:
        """Opens a URL; see `WiroClient.download`."""
        source: FileSource = self._context.client
        with source.download(url) as remote:
            yield _Claimed(remote, self._check)

    def _check(self) -> None:
        if not self._leases.is_held(self._order):
            raise DownloadError(f"{self._order.name} has been taken over by another process.")


class _Claimed:
    def __init__(self, remote: RemoteFile, check: Callable[[], None]) -> None:
        self._remote = remote
        self._check = check

    @property
    def content_length(self) -> int | None:
        return self._remote.content_length

    @property
    def content_type(self) -> str | None:
        return self._remote.content_type

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._remote.chunks():
            self._check()
            yield chunk
