"""Files in Google Cloud Storage or Azure, through fsspec's file systems.

    store = CloudStore(gcsfs.GCSFileSystem(use_listings_cache=False), "gs", "my-bucket/videos")

Any file system of fsspec works whose uploads are all or nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wiro_dagster.errors import MediaError, StoreError
from wiro_dagster.store.cloud_errors import cloud_errors
from wiro_dagster.store.disk import COPY_PREFIX, STAGING_PREFIX, temporary_folder
from wiro_dagster.store.keys import check_key, is_active, served_type
from wiro_dagster.store.notes import (
    MAX_NOTE_BYTES,
    NOTES_FOLDER,
    decode_note,
    encode_note,
    note_name,
    note_path,
)

_LONGEST_VIEW_SECONDS = 7 * 24 * 3600
_READ_BYTES = 1024 * 1024


class CloudStore:
    """Keeps files as objects, through a file system of fsspec.

    A file is staged on the local disk and uploaded. Before `commit` returns, its size and its MD5
    are compared with those that the service states.

    Args:
        files: the file system; it must not cache listings.
        scheme: of its URIs: "gs" or "az".
        root: an existing bucket or container, and a prefix if there is one: "media/videos".
        temporary_folder: where files are staged and copied to; the system's when None.
    """

    def __init__(
        self, files: Any, scheme: str, root: str, *, temporary_folder: Path | None = None
    ) -> None:
        self.root = root.strip("/")
        self._files = files
        self._scheme = scheme
        self._temporary_folder = temporary_folder
        self._place = f"{scheme}://{self.root}"

    def __repr__(self) -> str:
        return f"CloudStore({self._place!r})"

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a fresh path on the local disk."""
        with temporary_folder(self._temporary_folder, STAGING_PREFIX) as folder:
            yield folder / "staged"

    def commit(self, staged: Path, key: str, *, content_type: str | None, sha256: str) -> str:
        """Upload a staged file, and make sure that the service has it as it was."""
        path = self._path(key)
        with cloud_errors(f"{key} could not be uploaded to", self._place):
            size_bytes, digest = staged.stat().st_size, _md5_of(staged)
            options = self._upload_options(key, content_type, digest, sha256)
            self._files.put_file(str(staged), path, **options)
        if not _is_same(self._find_object(key), size_bytes, digest):
            raise StoreError(
                f"{self.uri_for(key)} was uploaded, but the service does not show it as it was "
                "sent. It will be tried again; if this stays, check what else writes there."
            )
        return self.uri_for(key)

    def find_size(self, key: str) -> int | None:
        """Return the size in bytes; None if the object does not exist."""
        found = self._find_object(key)
        return None if found is None else int(found["size"])

    def uri_for(self, key: str) -> str:
        """Return the object's URI."""
        return f"{self._scheme}://{self._path(key)}"

    @contextmanager
    def local_copy(self, key: str) -> Iterator[Path]:
        """Yield a copy on the local disk, compared with the MD5 that the service states."""
        found = self._find_object(key)
        if found is None:
            raise StoreError(
                f"{self.uri_for(key)} is gone. Order its prompt again, or restore the object."
            )
        with temporary_folder(self._temporary_folder, COPY_PREFIX) as folder:
            path = folder / Path(key).name
            with cloud_errors(f"{key} could not be downloaded from", self._place):
                self._files.get_file(self._path(key), str(path))
            if not _is_same(found, path.stat().st_size, _md5_of(path)):
                raise MediaError(
                    f"{self.uri_for(key)} is not the file that was uploaded: its size or MD5 "
                    "differs. Order its prompt again, or restore the object."
                )
            yield path

    def view_url(self, key: str, *, expires_seconds: int = 3600) -> str | None:
        """Return a signed URL for seven days at most; None if our credentials cannot sign."""
        options = {"version": "v4"} if self._scheme == "gs" else {}
        path, seconds = self._path(key), min(expires_seconds, _LONGEST_VIEW_SECONDS)
        try:
            return str(self._files.sign(path, expiration=seconds, **options))
        except Exception:  # only some kinds of credentials hold a key to sign with
            return None

    def write_note(self, name: str, content: Mapping[str, Any]) -> None:
        """Put the note as one small object."""
        path, encoded = note_path(name), encode_note(name, content)
        with cloud_errors(f"The note {name} could not be written to", self._place):
            self._files.pipe_file(f"{self.root}/{path}", encoded)

    def read_note(self, name: str) -> Mapping[str, Any] | None:
        """Get the note's object."""
        path = f"{self.root}/{note_path(name)}"
        with cloud_errors(f"The note {name} could not be read from", self._place):
            try:
                encoded = self._files.cat_file(path)
            except FileNotFoundError:
                return None
        return decode_note(encoded[: MAX_NOTE_BYTES + 1], f"{self._scheme}://{path}")

    def list_notes(self, prefix: str = "") -> Iterator[str]:
        """List the objects below the notes' folder that the prefix names."""
        notes = f"{self.root}/{NOTES_FOLDER}"
        parent = prefix.rpartition("/")[0]
        top = f"{notes}/{check_key(parent)}" if parent else notes
        with cloud_errors("Notes could not be listed in", self._place):
            try:
                paths = self._files.find(top)
            except FileNotFoundError:
                paths = []
        # Some file systems start their paths with a slash.
        found = (str(path).lstrip("/").removeprefix(f"{notes}/") for path in paths)
        names = (note_name(path) for path in found)
        yield from sorted(name for name in names if name is not None and name.startswith(prefix))

    def _find_object(self, key: str) -> Mapping[str, Any] | None:
        path = self._path(key)
        with cloud_errors(f"{key} could not be looked up in", self._place):
            try:
                found: Mapping[str, Any] = self._files.info(path)
            except FileNotFoundError:
                return None
        return found if found.get("type") == "file" else None

    def _upload_options(
        self, key: str, content_type: str | None, digest: bytes, sha256: str
    ) -> dict[str, Any]:
        served = served_type(content_type)
        shown = {"content_disposition": "attachment"} if is_active(key, content_type) else {}
        if self._scheme == "gs":
            return {
                "content_type": served,
                "fixed_key_metadata": shown,
                "metadata": {"sha256": sha256},
                "consistency": "md5",
            }
        if self._scheme == "az":
            settings = {"content_type": served, "content_md5": bytearray(digest), **shown}
            return {"content_settings": settings}
        return {}

    def _path(self, key: str) -> str:
        return f"{self.root}/{check_key(key)}"


def _is_same(found: Mapping[str, Any] | None, size_bytes: int, digest: bytes) -> bool:
    """Compare an object with a file, by all that the service states about it."""
    if found is None or found["size"] != size_bytes:
        return False
    stated = _stated_md5(found)
    return stated is None or stated == digest


def _stated_md5(found: Mapping[str, Any]) -> bytes | None:
    if found.get("md5Hash"):  # Google
        return base64.b64decode(found["md5Hash"])
    stated = (found.get("content_settings") or {}).get("content_md5")  # Azure
    return bytes(stated) if stated else None


def _md5_of(path: Path) -> bytes:
    # It guards against accidents on the way, not against forgery: sha256 is in the ledger.
    hashed = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            hashed.update(chunk)
    return hashed.digest()
