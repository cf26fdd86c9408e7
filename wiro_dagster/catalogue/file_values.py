"""Values of file inputs: files, URLs, or both, each moved to its place on the wire."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wiro_dagster.api.inputs import InputSpec
from wiro_dagster.catalogue.files import AssetFileInput, FileInput, LocalFolders, read_local_file
from wiro_dagster.catalogue.suggestions import shown
from wiro_dagster.catalogue.values import is_absent, wire_text
from wiro_dagster.errors import InputError

# One letter and a colon would be a drive of Windows.
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:")
_ASSET_KEYS = {"asset", "partition"}


def read_file_or_url(value: Any, folders: LocalFolders | None) -> FileInput | str:
    """Return one file or URL.

    Args:
        value: a URL, a path as text, a `Path`, a `FileInput`, `{"file": path}`, or
            `{"asset": key}` with or without a `"partition"`.
        folders: where text may name local files; `None` if it must not, because it comes from a
            table or from S3. A `Path` comes from code and may be anywhere.

    Raises:
        ValueError: it is something else, or the file cannot be used; the message says why.
    """
    if isinstance(value, FileInput):
        return value
    if isinstance(value, Mapping) and "asset" in value:
        return _read_asset_file(value)
    if isinstance(value, Mapping) and set(value) == {"file"}:
        value = value["file"]
    try:
        if isinstance(value, Path):
            return read_local_file(value if folders is None else folders.base / value)
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} is not a path or URL. Give one of them as text.")
        text = value.strip()
        if is_url(text):
            return text
        if _SCHEME.match(text):
            raise ValueError(f"{shown(text)} cannot be fetched. Give an http(s) URL or a path.")
        if folders is None:
            raise ValueError(
                f"{shown(text)} is not a URL, and local files cannot be named here. Give an https "
                "URL."
            )
        return folders.read(text)
    except InputError as error:
        raise ValueError(str(error)) from error


def is_url(text: str) -> bool:
    """Whether text is an http or https URL with a host, and without blanks."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and not re.search(r"\s", text)


def _read_asset_file(value: Mapping[Any, Any]) -> AssetFileInput:
    """Read `{asset: portraits}` or `{asset: portraits, partition: anna}`."""
    for key in value:
        if key not in _ASSET_KEYS:
            raise ValueError(f"{shown(key)} has no meaning here: give asset, partition.")
    named = value["asset"]
    parts = named if isinstance(named, (list, tuple)) else [named]
    if not parts or not all(isinstance(part, str) and part.strip() for part in parts):
        raise ValueError(f"{shown(named)} is not an asset key. Write it as text, such as a/b.")
    partition = value.get("partition")
    return AssetFileInput(
        "/".join(part.strip() for part in parts),
        None if is_absent(partition) else wire_text(partition),
    )


def read_file_input(
    spec: InputSpec, given: Mapping[str, Any], folders: LocalFolders | None
) -> dict[str, Any]:
    """Return the wire values of one file input: `{}` if nothing is given.

    A URL under `id` moves to `idUrl` if the input has one. One file is a value of its own,
    several are a tuple; several URLs are one text with commas, or for a `combinefileinput` entries
    of the tuple.

    Args:
        spec: the file input.
        given: all values given, of which those under the input's names are read.
        folders: where local files may be; see `read_file_or_url`.

    Raises:
        ValueError: a value cannot be used, or a file and a URL are given for one.
    """
    entries = [
        _placed(spec, read_file_or_url(entry, folders)) for entry in _entries(spec, given, spec.id)
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
    """Note with a file which input would take its URL, if it is uploaded."""
    return entry if isinstance(entry, str) else replace(entry, url_input=spec.url_id or spec.id)


def _entries(spec: InputSpec, given: Mapping[str, Any], name: str) -> Iterator[Any]:
    """The values under a name: several in a list, or in text divided by commas."""
    value = given.get(name)
    if isinstance(value, str) and not spec.takes_one_file:
        value = re.split(r"[,\n]", value)
    elif isinstance(value, str) or not isinstance(value, (list, tuple)):
        value = [value]
    return (entry for entry in value if not is_absent(entry))
