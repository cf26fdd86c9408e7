"""Files as inputs: of this machine, of the video store, or what an asset materialized."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from wiro_dagster.catalogue.bounds import MAX_FILE_BYTES
from wiro_dagster.errors import InputError


@dataclass(frozen=True, slots=True)
class LocalFileInput:
    """A local file as it was when the prompt was read.

    Args:
        path: absolute.
        sha256: of its bytes, 64 hex digits.
        size_bytes: its length.
        url_input: the input that takes the file as a URL; `None` if that is not known.
    """

    path: Path
    sha256: str
    size_bytes: int
    url_input: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class StoredFileInput:
    """A file of the video store, copied from there when it is sent.

    Args:
        key: its name in the store.
        sha256: of its bytes, 64 hex digits.
        size_bytes: its length.
        url_input: the input that takes the file as a URL; `None` if that is not known.
    """

    key: str
    sha256: str
    size_bytes: int
    url_input: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AssetFileInput:
    """The file that an asset last materialized, not looked up yet.

    Args:
        asset: the asset's key, its parts divided by slashes.
        partition: of the asset; `None` means the prompt's own id if the asset has partitions.
        url_input: the input that takes the file as a URL; `None` if that is not known.
    """

    asset: str
    partition: str | None = None
    url_input: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """As messages name it."""
        return self.asset if self.partition is None else f"{self.asset}[{self.partition}]"


FileInput = LocalFileInput | StoredFileInput | AssetFileInput
"""A file as an input's value, wherever it is kept."""


@dataclass(frozen=True)
class LocalFolders:
    """The folders from which prompts may take local files.

    A prompt could otherwise send any file of this machine to Wiro.

    Args:
        base: what relative paths start from; files below it are allowed.
        allowed: further folders. Relative ones start from `base`.
    """

    base: Path
    allowed: tuple[Path, ...] = ()

    def read(self, path: str | Path) -> LocalFileInput:
        """Measure and hash a file.

        Raises:
            InputError: it lies elsewhere after links are resolved, or cannot be used.
        """
        found = _resolved(self.base / path)
        folders = [self.base, *(self.base / folder.expanduser() for folder in self.allowed)]
        if not any(found.is_relative_to(_resolved(folder)) for folder in folders):
            raise InputError(
                f"{found} is outside the folders that prompts may take files from. Move it below "
                f"{_resolved(self.base)}, or allow its folder with allowed_folders."
            )
        return read_local_file(found)


def read_local_file(path: Path) -> LocalFileInput:
    """Measure and hash a file, wherever it lies.

    A file that is unchanged by size, inode and modification time is hashed once per process.

    Raises:
        InputError: it is missing, unreadable, not a plain file, empty, or over 100 MB.
    """
    path = _resolved(path)
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError(f"{path} is not a plain file. Give the path of one file.")
        if state.st_size > MAX_FILE_BYTES:
            raise InputError(
                f"{path} has {state.st_size} bytes; Wiro takes {MAX_FILE_BYTES} (100 MB) at most. "
                "Make it smaller, or give an https URL."
            )
        if state.st_size == 0:
            raise InputError(f"{path} is empty. Replace it with the real file.")
        sha256 = _hash_once(path, (state.st_size, state.st_mtime_ns, state.st_ino))
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}. Correct the path or add the file.") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    return LocalFileInput(path, sha256, state.st_size)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        # ValueError: a NUL in the path. RuntimeError: a loop of links.
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read: {error}. Correct the path or its rights.")


def check_unchanged(file: LocalFileInput) -> None:
    """Make sure that a file still has the bytes that were ordered; always reads it.

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
