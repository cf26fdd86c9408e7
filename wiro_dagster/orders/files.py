"""An order's files on their way to Wiro: sent with the run, or uploaded before it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from wiro_dagster.catalogue import (
    AssetFileInput,
    LocalFileInput,
    StoredFileInput,
    check_unchanged,
)
from wiro_dagster.errors import InputError
from wiro_dagster.ledger import Order
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.prompts import inputs_from_json, list_files, wire_inputs

OrderFile = LocalFileInput | StoredFileInput


def list_missing_uploads(context: OrderContext, order: Order) -> list[OrderFile]:
    """The files of an order that must be uploaded before it can be sent."""
    uploadable = {file.sha256: file for file in _list_uploadable(context, order)}
    return [file for sha256, file in uploadable.items() if context.uploads.find(sha256) is None]


def upload_files(context: OrderContext, files: Iterable[OrderFile]) -> None:
    """Upload the files whose bytes are not at Wiro yet.

    Raises:
        InputError: a file is gone, or has changed since it was ordered.
        StoreError: the video store cannot be reached.
        ApiError: it could not be uploaded. Nothing is bought by an upload.
    """
    for file in files:
        with ExitStack() as copies:
            path = _open(context, file, copies)
            check_unchanged(LocalFileInput(path, file.sha256, file.size_bytes))
            context.uploads.upload(path)


def read_inputs(context: OrderContext, order: Order, copies: ExitStack) -> dict[str, Any]:
    """Return an order's inputs as they are sent.

    Args:
        context: the collection's orders.
        order: whose inputs.
        copies: keeps local copies of stored files until it is closed.

    Raises:
        InputError: a file is gone, or has changed since it was ordered.
        StoreError: the video store cannot be reached.
        MediaError: the video store has other bytes than it was given.
    """
    urls: dict[str, str] = {}
    for file in _list_uploadable(context, order):
        found = context.uploads.find(file.sha256)
        if found is not None and found.url is not None:
            urls[file.sha256] = found.url
    return wire_inputs(
        inputs_from_json(order.inputs),
        urls=urls,
        open_stored=lambda file: _open(context, file, copies),
    )


def _list_uploadable(context: OrderContext, order: Order) -> list[OrderFile]:
    """Return files that are sent as URLs. If no input takes a URL, the file itself is sent."""
    if context.policy.local_files == "attach":
        return []
    return [
        file
        for file in list_files(inputs_from_json(order.inputs))
        if not isinstance(file, AssetFileInput) and file.url_input is not None
    ]


def _open(context: OrderContext, file: OrderFile, copies: ExitStack) -> Path:
    if isinstance(file, LocalFileInput):
        return file.path
    if context.store.find_size(file.key) is None:
        uri = context.store.uri_for(file.key)
        raise InputError(f"{uri} is gone. Restore it, or order the prompt again.")
    return copies.enter_context(context.store.local_copy(file.key))
