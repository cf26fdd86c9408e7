"""Values of file inputs: files, URLs, or both, each moved to its place on the wire."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wiro_dagster.catalogue.local_file import LocalFileInput, read_local_file
from wiro_dagster.catalogue.spec import InputSpec
from wiro_dagster.catalogue.suggestions import shown
from wiro_dagster.catalogue.upstream_file import FileInput, read_asset_file
from wiro_dagster.catalogue.values import is_absent
from wiro_dagster.errors import InputError

# One letter and a colon would be a drive of Windows.
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:")


def read_file_or_url(value: Any, base_folder: Path | None) -> FileInput | str:
    """One file or URL.

    Args:
        value: a URL, a path as text, a `Path`, a `FileInput`, `{"file": path}`, or
            `{"asset": key}` with or without a `"partition"`.
        base_folder: what relative paths start from. `None` where text must not name a local file,
            because it comes from a table or from elsewhere.

    Raises:
        ValueError: it is none of these, or the file cannot be used; the message says why.
    """
    if isinstance(value, FileInput):
        return value
    if isinstance(value, Mapping) and "asset" in value:
        return read_asset_file(value)
    if isinstance(value, Mapping) and set(value) == {"file"}:
        value = value["file"]
    if isinstance(value, Path):
        return _read(value if base_folder is None else base_folder / value)
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is neither a path nor a URL. Give one of them as text.")
    text = value.strip()
    if is_url(text):
        return text
    if _SCHEME.match(text):
        raise ValueError(f"{shown(text)} cannot be fetched. Give an http(s) URL or a path.")
    if base_folder is None:
        raise ValueError(
            f"{shown(text)} is no URL, and local files cannot be named here. Give an https URL."
        )
    return _read(base_folder / text)


def is_url(text: str) -> bool:
    """Whether text is an http or https URL with a host, and without blanks."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and not re.search(r"\s", text)


def _read(path: Path) -> LocalFileInput:
    try:
        return read_local_file(path)
    except InputError as error:
        raise ValueError(str(error)) from error


def listed(value: Any) -> Iterator[Any]:
    """The entries of a value for several files: of a list, or of text divided by commas."""
    if isinstance(value, str):
        value = re.split(r"[,\n]", value)
    elif not isinstance(value, (list, tuple)):
        value = [value]
    return (entry for entry in value if not is_absent(entry))


def read_file_input(
    spec: InputSpec, given: Mapping[str, Any], base_folder: Path | None
) -> dict[str, Any]:
    """The wire values of one file input: `{}` where nothing is given.

    A URL under `id` moves to `idUrl` where the input has one. One file is a value of its own,
    several are a tuple; several URLs are one text with commas, or for a `combinefileinput` entries
    of the tuple.

    Args:
        spec: the file input.
        given: all values given, of which those under the input's names are read.
        base_folder: what relative paths start from; see `read_file_or_url`.

    Raises:
        ValueError: a value cannot be used, or one file and one URL are given where one may be.
    """
    entries = [
        _placed(spec, read_file_or_url(entry, base_folder))
        for entry in _entries(spec, given, spec.id)
    ]
    if spec.url_id is None:
        return {spec.id: tuple(entries)} if entries else {}
    for entry in _entries(spec, given, spec.url_id):
        if not isinstance(entry, str) or not is_url(entry.strip()):
            raise ValueError(
                f"{spec.url_id} takes http(s) URLs, not {shown(entry)}. "
                f"Give a local file as {spec.id}."
            )
        entries.append(entry.strip())
    files = tuple(entry for entry in entries if isinstance(entry, FileInput))
    urls = [entry for entry in entries if isinstance(entry, str)]
    if spec.takes_one_file:
        if len(entries) > 1:
            raise ValueError(
                f"{spec.id} takes one file or one URL, and {len(entries)} are given. Keep one of "
                f"{spec.id} and {spec.url_id}."
            )
        return {spec.id: files[0]} if files else {spec.url_id: urls[0]} if urls else {}
    if any("," in url for url in urls):
        raise ValueError("URLs are sent divided by commas; write a comma inside one as %2C.")
    wire: dict[str, Any] = {spec.id: files} if files else {}
    return wire | ({spec.url_id: ",".join(urls)} if urls else {})


def _placed(spec: InputSpec, entry: FileInput | str) -> FileInput | str:
    """Notes with a file where its URL would go, for those who will have one."""
    return entry if isinstance(entry, str) else replace(entry, url_input=spec.url_id or spec.id)


def _entries(spec: InputSpec, given: Mapping[str, Any], name: str) -> Iterator[Any]:
    value = given.get(name)
    if is_absent(value):
        return iter(())
    if spec.takes_one_file and isinstance(value, str):
        return iter((value,))
    return listed(value)
