"""A store whose files a web server shows, as `wiro-dagster dev` and `wiro-dagster serve` do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from wiro_dagster.store.keys import check_key
from wiro_dagster.store.protocol import VideoStore


class ServedStore:
    """Another store, whose files have lasting addresses on a web server.

    Args:
        store: keeps the files.
        base_url: what the addresses begin with: http://127.0.0.1:8379.
    """

    def __init__(self, store: VideoStore, base_url: str) -> None:
        self.store = store
        self._base_url = base_url.rstrip("/")

    def __repr__(self) -> str:
        return f"ServedStore({self.store!r}, {self._base_url!r})"

    def staging(self) -> AbstractContextManager[Path]:
        """See `VideoStore`."""
        return self.store.staging()

    def commit(self, staged: Path, key: str, *, content_type: str | None, sha256: str) -> str:
        """See `VideoStore`."""
        return self.store.commit(staged, key, content_type=content_type, sha256=sha256)

    def find_size(self, key: str) -> int | None:
        """See `VideoStore`."""
        return self.store.find_size(key)

    def uri_for(self, key: str) -> str:
        """See `VideoStore`."""
        return self.store.uri_for(key)

    def local_copy(self, key: str) -> AbstractContextManager[Path]:
        """See `VideoStore`."""
        return self.store.local_copy(key)

    def view_url(self, key: str, *, expires_seconds: int = 3600) -> str | None:  # noqa: ARG002
        """Return the file's address, which works for as long as the server runs."""
        return f"{self._base_url}/{quote(check_key(key))}"

    def write_note(self, name: str, content: Mapping[str, Any]) -> None:
        """See `VideoStore`."""
        self.store.write_note(name, content)

    def read_note(self, name: str) -> Mapping[str, Any] | None:
        """See `VideoStore`."""
        return self.store.read_note(name)

    def list_notes(self, prefix: str = "") -> Iterator[str]:
        """See `VideoStore`."""
        return self.store.list_notes(prefix)


def has_lasting_links(store: VideoStore, key: str) -> bool:
    """Tell whether a link to a file needs no signature, and the gallery is shown beside it."""
    return isinstance(store, ServedStore) or store.uri_for(key).startswith("file:")
