"""Clear up local disks after a crash, and say why a write failed."""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wiro_dagster.errors import StoreError

STALE_SECONDS = 24 * 3600.0
STAGING_PREFIX = "wiro-dagster-staging-"
COPY_PREFIX = "wiro-dagster-copy-"
_READ_BYTES = 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def remove_stale(folder: Path, pattern: str = "*.part") -> None:
    """Remove staged files that a process which died left more than a day ago."""
    oldest = time.time() - STALE_SECONDS
    for staged in folder.glob(pattern):
        # Another process may be clearing up too.
        with suppress(OSError):
            if staged.stat().st_mtime < oldest:
                staged.unlink()


@contextmanager
def temporary_folder(parent: Path | None, prefix: str) -> Iterator[Path]:
    """Yield a folder on the local disk that is removed at the end.

    Args:
        parent: where it is made; the system's temporary folder if None.
        prefix: of its name, `STAGING_PREFIX` or `COPY_PREFIX`.

    Raises:
        StoreError: the disk cannot be used.
    """
    parent = parent or Path(tempfile.gettempdir())
    try:
        _remove_stale_folders(parent)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        raise store_error(error, parent, "used for temporary files") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale_folders(parent: Path) -> None:
    # Copies are left alone: a process may be reading one for days.
    oldest = time.time() - STALE_SECONDS
    for folder in parent.glob(f"{STAGING_PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    return digest_of(path, "sha256")


def digest_of(path: Path, algorithm: str) -> str:
    """Return a hash of a file's bytes, in hexadecimal digits.

    It guards against accidents, not against forgery, so MD5 will do if a service offers
    nothing better.
    """
    hashed = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            hashed.update(chunk)
    return hashed.hexdigest()


def store_error(error: OSError, folder: Path, what: str) -> StoreError:
    """Return an operating system's error as a `StoreError` that says what to do.

    Args:
        error: what the system reported.
        folder: the folder that was used.
        what: completes "… could not be", such as "written (a.mp4)".
    """
    reason = error.strerror or type(error).__name__
    happened = f"The video store {folder} could not be {what}: {reason}."
    if error.errno in _FULL:
        return StoreError(f"{happened} {_free(folder)} Make room there, or use another store.")
    if error.errno in _FORBIDDEN:
        return StoreError(
            f"{happened} Give this process's user write access to the folder.",
            is_configuration=True,
        )
    return StoreError(f"{happened} Check that its drive or share is mounted and writable.")


def _free(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return f"{free_bytes / 1_000_000:,.1f} MB are free."
