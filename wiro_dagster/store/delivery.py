"""From a URL into the store, verified on the way: the last step of what was paid for.

A step may be repeated at any time. A process that dies leaves at worst a staged file; one that died
after the commit finds the file in the store, reads it back, and downloads nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from wiro_dagster.errors import DownloadError, MediaError, StoreError
from wiro_dagster.media import probe_media
from wiro_dagster.media.content_type import is_generic
from wiro_dagster.store.disk import store_error
from wiro_dagster.store.keys import suffix_for, suffix_for_codec
from wiro_dagster.store.protocol import StoredFile, VideoStore

DEFAULT_MAX_BYTES = 2 * 1024**3
_READ_BYTES = 1024 * 1024


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
) -> StoredFile:
    """Have the file of a URL in the store, whole and verified; download it only if it is not there.

    Bytes must be as many as the transport announced and as many as Wiro announced: either mismatch
    is an error, since both promise the same file. The file must decode to its end.

    Args:
        source: fetches the URL.
        url: where the file is.
        store: where it goes.
        key_base: its key without suffix, from `output_key`. The suffix follows from the content
            type: Wiro's, else the transport's.
        content_type: as Wiro announces it.
        size_bytes: as Wiro announces it.
        max_bytes: the most that is accepted.

    Raises:
        DownloadError: the file cannot be had, or is not the size that was announced; final when
            it is larger than `max_bytes`.
        MediaError: the file came as announced but does not decode.
        StoreError: the store cannot take it.
    """
    if size_bytes is not None and size_bytes > max_bytes:
        raise _too_large(size_bytes, max_bytes)
    suffix = suffix_for(content_type)
    if suffix:
        kept = _find_kept(store, key_base + suffix, content_type, size_bytes)
        if kept is not None:
            return kept
    with store.staging() as staged:
        with source.download(url) as remote:
            actual_type = remote.content_type if is_generic(content_type) else content_type
            received_bytes, sha256 = _receive(remote, staged, size_bytes, max_bytes)
        media = probe_media(staged, actual_type)
        key = key_base + (
            suffix or suffix_for(actual_type) or suffix_for_codec(media.kind, media.codec)
        )
        uri = store.commit(staged, key, content_type=actual_type, sha256=sha256)
    return StoredFile(key, uri, received_bytes, sha256, actual_type, media)


def store_text(
    text: str, store: VideoStore, key_base: str, *, content_type: str = "text/plain; charset=utf-8"
) -> StoredFile:
    """Keep the text that a language model returned instead of a file, as UTF-8.

    Args:
        text: what was returned.
        store: where it goes.
        key_base: its key without suffix, from `output_key`.
        content_type: what it is kept as.

    Raises:
        MediaError: the text is empty.
        StoreError: the store cannot take it.
    """
    # JSON can carry half a character; such text is kept readable rather than refused.
    encoded = text.encode("utf-8", "backslashreplace")
    sha256 = hashlib.sha256(encoded).hexdigest()
    key = key_base + (suffix_for(content_type) or ".txt")
    with store.staging() as staged:
        with _writing(staged) as write:
            write(encoded)
        media = probe_media(staged, content_type)
        uri = store.commit(staged, key, content_type=content_type, sha256=sha256)
    return StoredFile(key, uri, len(encoded), sha256, content_type, media)


def _find_kept(
    store: VideoStore, key: str, content_type: str | None, size_bytes: int | None
) -> StoredFile | None:
    """The file of an earlier attempt that got as far as the commit, if it is sound."""
    kept_bytes = store.find_size(key)
    if kept_bytes is None or size_bytes not in (None, kept_bytes):
        return None
    try:
        with store.local_copy(key) as path:
            sha256 = _sha256_of(path)
            media = probe_media(path, content_type)
    except MediaError:
        return None  # Damaged in the store: download it again while it can still be had.
    return StoredFile(key, store.uri_for(key), kept_bytes, sha256, content_type, media)


def _receive(
    remote: RemoteFile, staged: Path, size_bytes: int | None, max_bytes: int
) -> tuple[int, str]:
    length = remote.content_length
    if length is not None and length > max_bytes:
        raise _too_large(length, max_bytes)
    if length is not None and size_bytes is not None and length != size_bytes:
        raise DownloadError(
            f"The file is not the one that was announced: Wiro says {size_bytes} bytes, "
            f"its server says {length}. It will be tried again."
        )
    received_bytes = 0
    hashed = hashlib.sha256()
    with _writing(staged) as write:
        for chunk in remote.chunks():
            received_bytes += len(chunk)
            if received_bytes > max_bytes:
                raise _too_large(received_bytes, max_bytes)
            hashed.update(chunk)
            write(chunk)
    for announced, by in ((length, "its server"), (size_bytes, "Wiro")):
        if announced is not None and received_bytes != announced:
            raise DownloadError(
                f"The download is incomplete: {received_bytes} bytes came, {by} announced "
                f"{announced}. It will be tried again."
            )
    return received_bytes, hashed.hexdigest()


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
