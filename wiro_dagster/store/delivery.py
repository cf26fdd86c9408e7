"""Bring a file from a URL into the store, and inspect it on the way.

A step may be repeated at any time. A process that dies leaves at worst a staged file; if it dies
after the commit, the next one finds the file in the store, reads it back, and downloads nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from wiro_dagster.errors import DownloadError, MediaError
from wiro_dagster.media import Inspection, MediaFacts, count_missing_bytes, inspect
from wiro_dagster.media.content_type import is_generic
from wiro_dagster.store.disk import sha256_of
from wiro_dagster.store.keys import kept_suffix, kept_type, suffix_for
from wiro_dagster.store.protocol import StoredFile, VideoStore
from wiro_dagster.store.receiving import (
    FileSource,
    receive,
    refuse_error_page,
    writing,
)

DEFAULT_MAX_BYTES = 2 * 1024**3
# How often the same bytes must come before doubtful ones are what their source has.
_DOUBTFUL_TIMES = 2
_UNLIKELY_TIMES = 4

Look = Callable[[Path, "str | None"], Inspection]
"""Inspects a file that was announced as a content type: `inspect`, or a variant of it."""


def store_download(
    source: FileSource,
    url: str,
    store: VideoStore,
    key_base: str,
    *,
    content_type: str | None = None,
    size_bytes: int | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    look: Look = inspect,
    is_late: bool = False,
) -> StoredFile:
    """Have the file of a URL in the store with all its bytes; download it only if it is missing.

    What came is owned at once if it is as long as announced and nothing is wrong with it. Otherwise
    it is kept, but owned only after other tries bring the same bytes: then the announcement is
    wrong, or the file is damaged at its source, and `problem` says what is wrong. A note in the
    store counts how often they came.

    Args:
        source: fetches the URL.
        url: where the file is.
        store: keeps it.
        key_base: its key without suffix, from `output_key`. The suffix follows from the content.
        content_type: as Wiro announces it.
        size_bytes: as Wiro announces it; 0 means not announced.
        max_bytes: the most that is accepted.
        look: inspects the file: `inspect`, or a variant of it.
        is_late: the source may no longer have the file: take what was kept, even if in doubt.

    Raises:
        DownloadError: the file cannot be had, is cut, or must come once more to be sure of it; both
            final and a matter of configuration if it is larger than `max_bytes`.
        StoreError: the store cannot take it.
    """
    announced_bytes = size_bytes or None
    owned = _find_owned(store, key_base, content_type, announced_bytes, look)
    if owned is not None:
        return owned
    try:
        return _download(
            source, url, store, key_base, content_type, announced_bytes, max_bytes, look
        )
    except DownloadError:
        doubtful = _find_doubtful(store, key_base, look) if is_late else None
        if doubtful is None:
            raise
        return doubtful


def _download(
    source: FileSource,
    url: str,
    store: VideoStore,
    key_base: str,
    content_type: str | None,
    announced_bytes: int | None,
    max_bytes: int,
    look: Look,
) -> StoredFile:
    with store.staging() as staged:
        with source.download(url) as remote:
            actual_type = remote.content_type if is_generic(content_type) else content_type
            is_sized = announced_bytes is not None or remote.content_length is not None
            received_bytes, sha256 = receive(remote, staged, max_bytes)
        refuse_error_page(staged, actual_type)
        missing_bytes = 0 if received_bytes == announced_bytes else count_missing_bytes(staged)
        seen = _note_missing(look(staged, actual_type), missing_bytes)
        arrived = _describe(store, key_base, actual_type, seen, received_bytes, sha256)
        doubt = _find_doubt(arrived, announced_bytes, missing_bytes, is_sized=is_sized)
        if doubt is None:
            _commit(store, staged, arrived)
            return arrived
        # If this process stood still, another one may have stored the whole file since.
        owned = _find_owned(store, key_base, content_type, announced_bytes, look)
        if owned is not None:
            return owned
        _settle_doubt(store, staged, arrived, doubt, note=_note_of(key_base))
    return arrived


def store_text(
    text: str, store: VideoStore, key_base: str, *, content_type: str = "text/plain; charset=utf-8"
) -> StoredFile:
    """Keep the text that a language model returned instead of a file, as UTF-8.

    Args:
        text: what was returned.
        store: keeps it.
        key_base: its key without suffix, from `output_key`.
        content_type: what it is kept as.

    Raises:
        MediaError: the text is empty.
        StoreError: the store cannot take it.
    """
    if not text:
        raise MediaError("The text is empty.")
    # JSON can carry half a character; such text is kept readable rather than refused.
    encoded = text.encode("utf-8", "backslashreplace")
    sha256 = hashlib.sha256(encoded).hexdigest()
    key = key_base + (suffix_for(content_type) or ".txt")
    with store.staging() as staged:
        with writing(staged) as write:
            write(encoded)
        uri = store.commit(staged, key, content_type=content_type, sha256=sha256)
    return StoredFile(key, uri, len(encoded), sha256, content_type, MediaFacts("file"))


def _find_owned(
    store: VideoStore,
    key_base: str,
    content_type: str | None,
    announced_bytes: int | None,
    look: Look,
) -> StoredFile | None:
    """Return the file of an earlier try that reached the commit, if there is no doubt about it."""
    suffix = suffix_for(content_type)
    kept_bytes = store.find_size(key_base + suffix) if suffix else None
    if kept_bytes is None or announced_bytes not in (None, kept_bytes):
        return None
    key = key_base + suffix
    try:
        with store.local_copy(key) as path:
            sha256, is_cut = sha256_of(path), count_missing_bytes(path) > 0
            seen = look(path, content_type)
    except MediaError:
        return None  # damaged in the store: download it again while it can still be had
    doubted = store.read_note(_note_of(key_base)) or {}
    if seen.problem or is_cut or doubted.get("sha256") == sha256:
        return None
    uri, kept_as = store.uri_for(key), kept_type(seen, content_type)
    return StoredFile(key, uri, kept_bytes, sha256, kept_as, seen.facts, None, seen)


def _find_doubtful(store: VideoStore, key_base: str, look: Look) -> StoredFile | None:
    """Return what an earlier try brought and kept, if it is still there as it came."""
    note = store.read_note(_note_of(key_base)) or {}
    key = str(note.get("key"))
    if not key.startswith(key_base) or store.find_size(key) is None:
        return None
    try:
        with store.local_copy(key) as path:
            sha256, size_bytes = sha256_of(path), path.stat().st_size
            seen = _note_missing(look(path, note.get("content_type")), count_missing_bytes(path))
    except MediaError:
        return None
    return _describe(store, key_base, note.get("content_type"), seen, size_bytes, sha256)


def _describe(
    store: VideoStore,
    key_base: str,
    content_type: str | None,
    seen: Inspection,
    size_bytes: int,
    sha256: str,
) -> StoredFile:
    kept_as = kept_type(seen, content_type)
    key = key_base + kept_suffix(kept_as, seen.facts.kind)
    uri = store.uri_for(key)
    return StoredFile(key, uri, size_bytes, sha256, kept_as, seen.facts, seen.problem, seen)


def _note_of(key_base: str) -> str:
    return f"doubtful/{key_base}"


@dataclass(frozen=True)
class _Doubt:
    """Why bytes that came may not be the file as its source has it.

    Args:
        why: a sentence.
        is_likely: whether the source may have just these bytes. Too few are what a cut download
            brings, and bytes that look like no media at all are another file: neither is believed
            soon.
    """

    why: str
    is_likely: bool = True


def _note_missing(seen: Inspection, missing_bytes: int) -> Inspection:
    """Add what a file lacks by its own account: all its pictures may be there without."""
    if not missing_bytes or seen.problem is not None:
        return seen
    problem = f"It is cut: by its own account, {missing_bytes} more bytes belong to it."
    return replace(seen, problem=problem)


def _find_doubt(
    arrived: StoredFile, announced_bytes: int | None, missing_bytes: int, *, is_sized: bool
) -> _Doubt | None:
    is_media = arrived.media.kind != "file"
    if announced_bytes not in (None, arrived.size_bytes):
        why = f"{arrived.size_bytes} bytes came, Wiro announced {announced_bytes}."
        return _Doubt(why, is_media and arrived.size_bytes > (announced_bytes or 0))
    if missing_bytes and arrived.problem is not None:
        return _Doubt(arrived.problem, is_likely=False)
    unseen = arrived.inspection.unseen if arrived.inspection else None
    if unseen and not is_sized:
        return _Doubt(f"Its length was not announced, and {unseen}.", is_media)
    return None if arrived.problem is None else _Doubt(arrived.problem, is_media)


def _settle_doubt(
    store: VideoStore, staged: Path, arrived: StoredFile, doubt: _Doubt, *, note: str
) -> None:
    """Accept a doubtful file that has come often enough; else keep it, and have it come again.

    Raises:
        DownloadError: it must come again.
    """
    earlier = store.read_note(note) or {}
    is_same = earlier.get("sha256") == arrived.sha256
    times = earlier.get("times", 0) + 1 if is_same else 1
    if arrived.size_bytes >= earlier.get("size_bytes", 0) or times > 1:
        _commit(store, staged, arrived)
    if times >= (_DOUBTFUL_TIMES if doubt.is_likely else _UNLIKELY_TIMES):
        return
    store.write_note(
        note,
        {
            "key": arrived.key,
            "content_type": arrived.content_type,
            "sha256": arrived.sha256,
            "size_bytes": arrived.size_bytes,
            "times": times,
        },
    )
    raise DownloadError(
        f"{doubt.why} What came is kept; it will be fetched again to be sure of it."
    )


def _commit(store: VideoStore, staged: Path, arrived: StoredFile) -> None:
    store.commit(staged, arrived.key, content_type=arrived.content_type, sha256=arrived.sha256)
