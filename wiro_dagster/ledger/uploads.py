"""Uploads that an account keeps at Wiro, remembered by content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from wiro_dagster.ledger.ledger import Ledger
from wiro_dagster.ledger.schema import uploads


@dataclass(frozen=True)
class KeptUpload:
    """An upload that may be used again.

    Args:
        file: as Wiro keeps it, in plain JSON.
        uploaded_at: unix seconds.
    """

    file: Mapping[str, Any]
    uploaded_at: float


class LedgerUploads:
    """Remembers uploads in the ledger's database, for all processes. Thread-safe.

    Args:
        ledger: whose database.
        account: another account cannot see these files.
    """

    def __init__(self, ledger: Ledger, account: str) -> None:
        self._ledger = ledger
        self._account = account

    def find(self, sha256: str) -> KeptUpload | None:
        """Return the newest upload of these bytes; `None` if there is none."""
        query = sa.select(uploads.c.content, uploads.c.uploaded_at).where(self._row(sha256))
        with self._ledger.reading() as connection:
            found = connection.execute(query).one_or_none()
        return None if found is None else KeptUpload(found[0], found[1])

    def keep(self, sha256: str, upload: KeptUpload) -> None:
        """Remember an upload instead of an older one of the same bytes."""
        with self._ledger.writing() as connection:
            connection.execute(sa.delete(uploads).where(self._row(sha256)))
            with connection.begin_nested() as savepoint:
                try:
                    connection.execute(
                        sa.insert(uploads).values(
                            account=self._account,
                            sha256=sha256,
                            uploaded_at=upload.uploaded_at,
                            content=dict(upload.file),
                        )
                    )
                except sa.exc.IntegrityError:
                    savepoint.rollback()  # another process uploaded the same at the same time

    def _row(self, sha256: str) -> sa.ColumnElement[bool]:
        return (uploads.c.account == self._account) & (uploads.c.sha256 == sha256)
