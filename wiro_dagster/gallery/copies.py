"""Copies of a store's files on the local disk, for browsers that seek in them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import defaultdict
from pathlib import Path
from threading import Lock

from wiro_dagster.errors import StoreError
from wiro_dagster.store import VideoStore, check_key
from wiro_dagster.store.keys import is_own_page

_MOST_BYTES = 4 * 1024**3


class Copies:
    """Brings each file that is asked for once; the ones unused for longest make room.

    Args:
        store: has the files.
        folder: on the local disk, for this process only.
        most_bytes: what all copies may take; one file may be larger.
    """

    def __init__(self, store: VideoStore, folder: Path, *, most_bytes: int = _MOST_BYTES) -> None:
        self._store = store
        self._folder = folder
        self._most_bytes = most_bytes
        self._locks: dict[str, Lock] = defaultdict(Lock)
        self._locks_lock = Lock()

    def find(self, key: str) -> Path | None:
        """Return the copy of a file; None if the store has no such file.

        Raises:
            StoreError: the store cannot be read.
            MediaError: the file is not the one that was stored.
        """
        try:
            check_key(key)
        except StoreError:
            return None
        # Two requests for one video bring it once; browsers send several at a time.
        with self._locks_lock:
            lock = self._locks[key]
        with lock:
            size_bytes = self._store.find_size(key)
            if size_bytes is None:
                return None
            path = self._folder / hashlib.sha256(key.encode()).hexdigest()
            # Files never change under their keys, but our own pages do.
            if is_own_page(key) or not path.exists() or path.stat().st_size != size_bytes:
                self._bring(key, path)
            os.utime(path)
            return path

    def _bring(self, key: str, path: Path) -> None:
        part = path.with_suffix(".part")
        with self._store.local_copy(key) as copy:
            try:
                shutil.copyfile(copy, part)
                part.replace(path)
            except OSError as error:
                raise StoreError(f"{key} cannot be copied to {self._folder}: {error}") from error
        self._make_room(path)

    def _make_room(self, newest: Path) -> None:
        kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        taken_bytes = 0
        for path in kept:
            taken_bytes += path.stat().st_size
            # A file that a browser is reading stays readable until it is closed.
            if taken_bytes > self._most_bytes and path != newest:
                path.unlink(missing_ok=True)
