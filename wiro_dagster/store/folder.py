"""Files in a folder of this machine, or of a share that is mounted here."""

from __future__ import annotations

import errno
import math
import os
import stat
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from wiro_dagster.errors import StoreError
from wiro_dagster.store.disk import remove_stale, store_error
from wiro_dagster.store.keys import check_key
from wiro_dagster.store.notes import (
    MAX_NOTE_BYTES,
    NOTES_FOLDER,
    decode_note,
    encode_note,
    note_name,
    note_path,
)

_STAGING = ".staging"
_CLEAR_UP_SECONDS = 60.0
"""How often a process looks for staged files that another one left behind."""


class FolderStore:
    """Keeps files in a folder, which is made when the first file comes.

    A file appears under its name at once and whole: it is written to a hidden folder beside,
    flushed to the disk, then renamed.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().absolute()
        self._cleared_up_at = -math.inf

    def __repr__(self) -> str:
        return f"FolderStore({str(self.root)!r})"

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a fresh path on the same file system as the folder."""
        folder = self.root / _STAGING
        try:
            _make_folder(folder)
            if time.monotonic() - self._cleared_up_at >= _CLEAR_UP_SECONDS:
                self._cleared_up_at = time.monotonic()
                remove_stale(folder)
        except OSError as error:
            raise store_error(error, self.root, "prepared for a new file") from error
        staged = folder / f"{uuid.uuid4().hex}.part"
        try:
            yield staged
        finally:
            with suppress(OSError):
                staged.unlink(missing_ok=True)

    def commit(
        self,
        staged: Path,
        key: str,
        *,
        content_type: str | None,  # noqa: ARG002 - a folder keeps names and bytes, nothing else
        sha256: str,  # noqa: ARG002
    ) -> str:
        """Rename a staged file to its key, so that it survives a power cut."""
        target = self._path(key)
        self._move(staged, target, key)
        return target.as_uri()

    def find_size(self, key: str) -> int | None:
        """Return the size in bytes; None if the file does not exist."""
        size_bytes = self._read_size(key)
        if size_bytes is not None:
            # Found after a crash, its name may not have reached the disk yet: from here on it has.
            try:
                _flush_folder(self._path(key).parent)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise store_error(error, self.root, f"read ({key})") from error
        return size_bytes

    def uri_for(self, key: str) -> str:
        """Return the file's `file://` URI."""
        return self._path(key).as_uri()

    @contextmanager
    def local_copy(self, key: str) -> Iterator[Path]:
        """Yield the kept file itself: read it, do not write to it."""
        path = self._path(key)
        if self._read_size(key) is None:
            raise StoreError(f"{path} is gone. Order its prompt again, or restore the file.")
        yield path

    def view_url(self, key: str, *, expires_seconds: int = 3600) -> str | None:  # noqa: ARG002
        """Return None: a folder serves nothing."""
        check_key(key)
        return None

    def write_note(self, name: str, content: Mapping[str, Any]) -> None:
        """Write the note to a hidden folder, then rename it into place."""
        path, encoded = note_path(name), encode_note(name, content)
        with self.staging() as staged:
            try:
                staged.write_bytes(encoded)
            except OSError as error:
                raise store_error(error, self.root, f"written ({path})") from error
            self._move(staged, self.root / path, path)

    def read_note(self, name: str) -> Mapping[str, Any] | None:
        """Read the note's file."""
        path = self.root / note_path(name)
        try:
            with path.open("rb") as file:
                encoded = file.read(MAX_NOTE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise store_error(error, self.root, f"read ({name})") from error
        return decode_note(encoded, path.as_uri())

    def list_notes(self, prefix: str = "") -> Iterator[str]:
        """List the folders below the notes' own that the prefix names."""
        notes = self.root / NOTES_FOLDER
        parent = prefix.rpartition("/")[0]
        top = notes / check_key(parent) if parent else notes
        try:
            paths = [path.relative_to(notes).as_posix() for path in top.rglob("*.json")]
        except OSError as error:
            raise store_error(error, self.root, "listed (notes)") from error
        names = (note_name(path) for path in paths)
        yield from sorted(name for name in names if name is not None and name.startswith(prefix))

    def _read_size(self, key: str) -> int | None:
        path = self._path(key)
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_error(error, self.root, f"read ({key})") from error
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path} is not a file. Move it out of the video store's way.")
        return found.st_size

    def _move(self, staged: Path, target: Path, name: str) -> None:
        try:
            _make_folder(target.parent)
            _flush(staged)
            staged.replace(target)
            _flush_folder(target.parent)
        except OSError as error:
            raise store_error(error, self.root, f"written ({name})") from error

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*check_key(key).split("/"))


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _flush_folder(folder.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder, and writes its entries through anyway.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems do not support it for folders.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(handle)
