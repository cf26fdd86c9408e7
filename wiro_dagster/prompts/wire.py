"""A prompt's inputs as the ledger keeps them, and as the client sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wiro_dagster.api.types import LocalFile
from wiro_dagster.catalogue import (
    AssetFileInput,
    FileInput,
    LocalFileInput,
    StoredFileInput,
    check_unchanged,
)
from wiro_dagster.errors import InputError

OpenStored = Callable[[StoredFileInput], Path]
"""Gives a local copy of a file of the video store."""


def inputs_to_json(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs as plain JSON values.

    A local file becomes `{"file": path, "sha256": …, "size_bytes": …}`, a stored one the same with
    `"stored": key`, both with `"url_input"` if that is known; a tuple becomes a list.

    Raises:
        InputError: the file of an asset has not been looked up.
    """
    return {name: _to_json(value) for name, value in inputs.items()}


def inputs_from_json(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Reverse `inputs_to_json`."""
    return {name: _from_json(value) for name, value in stored.items()}


def wire_inputs(
    inputs: Mapping[str, Any],
    *,
    urls: Mapping[str, str] | None = None,
    open_stored: OpenStored | None = None,
) -> dict[str, Any]:
    """Return inputs as `WiroClient.submit` takes them, files as `LocalFile` or as URLs.

    Every file that is sent itself is read once more, so that what is sent is what was ordered.

    Args:
        inputs: as a `Prompt` has them.
        urls: where files can be fetched from, by the sha256 of their bytes.
        open_stored: opens files of the video store.

    Raises:
        InputError: a file is gone or has changed since its prompt was read.
    """

    def find_url(file: FileInput) -> FileInput | str:
        if isinstance(file, AssetFileInput) or file.url_input is None:
            return file
        return (urls or {}).get(file.sha256, file)

    with_urls = replace_files(inputs, find_url)
    return {name: _to_wire(value, open_stored) for name, value in with_urls.items()}


def list_files(inputs: Mapping[str, Any]) -> Iterator[FileInput]:
    """Yield all files among the inputs."""
    for value in inputs.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, FileInput):
                yield item


def replace_files(
    inputs: Mapping[str, Any], find: Callable[[FileInput], FileInput | str]
) -> dict[str, Any]:
    """Return the inputs with other files, or with URLs in the inputs that take URLs."""
    replaced: dict[str, Any] = {}
    moved: dict[str, list[str]] = {}
    for name, value in inputs.items():
        kept: list[Any] = []
        for item in value if isinstance(value, tuple) else (value,):
            found = find(item) if isinstance(item, FileInput) else item
            place = item.url_input if isinstance(item, FileInput) else None
            if isinstance(found, str) and place not in {None, name}:
                # Several are sent divided by commas.
                url = found.replace(",", "%2C") if isinstance(value, tuple) else found
                moved.setdefault(str(place), []).append(url)
            else:
                kept.append(found)
        if isinstance(value, tuple):
            kept = [tuple(kept)] if kept else []
        if kept:
            replaced[name] = kept[0]
    for name, urls in moved.items():
        replaced[name] = ",".join([replaced[name], *urls] if replaced.get(name) else urls)
    return replaced


def _to_json(value: Any) -> Any:
    if isinstance(value, AssetFileInput):
        raise InputError(f"The file of the asset {value} has not been looked up.")
    if isinstance(value, LocalFileInput):
        return {"file": str(value.path), **_facts_of(value)}
    if isinstance(value, StoredFileInput):
        return {"stored": value.key, **_facts_of(value)}
    if isinstance(value, (tuple, list)):
        return [_to_json(item) for item in value]
    return value


def _facts_of(file: LocalFileInput | StoredFileInput) -> dict[str, Any]:
    known = {} if file.url_input is None else {"url_input": file.url_input}
    return {"sha256": file.sha256, "size_bytes": file.size_bytes, **known}


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        known = (value["sha256"], value["size_bytes"], value.get("url_input"))
        if "stored" in value:
            return StoredFileInput(value["stored"], *known)
        return LocalFileInput(Path(value["file"]), *known)
    if isinstance(value, (tuple, list)):
        return tuple(_from_json(item) for item in value)
    return value


def _to_wire(value: Any, open_stored: OpenStored | None) -> Any:
    if isinstance(value, StoredFileInput):
        if open_stored is None:
            raise InputError(f"{value.key} is in the video store, which cannot be reached here.")
        value = LocalFileInput(open_stored(value), value.sha256, value.size_bytes)
    if isinstance(value, LocalFileInput):
        check_unchanged(value)
        return LocalFile(value.path)
    if isinstance(value, (tuple, list)):
        return [_to_wire(item, open_stored) for item in value]
    return value
