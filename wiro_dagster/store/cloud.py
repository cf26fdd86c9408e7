"""Files in Google Cloud Storage or Azure, through fsspec's file systems.

    store = CloudStore(gcsfs.GCSFileSystem(use_listings_cache=False), "gs", "my-bucket/videos")

Any file system of fsspec works whose uploads are all or nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from wiro_dagster.store.cloud_errors import cloud_errors
from wiro_dagster.store.keys import check_key, is_active, served_type
from wiro_dagster.store.notes import (
    MAX_NOTE_BYTES,
    NOTES_FOLDER,
    decode_note,
    encode_note,
    note_name,
    note_path,
)
from wiro_dagster.store.objects import LONGEST_VIEW_SECONDS, ObjectStore, StoredObject


class CloudStore(ObjectStore):
    """Keeps files as objects, through a file system of fsspec.

    Size and MD5 are compared with those that the service states.

    Args:
        files: the file system; it must not cache listings.
        scheme: of its URIs: "gs" or "az".
        root: an existing bucket or container, and a prefix if there is one: "media/videos".
        temporary_folder: where files are staged and copied to; the system's when None.
    """

    algorithm = "md5"

    def __init__(
        self, files: Any, scheme: str, root: str, *, temporary_folder: Path | None = None
    ) -> None:
        super().__init__(temporary_folder)
        self.root = root.strip("/")
        self._files = files
        self._scheme = scheme
        self._place = f"{scheme}://{self.root}"

    def __repr__(self) -> str:
        return f"CloudStore({self._place!r})"

    def uri_for(self, key: str) -> str:
        """Return the object's URI."""
        return f"{self._scheme}://{self._path(key)}"

    def view_url(self, key: str, *, expires_seconds: int = 3600) -> str | None:
        """Return a signed URL for seven days at most; None if our credentials cannot sign."""
        options = {"version": "v4"} if self._scheme == "gs" else {}
        path, seconds = self._path(key), min(expires_seconds, LONGEST_VIEW_SECONDS)
        try:
            return str(self._files.sign(path, expiration=seconds, **options))
        except Exception:  # only some kinds of credentials hold a key to sign with
            return None

    def write_note(self, name: str, content: Mapping[str, Any]) -> None:
        """Put the note as one small object."""
        path, encoded = note_path(name), encode_note(name, content)
        with self._errors(f"The note {name} could not be written to"):
            self._files.pipe_file(f"{self.root}/{path}", encoded)

    def read_note(self, name: str) -> Mapping[str, Any] | None:
        """Get the note's object."""
        path = f"{self.root}/{note_path(name)}"
        with self._errors(f"The note {name} could not be read from"):
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
        with self._errors("Notes could not be listed in"):
            try:
                paths = self._files.find(top)
            except FileNotFoundError:
                paths = []
        # Some file systems start their paths with a slash.
        found = (str(path).lstrip("/").removeprefix(f"{notes}/") for path in paths)
        names = (note_name(path) for path in found)
        yield from sorted(name for name in names if name is not None and name.startswith(prefix))

    def _errors(self, what: str) -> AbstractContextManager[None]:
        return cloud_errors(what, self._place)

    def _find_object(self, key: str) -> StoredObject | None:
        with self._errors(f"{key} could not be looked up in"):
            try:
                found: Mapping[str, Any] = self._files.info(self._path(key))
            except FileNotFoundError:
                return None
        return StoredObject(found["size"], _stated_md5(found)) if found["type"] == "file" else None

    def _upload(
        self, staged: Path, key: str, *, content_type: str | None, digests: Mapping[str, str]
    ) -> None:
        options = self._upload_options(key, content_type, digests)
        self._files.put_file(str(staged), self._path(key), **options)

    def _download(self, key: str, path: Path) -> None:
        self._files.get_file(self._path(key), str(path))

    def _upload_options(
        self, key: str, content_type: str | None, digests: Mapping[str, str]
    ) -> dict[str, Any]:
        served = served_type(content_type)
        shown = {"content_disposition": "attachment"} if is_active(key, content_type) else {}
        if self._scheme == "gs":
            return {
                "content_type": served,
                "fixed_key_metadata": shown,
                "metadata": {"sha256": digests["sha256"]},
                "consistency": "md5",
            }
        if self._scheme == "az":
            settings = {
                "content_type": served,
                "content_md5": bytearray.fromhex(digests["md5"]),
                **shown,
            }
            return {"content_settings": settings}
        return {}

    def _path(self, key: str) -> str:
        return f"{self.root}/{check_key(key)}"


def _stated_md5(found: Mapping[str, Any]) -> str | None:
    if found.get("md5Hash"):  # Google
        return base64.b64decode(found["md5Hash"]).hex()
    stated = (found.get("content_settings") or {}).get("content_md5")  # Azure
    return bytes(stated).hex() if stated else None
