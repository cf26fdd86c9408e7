"""Bring a file from a URL into the store, and inspect it on the way.

A step may be repeated at any time. A process that dies leaves at worst a staged file; if it dies
after the commit, the next one finds the file in the store, reads it back, and downloads nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from wiro_dagster.errors import DownloadError, MediaError, StoreError
from wiro_dagster.media import Inspection, MediaFacts, inspect
from wiro_dagster.media.content_type import HEAD_BYTES, is_error_page, is_generic
from wiro_dagster.store.disk import store_error
from wiro_dagster.store.keys import kept_suffix, kept_type, suffix_for
from wiro_dagster.store.protocol import StoredFile, VideoStore

DEFAULT_MAX_BYTES = 2 * 1024**3
_READ_BYTES = 1024 * 1024
# How often the same bytes must come before doubtful ones are what their source has.
_DOUBTFUL_TIMES = 2
_UNLIKELY_TIMES = 4

Look = Callable[[Path, "str | None"], Inspection]
"""Inspects a file that was announced as a content type: `inspect`, or a variant of it."""


class RemoteFile(Protocol):
    """An answer that is being received."""

    @property
    def content_length(self) -> int | None:
        """Bytes announced by the transport."""
        ...

    @property
    def content_type(self) -> str | None:
        """Type announced by the transport."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """The body, piece by piece; raises `DownloadError` when it breaks off."""
        ...


class FileSource(Protocol):
    """Fetches files: `WiroClient` is one."""

    def download(self, url: str) -> AbstractContextManager[RemoteFile]:
        """Open a URL; raises `DownloadError`."""
        ...


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

    Raises:
        DownloadError: the file cannot be had, is cut, or must come once more to be sure of it;
            final when it is larger than `max_bytes`.
        StoreError: the store cannot take it.
    """
    if size_bytes is not None and size_bytes > max_bytes:
        raise _too_large(size_bytes, max_bytes)
    announced_bytes = size_bytes or None
    kept = _find_sound(store, key_base, content_type, look)
    if kept is not None and announced_bytes in (None, kept.size_bytes):
        return kept
    with store.staging() as staged:
        with source.download(url) as remote:
            actual_type = remote.content_type if is_generic(content_type) else content_type
            is_sized = announced_bytes is not None or remote.content_length is not None
            received_bytes, sha256 = _receive(remote, staged, max_bytes)
        _refuse_error_page(staged, actual_type)
        seen = look(staged, actual_type)
        kept_as = kept_type(seen, actual_type)
        key = key_base + kept_suffix(kept_as, seen.facts.kind)
        arrived = StoredFile(
            key, store.uri_for(key), received_bytes, sha256, kept_as, seen.facts, seen.problem, seen
        )
        doubt = _why_doubt(arrived, announced_bytes, is_sized=is_sized)
        if doubt is None:
            _commit(store, staged, arrived)
        else:
            _settle_doubt(
                store,
                staged,
                arrived,
                doubt,
                announced_bytes=announced_bytes,
                note=f"doubtful/{key_base}",
            )
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
        with _writing(staged) as write:
            write(encoded)
        uri = store.commit(staged, key, content_type=content_type, sha256=sha256)
    return StoredFile(key, uri, len(encoded), sha256, content_type, MediaFacts("file"))


def _find_sound(
    store: VideoStore, key_base: str, content_type: str | None, look: Look
) -> StoredFile | None:
    """Return the file of an earlier try that reached the commit, if nothing is wrong."""
    suffix = suffix_for(content_type)
    kept_bytes = store.find_size(key_base + suffix) if suffix else None
    if kept_bytes is None:
        return None
    key = key_base + suffix
    try:
        with store.local_copy(key) as path:
            sha256 = _sha256_of(path)
            seen = look(path, content_type)
    except MediaError:
        return None  # damaged in the store: download it again while it can still be had
    if seen.problem:
        return None
    uri, kept_as = store.uri_for(key), kept_type(seen, content_type)
    return StoredFile(key, uri, kept_bytes, sha256, kept_as, seen.facts, None, seen)


