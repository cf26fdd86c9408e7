"""What stores of objects have in common: files go by the local disk, and are compared there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from wiro_dagster.errors import MediaError, StoreError
from wiro_dagster.store.disk import COPY_PREFIX, STAGING_PREFIX, digest_of, temporary_folder

LONGEST_VIEW_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class StoredObject:
    """What a service states about an object.

    Args:
        size_bytes: its size.
        digest: hash of its content, in hexadecimal digits; None if the service states none.
    """

    size_bytes: int
    digest: str | None


class ObjectStore(ABC):
    """Keeps files as objects of a service.

    A file is staged on the local disk and uploaded. Before `commit` returns, what the service
    states about the object is compared with the file.

    Args:
        temporary_folder: where files are staged and copied to; the system's when None.
    """

    algorithm: str
    """The hash that the service states, by its name in `hashlib`."""

    def __init__(self, temporary_folder: Path | None) -> None:
        self._temporary_folder = temporary_folder

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a fresh path on the local disk."""
        with temporary_folder(self._temporary_folder, STAGING_PREFIX) as folder:
            yield folder / "staged"

    def commit(self, staged: Path, key: str, *, content_type: str | None, sha256: str) -> str:
        """Upload a staged file, and make sure that the service has it as it was."""
        with self._errors(f"{key} could not be uploaded to"):
            digests = {"sha256": sha256}
            if self.algorithm not in digests:
                digests[self.algorithm] = digest_of(staged, self.algorithm)
            sent = StoredObject(staged.stat().st_size, digests[self.algorithm])
            self._upload(staged, key, content_type=content_type, digests=digests)
        if not _agree(self._find_object(key), sent):
            raise StoreError(
                f"{self.uri_for(key)} was uploaded, but the service does not show it as it was "
                "sent. It will be tried again; if this stays, check what else writes there."
            )
        return self.uri_for(key)

    def find_size(self, key: str) -> int | None:
        """Return the size in bytes; None if the object does not exist."""
        found = self._find_object(key)
        return None if found is None else found.size_bytes

    @contextmanager
    def local_copy(self, key: str) -> Iterator[Path]:
        """Yield a copy on the local disk, compared with what the service states."""
        found = self._find_object(key)
        if found is None:
            raise StoreError(
                f"{self.uri_for(key)} is gone. Order its prompt again, or restore the object."
            )
        with temporary_folder(self._temporary_folder, COPY_PREFIX) as folder:
            path = folder / Path(key).name
            with self._errors(f"{key} could not be downloaded from"):
                self._download(key, path)
            digest = None if found.digest is None else digest_of(path, self.algorithm)
            if not _agree(found, StoredObject(path.stat().st_size, digest)):
                raise MediaError(
                    f"{self.uri_for(key)} is not the file that was uploaded: its size or "
                    f"{self.algorithm.upper()} differs. Order its prompt again, or restore the "
                    "object."
                )
            yield path

    @abstractmethod
    def uri_for(self, key: str) -> str:
        """Return the object's URI."""

    @abstractmethod
    def _errors(self, what: str) -> AbstractContextManager[None]:
        """Turn the service's errors into `StoreError`; `what` starts the message."""

    @abstractmethod
    def _find_object(self, key: str) -> StoredObject | None:
        """Look an object up; None if it does not exist."""

    @abstractmethod
    def _upload(
        self, staged: Path, key: str, *, content_type: str | None, digests: Mapping[str, str]
    ) -> None:
        """Upload a file, all or nothing. `digests` has its SHA-256, and its hash by `algorithm`."""

    @abstractmethod
    def _download(self, key: str, path: Path) -> None:
        """Download an object that exists."""


def _agree(found: StoredObject | None, file: StoredObject) -> bool:
    if found is None or found.size_bytes != file.size_bytes:
        return False
    return found.digest is None or found.digest == file.digest
