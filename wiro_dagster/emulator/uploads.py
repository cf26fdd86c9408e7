"""Files that callers send: kept on disk beside the state, served from the files' host."""

from __future__ import annotations

import re
import shutil
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from wiro_dagster.emulator.refusals import (
    FILE_TOO_LARGE,
    FOLDER_NAME_INVALID,
    FOLDER_NOT_FOUND,
    Refused,
    parameter_required,
)
from wiro_dagster.emulator.state import State

MAXIMUM_FILE_BYTES = 100 * 1024 * 1024
_FOLDER_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class SentFile:
    """A file part of a multipart request, not yet kept.

    Args:
        name: the file name that the caller gave.
        content_type: the type that the caller gave.
        size_bytes: its length.
        stream: its bytes, at their beginning.
    """

    name: str
    content_type: str
    size_bytes: int
    stream: BinaryIO


@dataclass(frozen=True)
class Upload:
    """A kept file.

    Args:
        id: made by the emulator; also the name on disk.
        name: the name without any folder.
        content_type: as sent.
        size_bytes: its length.
        folder_id: the folder it was put into.
        added_at: unix seconds.
    """

    id: str
    name: str
    content_type: str
    size_bytes: int
    folder_id: str | None
    added_at: float

    def url_path(self) -> str:
        """Return its path on the files' host."""
        return f"/uploads/{self.id}/{self.name}"


class Uploads:
    """The folders and files of the project."""

    def __init__(self, state: State) -> None:
        self._connection = state.connection
        self._folder = state.files_folder / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        sent: SentFile,
        *,
        now: float,
        folder_id: str | None = None,
        task_number: int | None = None,
    ) -> Upload:
        """Keep a file.

        Raises:
            Refused: it is too large, or the folder does not exist.
        """
        if sent.size_bytes > MAXIMUM_FILE_BYTES:
            raise Refused(FILE_TOO_LARGE)
        if folder_id and self.find_folder(folder_id) is None:
            raise Refused(FOLDER_NOT_FOUND)
        upload = Upload(
            id=uuid.uuid4().hex,
            name=safe_name(sent.name),
            content_type=sent.content_type or "application/octet-stream",
            size_bytes=sent.size_bytes,
            folder_id=folder_id or None,
            added_at=now,
        )
        with self.path(upload.id).open("wb") as target:
            sent.stream.seek(0)
            shutil.copyfileobj(sent.stream, target)
        self._connection.execute(
            "INSERT INTO uploads (id, name, content_type, size_bytes, folder_id, task_number, "
            "added_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                upload.id,
                upload.name,
                upload.content_type,
                upload.size_bytes,
                upload.folder_id,
                task_number,
                upload.added_at,
            ),
        )
        return upload

    def find(self, upload_id: str) -> Upload | None:
        """Return the kept file with this id."""
        row = self._connection.execute(
            "SELECT * FROM uploads WHERE id = ?", (upload_id,)
        ).fetchone()
        return None if row is None else _upload_from(row)

    def path(self, upload_id: str) -> Path:
        """Return where its bytes are."""
        return self._folder / upload_id

    def delete_of_task(self, task_number: int) -> None:
        """Remove the input files that came with a task."""
        rows = self._connection.execute(
            "SELECT id FROM uploads WHERE task_number = ?", (task_number,)
        ).fetchall()
        for row in rows:
            self.path(row["id"]).unlink(missing_ok=True)
        self._connection.execute("DELETE FROM uploads WHERE task_number = ?", (task_number,))

    def delete_all(self) -> None:
        """Remove every kept file from the disk."""
        for path in self._folder.iterdir():
            path.unlink()

    def create_folder(self, name: object, parent_id: object, now: float) -> dict[str, Any]:
        """Make a folder and return its entry as the API shows it.

        Raises:
            Refused: the name is empty or has other characters than it may, or the parent is
                missing.
        """
        if not isinstance(name, str) or not name:
            raise Refused(parameter_required("name"))
        if not _FOLDER_NAME.fullmatch(name):
            raise Refused(FOLDER_NAME_INVALID)
        parent = str(parent_id) if parent_id else None
        if parent is not None and self.find_folder(parent) is None:
            raise Refused(FOLDER_NOT_FOUND)
        folder_id = uuid.uuid4().hex
        self._connection.execute(
            "INSERT INTO folders (id, name, parent_id, created_at) VALUES (?, ?, ?, ?)",
            (folder_id, name, parent, now),
        )
        return {
            "id": folder_id,
            "name": name,
            "parentid": parent or "root",
            "size": "0",
            "isfolder": True,
            "created": str(int(now)),
        }

    def find_folder(self, folder_id: str) -> sqlite3.Row | None:
        """Return the folder's row."""
        row: sqlite3.Row | None = self._connection.execute(
            "SELECT * FROM folders WHERE id = ?", (folder_id,)
        ).fetchone()
        return row


def safe_name(name: str) -> str:
    """Return the file name alone, with nothing in it that a URL or a path could trip over."""
    last = re.split(r"[\\/]", name)[-1]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".")[:100] or "file"


def _upload_from(row: sqlite3.Row) -> Upload:
    return Upload(
        id=row["id"],
        name=row["name"],
        content_type=row["content_type"],
        size_bytes=row["size_bytes"],
        folder_id=row["folder_id"],
        added_at=row["added_at"],
    )
