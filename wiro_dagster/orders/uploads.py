"""Files uploaded to Wiro once, and used again by their content.

uploads = Uploads(client, LedgerUploads(ledger, account), clock=ledger.clock)
url = uploads.upload(Path("face.jpg")).url  # the second time, and anywhere else: no upload
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.types import UploadedFile
from wiro_dagster.catalogue import check_unchanged, read_local_file
from wiro_dagster.ledger.uploads import KeptUpload

WEEK_SECONDS = 7 * 86_400.0


class UploadRecords(Protocol):
    """Remembers uploads by the sha256 of their bytes."""

    def find(self, sha256: str) -> KeptUpload | None:
        """Return the newest upload of these bytes; `None` if they were never uploaded."""

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
        """Return an upload of these bytes that may be used again; `None` if none was made.

        Args:
            sha256: 64 hex digits.
        """
        kept = self._records.find(sha256)
        if kept is None or self._clock() - kept.uploaded_at >= self._reuse_seconds:
            return None
        return UploadedFile(**kept.file)

    def upload(self, path: Path, folder_id: str | None = None) -> UploadedFile:
        """Make sure that Wiro has a file: upload it only if it does not have the same bytes yet.

        Args:
            path: 100 MB at most.
            folder_id: the folder to keep a new upload in.

        Raises:
            InputError: the file cannot be read, is empty, is too large, or has changed since.
            ApiError: it could not be uploaded.
        """
        file = read_local_file(path)
        # The second caller finds what the first one uploaded.
        with self._turns.setdefault(file.sha256, threading.Lock()):
            found = self.find(file.sha256)
            if found is not None:
                return found
            uploaded = self._client.upload_file(path, folder_id)
            # What was written to while it was sent must not be used for the earlier bytes.
            check_unchanged(file)
            self._records.keep(file.sha256, KeptUpload(uploaded.model_dump(), self._clock()))
        return uploaded
