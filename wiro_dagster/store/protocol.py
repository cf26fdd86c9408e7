"""The interface of a video store, and the description of a file that it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wiro_dagster.media import Inspection, MediaFacts


@dataclass(frozen=True)
class StoredFile:
    """A file that is in the store with all its bytes: it is owned, whatever is wrong with it."""

    key: str
    """Its name in the store, relative and safe on every system."""
    uri: str
    """Where it is: `file://…` or `s3://…`."""
    size_bytes: int
    sha256: str
    """Of its bytes, 64 hexadecimal digits."""
    content_type: str | None
    """What it is, not what it was called."""
    media: MediaFacts
    problem: str | None = None
    """What is wrong with it, such as damage at its source; None if nothing is."""
    inspection: Inspection | None = field(default=None, repr=False, compare=False)
    """All that looking at it has shown; not part of `to_json`."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for the ledger."""
        return {
            "key": self.key,
            "uri": self.uri,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "content_type": self.content_type,
            "media": self.media.to_json(),
            "problem": self.problem,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> StoredFile:
        """Reverse `to_json`."""
        return cls(
            key=values["key"],
            uri=values["uri"],
            size_bytes=values["size_bytes"],
            sha256=values["sha256"],
            content_type=values["content_type"],
            media=MediaFacts.from_json(values["media"]),
            problem=values.get("problem"),
        )


class VideoStore(Protocol):
    """Keeps files by key. Several threads may call its methods at once.

    All of them raise `StoreError` when the store cannot be reached or used, or the key is not a
    safe relative name (`check_key`).
    """

    def staging(self) -> AbstractContextManager[Path]:
        """Yield a fresh path to write a file to; what is still there at the end is removed."""
        ...

    def commit(self, staged: Path, key: str, *, content_type: str | None, sha256: str) -> str:
        """Keep a staged file under a key, all of it or nothing.

        Replaces an older file; committing the same bytes again is fine.

        Args:
            staged: a path that `staging` gave; it may be gone afterwards.
            key: the file's name in the store.
            content_type: what it is served as, if the store serves it.
            sha256: of the file's bytes.

        Returns:
            The file's URI. It is durable by then.
        """
        ...

    def find_size(self, key: str) -> int | None:
        """Return the size in bytes of a kept file; None if there is no file under this key."""
        ...

    def uri_for(self, key: str) -> str:
        """Return the URI of the file of a key, whether it exists or not."""
        ...

    def local_copy(self, key: str) -> AbstractContextManager[Path]:
        """Yield a path to read the file from; it may be the file itself: do not write to it.

        Raises:
            StoreError: the file does not exist.
            MediaError: its bytes are not those that were committed, if the store can tell.
        """
        ...

    def view_url(self, key: str, *, expires_seconds: int = 3600) -> str | None:
        """Return a URL that a browser elsewhere can open for a while; None if there is none."""
        ...

    def write_note(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep a small JSON object beside the files, all of it or nothing; replaces an older one.

        Args:
            name: a safe relative name (`check_key`), such as "orders/42".
            content: plain JSON values, at most 64 KB of them.
        """
        ...

    def read_note(self, name: str) -> Mapping[str, Any] | None:
        """Return a note; None if it is missing or unreadable (then the log says so)."""
        ...

    def list_notes(self, prefix: str = "") -> Iterator[str]:
        """Yield the names of all notes that start with a prefix, in order of their names."""
        ...
