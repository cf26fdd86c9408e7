"""Files that upstream assets made, as inputs of prompts: `{asset: portraits, partition: anna}`.

The metadata `dagster/uri`, `path` or `url` of a materialization name its file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import dagster as dg

from wiro_dagster.catalogue import (
    MAX_FILE_BYTES,
    AssetFileInput,
    FileInput,
    LocalFileInput,
    StoredFileInput,
    read_local_file,
)
from wiro_dagster.catalogue.file_values import is_url
from wiro_dagster.catalogue.files import hash_file
from wiro_dagster.catalogue.suggestions import did_you_mean
from wiro_dagster.defs.event_log import list_materializations
from wiro_dagster.defs.process_cache import ProcessCache
from wiro_dagster.errors import InputError, MediaError, StoreError
from wiro_dagster.prompts import Prompt, PromptFile, PromptProblem, list_files, replace_files
from wiro_dagster.store import VideoStore

_URI_KEYS = ("dagster/uri", "path", "url")
_PARTITIONS_AT_ONCE = 1000
# How protocols 2 to 5 begin; no picture, sound or film does.
_PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


def resolve_asset_files(
    found: PromptFile,
    *,
    source: str,
    instance: dg.DagsterInstance,
    open_store: Callable[[], VideoStore],
    input_assets: Collection[dg.AssetKey],
    cache: ProcessCache,
) -> PromptFile:
    """Look up the files of assets that prompts name.

    A file that cannot be had is a problem of its prompt only.

    Args:
        found: the prompts as they were read.
        source: their source's name, for messages.
        instance: keeps the event log.
        open_store: gives the store that has files with another URI than a local one.
        input_assets: the assets that prompts may name.
        cache: keeps hashes of stored files.
    """
    files = _AssetFiles(instance, open_store, input_assets, found.prompts.values(), cache)
    prompts: dict[str, Prompt] = {}
    problems: list[PromptProblem] = []
    for prompt in found.prompts.values():
        mine = [
            PromptProblem(source, prompt.id, f"inputs.{name}", problem, id=prompt.id)
            for name, problem in files.list_problems(prompt)
        ]
        problems += mine
        if not mine:
            prompts[prompt.id] = files.resolve(prompt)
    return replace(found, prompts=prompts, problems=(*found.problems, *problems))


def find_newest(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions: Collection[str]
) -> dict[str, dg.EventLogRecord]:
    """Return the newest materialization for each of these prompts or partitions that has one.

    That is the partition's own, or the asset's only one if it has no partitions.
    """
    newest: dict[str, dg.EventLogRecord] = {}
    wanted = sorted(partitions)
    for start in range(0, len(wanted), _PARTITIONS_AT_ONCE):
        some = wanted[start : start + _PARTITIONS_AT_ONCE]
        missing = set(some)
        for record in list_materializations(instance, asset_key, some):
            if record.partition_key in missing:
                newest[record.partition_key] = record
                missing.discard(record.partition_key)
                if not missing:
                    break
    last = instance.fetch_materializations(asset_key, limit=1).records
    if last and last[0].partition_key is None:
        return {partition: newest.get(partition, last[0]) for partition in wanted}
    return newest


def find_asset_version(instance: dg.DagsterInstance, asset_keys: Collection[dg.AssetKey]) -> str:
    """Return a token that changes whenever one of these assets is materialized again."""
    newest = (instance.fetch_materializations(key, limit=1).records for key in asset_keys)
    return " ".join(str(records[0].storage_id) if records else "-" for records in newest)


_Reference = tuple[str, str]
"""An asset and a partition of it, or the id of the prompt that represents one."""


@dataclass(frozen=True)
class _Found:
    """What a reference leads to: a file, a URL, or a problem."""

    value: FileInput | str | None = None
    problem: str | None = None


class _AssetFiles:
    """The files that some prompts name, each looked up once."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        open_store: Callable[[], VideoStore],
        input_assets: Collection[dg.AssetKey],
        prompts: Collection[Prompt],
        cache: ProcessCache,
    ) -> None:
        self._instance = instance
        self._cache = cache
        self._open_store = open_store
        self._known = [key.to_user_string() for key in input_assets]
        wanted: dict[str, set[str]] = {}
        for prompt in prompts:
            for file in _list_asset_files(prompt.inputs):
                wanted.setdefault(file.asset, set()).add(_reference(prompt, file)[1])
        self._records = {
            asset: find_newest(instance, dg.AssetKey.from_user_string(asset), partitions)
            for asset, partitions in wanted.items()
            if asset in self._known
        }
        self._found: dict[_Reference, _Found] = {}

    def list_problems(self, prompt: Prompt) -> Iterator[tuple[str, str]]:
        """Yield inputs whose files cannot be had, and why."""
        for name, value in prompt.inputs.items():
            for file in _list_asset_files({name: value}):
                problem = self._find(prompt, file).problem
                if problem is not None:
                    yield name, problem

    def resolve(self, prompt: Prompt) -> Prompt:
        """Return the prompt with the files themselves; all of them can be had."""

        def find(file: FileInput) -> FileInput | str:
            if not isinstance(file, AssetFileInput):
                return file
            value = self._find(prompt, file).value
            if isinstance(value, (LocalFileInput, StoredFileInput)):
                return replace(value, url_input=file.url_input)
            return file if value is None else value

        return replace(prompt, inputs=replace_files(prompt.inputs, find))

    def _find(self, prompt: Prompt, file: AssetFileInput) -> _Found:
        reference = _reference(prompt, file)
        if reference not in self._found:
            try:
                self._found[reference] = _Found(self._open(file, reference))
            except (InputError, MediaError, StoreError) as error:
                self._found[reference] = _Found(problem=str(error))
        return self._found[reference]

    def _open(self, file: AssetFileInput, reference: _Reference) -> FileInput | str:
        asset, partition = reference
        if asset not in self._known:
            raise InputError(
                f'"{asset}" is not among the input assets of this collection.'
                f"{did_you_mean(asset, self._known)} Add it in its definition: "
                f'VideoCollection(input_assets=["{asset}"]).'
            )
        record = self._records[asset].get(partition)
        if record is None:
            raise InputError(self._why_missing(file, partition))
        event = record.asset_materialization
        uri = None if event is None else _find_uri(event.metadata)
        if event is None or uri is None:
            raise InputError(
                f'the newest materialization of "{file}" names no file. Have it record one: '
                'dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(path)}).'
            )
        return self._open_uri(uri, event.metadata, record.storage_id, asset)

    def _why_missing(self, file: AssetFileInput, partition: str) -> str:
        key = dg.AssetKey.from_user_string(file.asset)
        if not self._instance.fetch_materializations(key, limit=1).records:
            return f'the asset "{file.asset}" has not been materialized yet. Materialize it.'
        missing = f'"{file.asset}" has no partition "{partition}" yet. Materialize it'
        if file.partition is not None:
            return f"{missing}."
        return f"{missing}, or name another: {{asset: {file.asset}, partition: …}}."

    def _open_uri(
        self, uri: str, metadata: Mapping[str, Any], storage_id: int, asset: str
    ) -> FileInput | str:
        if is_url(uri):
            return uri
        parts = urlsplit(uri)
        if parts.scheme == "file":
            return _read_local(Path(url2pathname(parts.path)), asset)
        if "://" not in uri:
            return _read_local(Path(uri), asset)
        store = self._open_store()
        key = _find_key(store, uri)
        if key is None:
            raise InputError(
                f'"{asset}" made {uri}, which is not in this collection\'s video store. Have it '
                "record a path of this machine, an http(s) URL, or a file of that store."
            )
        return self._read_stored(store, key, uri, metadata, storage_id)

    def _read_stored(
        self, store: VideoStore, key: str, uri: str, metadata: Mapping[str, Any], storage_id: int
    ) -> StoredFileInput:
        sha256 = getattr(metadata.get("wiro/sha256"), "value", None)
        size_bytes = getattr(metadata.get("wiro/size_bytes"), "value", None)
        # Of several files only the first has its sha256 there, and the size is that of all.
        if sha256 is None or size_bytes is None or "wiro/files" in metadata:
            # A file of one materialization does not change.
            sha256, size_bytes = self._cache.get((uri, storage_id), lambda: _measure(store, key))
        if size_bytes > MAX_FILE_BYTES:
            raise InputError(
                f"{uri} has {size_bytes} bytes; Wiro takes {MAX_FILE_BYTES} (100 MB) at most."
            )
        return StoredFileInput(key, sha256, size_bytes)


