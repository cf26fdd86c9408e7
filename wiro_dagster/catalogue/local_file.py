"""A file of this machine as a model's input, known by its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from wiro_dagster.errors import InputError

MAX_FILE_BYTES = 100_000_000
"""Wiro takes files of 100 MB at most."""


@dataclass(frozen=True, slots=True)
class LocalFileInput:
    """A local file as it was when the prompt was read.

    Args:
        path: where it lies, absolute.
        sha256: of its bytes, 64 hex digits.
        size_bytes: its length.
        url_input: the input that takes the file as a URL; `None` where that is not known.
    """

    path: Path
    sha256: str
    size_bytes: int
    url_input: str | None = field(default=None, compare=False)


def read_local_file(path: Path) -> LocalFileInput:
    """Measures and hashes a file.

    A file that is unchanged by size, inode and modification time is hashed once per process.

    Raises:
        InputError: it is missing, unreadable, not a plain file, empty, or over 100 MB.
    """
    try:
        path = path.resolve()
        if not path.exists():
            raise InputError(f"there is no file {path}. Correct the path or add the file.")
        if not path.is_file():
            raise InputError(f"{path} is not a file. Give the path of one file.")
        stat = path.stat()
        if stat.st_size > MAX_FILE_BYTES:
            raise InputError(
                f"{path} has {stat.st_size} bytes; Wiro takes {MAX_FILE_BYTES} (100 MB) at most. "
                "Make it smaller, or give an https URL."
            )
        if stat.st_size == 0:
            raise InputError(f"{path} is empty. Replace it with the real file.")
        sha256 = _hash_once(path, (stat.st_size, stat.st_mtime_ns, stat.st_ino))
    except (OSError, RuntimeError, ValueError) as error:
        # ValueError: a NUL in the path. RuntimeError: a loop of links.
        raise InputError(f"{path} cannot be read: {error}. Correct the path or its rights.") from (
            error
        )
    return LocalFileInput(path, sha256, stat.st_size)


def check_unchanged(file: LocalFileInput) -> None:
    """Makes sure that a file still has the bytes that were ordered; always reads it.

    Raises:
        InputError: it is gone, unreadable, or has changed since the prompt was read.
    """
    try:
        sha256 = hash_file(file.path)
    except OSError as error:
        raise InputError(
            f"{file.path} can no longer be read: {error}. Put it back, or order the prompt again."
        ) from error
    if sha256 != file.sha256:
        raise InputError(
            f"{file.path} has changed since its prompt was read. "
            "Order the prompt again to use the new file."
        )


def hash_file(path: Path) -> str:
    """The sha256 of a file's bytes, 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@lru_cache(maxsize=4096)
def _hash_once(path: Path, _state: tuple[int, int, int]) -> str:
    return hash_file(path)
