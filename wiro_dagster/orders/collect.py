"""Collecting: bringing the files of finished tasks home while Wiro's CDN still has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from wiro_dagster.errors import (
    ApiError,
    DownloadError,
    LedgerError,
    MediaError,
    StoreError,
)
from wiro_dagster.ledger import Order
from wiro_dagster.media import inspect_apart
from wiro_dagster.orders.collected import note_not_collected, note_stored, renew_outputs
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.findings import find_out
from wiro_dagster.orders.lease import LeaseKeeper
from wiro_dagster.store import (
    FileSource,
    RemoteFile,
    StoredFile,
    output_key,
    store_download,
    store_text,
)
from wiro_dagster.store.delivery import Look

_MEMORY_BYTES = 2 * 1024**3
"""What a decoder may take for a file that may have cost a process its life."""


def collect_order(context: OrderContext, leases: LeaseKeeper, order: Order) -> str | None:
    """Fetch, inspect and store all files of one order, and note how that went.

    Args:
        context: the collection's orders.
        leases: holds the order while its files come.
        order: in state `finished`, claimed by us.

    Returns:
        A notice for the tick's log, `None` if all went well.
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
    """Tell whether the files that were stored for an order are still there.

    Raises:
        StoreError: the store cannot tell.
    """
    sizes = (context.store.find_size(file["key"]) for file in order.files)
    return all(size == file["size_bytes"] for size, file in zip(sizes, order.files, strict=True))


def _delete_at_wiro(context: OrderContext, order: Order) -> str | None:
    """Delete a task's files at Wiro once ours are stored; its record stays there."""
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
        _ClaimedSource(context, leases, order),
        output["url"],
        context.store,
        base,
        content_type=output.get("content_type"),
        size_bytes=output.get("size_bytes"),
        max_bytes=context.policy.max_file_bytes,
        look=_choose_look(context, order),
        is_late=context.now() - (order.ended_at or context.now())
        > context.policy.timing.sure_gone_seconds,
    )
    return stored.to_json() | _note_findings(context, order, base, stored, is_first=index == 0)


def _choose_look(context: OrderContext, order: Order) -> Look:
    """Look at a file in another process, with little memory if an earlier try failed."""
    # This try counts among `deaths` until it ends.
    is_suspect = order.attempts > 0 or order.deaths > 1
    return partial(
        inspect_apart,
        verify=context.policy.verify,
        memory_bytes=_MEMORY_BYTES if is_suspect else None,
    )


def _note_findings(
    context: OrderContext, order: Order, base: str, stored: StoredFile, *, is_first: bool
) -> dict[str, Any]:
    """Return what the checks need of a file; store small pictures of an order's first file."""
    seen = stored.inspection
    if seen is None:
        return {}
    noted: dict[str, Any] = {"findings": find_out(seen, order.inputs).to_json()}
    pictures = {"preview": seen.preview, "poster": seen.poster} if is_first else {}
    for name, picture in pictures.items():
        if picture is not None:
            key = f"{base}.{name}.webp"
            _store_bytes(context, key, picture)
            noted[f"{name}_key"] = key
    return noted


def _store_bytes(context: OrderContext, key: str, content: bytes) -> None:
    with context.store.staging() as staged:
        staged.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        context.store.commit(staged, key, content_type="image/webp", sha256=sha256)


class _ClaimedSource:
    """A source of files that stops when another process has taken the order over."""

    def __init__(self, context: OrderContext, leases: LeaseKeeper, order: Order) -> None:
        self._context = context
        self._leases = leases
        self._order = order

    @contextmanager
    def download(self, url: str) -> Iterator[RemoteFile]:
        """Open a URL; see `WiroClient.download`."""
        source: FileSource = self._context.client
        with source.download(url) as remote:
            yield _ClaimedFile(remote, self._check)

    def _check(self) -> None:
        if not self._leases.is_held(self._order):
            raise DownloadError(f"{self._order.name} has been taken over by another process.")


class _ClaimedFile:
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
