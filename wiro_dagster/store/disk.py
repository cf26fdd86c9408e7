"""Clear up local disks after a crash, and say why a write failed."""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
from contextlib import suppress
from pathlib import Path

from wiro_dagster.errors import StoreError

STALE_SECONDS = 24 * 3600.0
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


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    hashed = hashlib.sha256()
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