def _receive(remote: RemoteFile, staged: Path, max_bytes: int) -> tuple[int, str]:
    length = remote.content_length
    if length is not None and length > max_bytes:
        raise _too_large(length, max_bytes)
    received_bytes = 0
    hashed = hashlib.sha256()
    with _writing(staged) as write:
        for chunk in remote.chunks():
            received_bytes += len(chunk)
            if received_bytes > max_bytes:
                raise _too_large(received_bytes, max_bytes)
            hashed.update(chunk)
            write(chunk)
    if length is not None and received_bytes != length:
        raise DownloadError(
            f"The download is incomplete: {received_bytes} bytes came, its server announced "
            f"{length}. It will be tried again."
        )
    return received_bytes, hashed.hexdigest()


def _refuse_error_page(staged: Path, content_type: str | None) -> None:
    with staged.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise DownloadError("The file is empty. It will be tried again.")
    if is_error_page(head, content_type):
        raise DownloadError(
            f"A web page or a message came instead of the file ({content_type or 'unknown type'})."
            " It will be tried again."
        )


def _why_doubt(arrived: StoredFile, announced_bytes: int | None, *, is_sized: bool) -> str | None:
    """Return why bytes that came may not be the file as its source has it; None if they are."""
    if announced_bytes not in (None, arrived.size_bytes):
        return f"{arrived.size_bytes} bytes came, Wiro announced {announced_bytes}."
    unseen = arrived.inspection.unseen if arrived.inspection else None
    if unseen and not is_sized:
        return f"Its length was not announced, and {unseen}."
    return arrived.problem


def _settle_doubt(
    store: VideoStore,
    staged: Path,
    arrived: StoredFile,
    doubt: str,
    *,
    announced_bytes: int | None,
    note: str,
) -> None:
    """Accept a doubtful file that has come often enough; else keep it, and have it come again.

    Raises:
        DownloadError: it must come again.
    """
    # Too few bytes are what a cut download brings, and bytes that look like no media at all are
    # another file: neither is believed soon.
    is_unlikely = arrived.size_bytes < (announced_bytes or 0) or arrived.media.kind == "file"
    earlier = store.read_note(note) or {}
    is_same = earlier.get("sha256") == arrived.sha256
    times = earlier.get("times", 0) + 1 if is_same else 1
    if arrived.size_bytes >= earlier.get("size_bytes", 0) or times > 1:
        _commit(store, staged, arrived)
    if times >= (_UNLIKELY_TIMES if is_unlikely else _DOUBTFUL_TIMES):
        return
    found = {"sha256": arrived.sha256, "size_bytes": arrived.size_bytes, "times": times}
    store.write_note(note, found)
    raise DownloadError(f"{doubt} What came is kept; it will be fetched again to be sure of it.")


def _commit(store: VideoStore, staged: Path, arrived: StoredFile) -> None:
    store.commit(staged, arrived.key, content_type=arrived.content_type, sha256=arrived.sha256)


@contextmanager
def _writing(staged: Path) -> Iterator[Callable[[bytes], object]]:
    # Only what the disk says becomes a StoreError: errors of the network are OSErrors too.
    def refuse(error: OSError) -> StoreError:
        return store_error(error, staged.parent, "written")

    try:
        file = staged.open("wb")
    except OSError as error:
        raise refuse(error) from error

    def write(chunk: bytes) -> None:
        try:
            file.write(chunk)
        except OSError as error:
            raise refuse(error) from error

    try:
        yield write
    finally:
        try:
            file.close()
        except OSError as error:
            raise refuse(error) from error


def _too_large(size_bytes: int, max_bytes: int) -> DownloadError:
    return DownloadError(
        f"The file is larger than allowed: {size_bytes} bytes or more, {max_bytes} are accepted. "
        "Raise the limit to take it.",
        is_final=True,
    )


def _sha256_of(path: Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            hashed.update(chunk)
    return hashed.hexdigest()
