"""Files uploaded to Wiro once, and used again by their content.

uploads = Uploads(client, LedgerUploads(ledger, account), clock=ledger.clock)
url = uploads.upload(Path("face.jpg")).url  # the second time, and anywhere else: no upload
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.types import UploadedFile
from wiro_dagster.catalogue import check_unchanged, read_local_file
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.schema import uploads

WEEK_SECONDS = 7 * 86_400.0


@dataclass(frozen=True)
class KeptUpload:
    """An upload that may be used again.

    Args:
        file: as Wiro keeps it.
        uploaded_at: unix seconds.
    """

    file: UploadedFile
    uploaded_at: float


class UploadRecords(Protocol):
    """Remembers uploads by the sha256 of their bytes."""

    def find(self, sha256: str) -> KeptUpload | None:
        """The newest upload of these bytes; `None` where there is none."""

    def keep(self, sha256: str, upload: KeptUpload) -> None:
        """Remembers an upload instead of an older one of the same bytes."""


class Uploads:
    """Uploads files, each content once. Thread-safe.

    Args:
        client: of the account.
        records: what was uploaded before.
        reuse_seconds: for how long an upload is used again. Wiro does not say how long it keeps
            files.
        clock: gives unix seconds.
    """

    def __init__(
        self,
        client: WiroClient,
        records: UploadRecords,
        *,
        reuse_seconds: float = WEEK_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._records = records
        self._reuse_seconds = reuse_seconds
        self._clock = clock
        self._turns: dict[str, threading.Lock] = {}

    def find(self, sha256: str) -> UploadedFile | None:
        """An upload of these bytes that may be used again; `None` where there is none.

        Args:
            sha256: 64 hex digits.
        """
        kept = self._records.find(sha256)
        if kept is None or self._clock() - kept.uploaded_at >= self._reuse_seconds:
            return None
        return kept.file

    def upload(self, path: Path, folder_id: str | None = None) -> UploadedFile:
        """Has a file at Wiro, and uploads it only where the same bytes are not there yet.

        Args:
            path: 100 MB at most.
            folder_id: the folder to keep a new upload in.

        Raises:
            InputError: the file cannot be read, is empty, is too large, or changed meanwhile.
            ApiError: it could not be uploaded.
        """
        file = read_local_file(path)
        # Whoever comes second finds what the first one brought.
        with self._turns.setdefault(file.sha256, threading.Lock()):
            found = self.find(file.sha256)
            if found is not None:
                return found
            uploaded = self._client.upload_file(path, folder_id)
            # What was written to while it was sent must not stand for the bytes of before.
            check_unchanged(file)
            self._records.keep(file.sha256, KeptUpload(uploaded, self._clock()))
        return uploaded


class LedgerUploads:
    """Remembers uploads in the ledger's database, for all processes. Thread-safe.

    Args:
        ledger: whose database.
        account: short hash of the API key: another account cannot see these files.
    """

    def __init__(self, ledger: Ledger, account: str) -> None:
        self._ledger = ledger
        self._account = account

    def find(self, sha256: str) -> KeptUpload | None:
        """The newest upload of these bytes; `None` where there is none."""
        query = sa.select(uploads.c.content, uploads.c.uploaded_at).where(self._row(sha256))
        with self._ledger.reading() as connection:
            found = connection.execute(query).one_or_none()
        return None if found is None else KeptUpload(_file_from(found[0]), found[1])

    def keep(self, sha256: str, upload: KeptUpload) -> None:
        """Remembers an upload instead of an older one of the same bytes."""
        file = upload.file
        content = {name: getattr(file, name) for name in UploadedFile.__dataclass_fields__}
        with self._ledger.writing() as connection:
            connection.execute(sa.delete(uploads).where(self._row(sha256)))
            with connection.begin_nested() as savepoint:
                try:
                    connection.execute(
                        sa.insert(uploads).values(
                            account=self._account,
                            sha256=sha256,
                            uploaded_at=upload.uploaded_at,
                            content=content,
                        )
                    )
                except sa.exc.IntegrityError:
                    savepoint.rollback()  # somebody uploaded the same at the same time

    def _row(self, sha256: str) -> sa.ColumnElement[bool]:
        return (uploads.c.account == self._account) & (uploads.c.sha256 == sha256)


def _file_from(content: dict[str, Any]) -> UploadedFile:
    return UploadedFile(**content)