def _reference(prompt: Prompt, file: AssetFileInput) -> _Reference:
    return file.asset, prompt.id if file.partition is None else file.partition


def _list_asset_files(inputs: Mapping[str, Any]) -> Iterator[AssetFileInput]:
    return (file for file in list_files(inputs) if isinstance(file, AssetFileInput))


def _find_uri(metadata: Mapping[str, Any]) -> str | None:
    for key in _URI_KEYS:
        value = getattr(metadata.get(key), "value", None)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _read_local(path: Path, asset: str) -> LocalFileInput:
    try:
        file = read_local_file(path)
        with file.path.open("rb") as opened:
            start = opened.read(2)
    except (InputError, OSError) as error:
        raise InputError(f'{error} It is what "{asset}" made; materialize it again.') from error
    if start in _PICKLE_STARTS:
        raise InputError(
            f"{path} is a Python object that an IO manager keeps, and not a file. Have "
            f'"{asset}" write the file, and return dg.MaterializeResult(metadata={{"path": '
            "dg.MetadataValue.path(path)})."
        )
    return file


def _find_key(store: VideoStore, uri: str) -> str | None:
    """The store's key of a URI; `None` if the URI is not the store's."""
    parts = unquote(urlsplit(uri).path).strip("/").split("/")
    for start in range(len(parts) - 1, -1, -1):
        key = "/".join(parts[start:])
        try:
            if store.uri_for(key) == uri:
                return key
        except StoreError:  # the store gives no such names
            return None
    return None


def _measure(store: VideoStore, key: str) -> tuple[str, int]:
    """The sha256 and the size in bytes of a stored file."""
    with store.local_copy(key) as path:
        return hash_file(path), path.stat().st_size
