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
        return UploadedFile(**kept.file)

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
            self._records.keep(file.sha256, KeptUpload(uploaded.model_dump(), self._clock()))
        return uploaded
