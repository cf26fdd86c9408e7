"""Dagster resources for the video store: a local folder here, S3 in `wiro_dagster.s3_resource`."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from urllib.parse import quote

import dagster as dg
from pydantic import Field

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.store import FolderStore, VideoStore


class VideoStoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where videos end up. Subclass it to bring a store of your own."""

    @abstractmethod
    def get_store(self) -> VideoStore:
        """The store, usable from several threads."""


class FolderVideoStore(VideoStoreResource):
    """A local folder as the video store."""

    path: str = Field(description="The folder; it is made where it is missing.")
    base_url: str | None = Field(
        default=None,
        description=(
            "Where a web server shows the folder, if one does: http://127.0.0.1:8379. Links that a "
            "browser can open begin with it."
        ),
    )

    def get_store(self) -> VideoStore:
        """The folder as a store."""
        folder = Path(self.path).expanduser().absolute()
        return FolderStore(folder) if not self.base_url else _ServedFolder(folder, self.base_url)


class _ServedFolder(FolderStore):
    """A folder that a web server shows."""

    def __init__(self, root: Path, base_url: str) -> None:
        super().__init__(root)
        self._base_url = base_url.rstrip("/")

    def view_url(self, key: str, *, expires_seconds: int = 3600) -> str | None:
        """The file's URL, for as long as the server runs."""
        super().view_url(key, expires_seconds=expires_seconds)
        return f"{self._base_url}/{quote(key)}"


def build_video_store(place: str, *, base_url: str | None = None) -> VideoStoreResource:
    """The store that a text names: a folder, or `s3://bucket/prefix`.

    For S3, boto3's own environment variables apply, `AWS_ENDPOINT_URL_S3` too.

    Args:
        place: names it.
        base_url: where a web server shows the folder, if one does.

    Raises:
        ConfigurationError: the text names another kind of place, or S3 support is not installed.
    """
    if place.startswith("s3://"):
        try:
            from wiro_dagster.s3_resource import s3_video_store_from_uri
        except ImportError as error:
            raise ConfigurationError(
                f'The video store (WIRO_VIDEO_STORE) is "{place}", but S3 support is not '
                'installed. Install it with: pip install "wiro-dagster[aws]"'
            ) from error
        return s3_video_store_from_uri(place)
    if "://" in place:
        raise ConfigurationError(
            f'The video store (WIRO_VIDEO_STORE) is "{place}". '
            "Name a folder, or s3://bucket/prefix."
        )
    return FolderVideoStore(path=place, base_url=base_url)
