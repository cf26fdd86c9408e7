"""Receive a file from a server: count it, hash it, write it to the disk, refuse excuses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from wiro_dagster.errors import DownloadError, StoreError
from wiro_dagster.media.content_type import HEAD_BYTES, is_error_page
from wiro_dagster.store.disk import store_error


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


def receive(remote: RemoteFile, staged: Path, max_bytes: int) -> tuple[int, str]:
    """Write an answer to a staged file. Return its size in bytes and its SHA-256.

    Raises:
        DownloadError: it is cut, or larger than allowed.
        StoreError: the disk cannot take it.
    """
    length = remote.content_length
    if length is not None and length > max_bytes:
        raise too_large(length, max_bytes)
    received_bytes = 0
    hashed = hashlib.sha256()
    with writing(staged) as write:
        for chunk in remote.chunks():
            received_bytes += len(chunk)
            if received_bytes > max_bytes:
                raise too_large(received_bytes, max_bytes)
            hashed.update(chunk)
            write(chunk)
    if length is not None and received_bytes != length:
        raise DownloadError(
            f"The download is incomplete: {received_bytes} bytes came, its server announced "
            f"{length}. It will be tried again."
        )
    return received_bytes, hashed.hexdigest()


def refuse_error_page(staged: Path, content_type: str | None) -> None:
    """Make sure that what came is not a server's excuse instead of the file.

    Raises:
        DownloadError: it is empty, or a page or message.
    """
    with staged.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise DownloadError("The file is empty. It will be tried again.")
    if is_error_page(head, content_type):
        raise DownloadError(
            f"A web page or a message came instead of the file ({content_type or 'unknown type'})."
            " It will be tried again."
        )


@contextmanager
def writing(staged: Path) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that appends bytes to a staged file.

    Raises:
        StoreError: the disk cannot take them.
    """

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


def too_large(size_bytes: int, max_bytes: int) -> DownloadError:
    """Return the error for a file that is larger than the user's limit."""
    return DownloadError(
        f"The file is larger than allowed: {size_bytes} bytes or more, {max_bytes} are accepted. "
        "Raise OrderPolicy.max_file_bytes; it then comes, as long as Wiro still has it.",
        is_final=True,
        is_configuration=True,
    )
