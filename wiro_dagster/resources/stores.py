"""Dagster resources for the video store: what each is, and a local folder as one.

S3 is in `wiro_dagster.resources.s3`, which loads boto3.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
from pydantic import Field

from wiro_dagster.store import FolderStore, VideoStore


class VideoStoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where videos end up. Subclass it to bring a store of your own."""

    @abstractmethod
    def get_store(self) -> VideoStore:
        """The store, usable from several threads."""


class S3Place(VideoStoreResource):
    """Where in S3 videos end up, and how S3 keeps them. `S3VideoStore` says how to reach it."""

    bucket: str = Field(description="The bucket; it must exist.")
    prefix: str = Field(default="", description="Put before every key, with a / between.")
    server_side_encryption: str | None = Field(
        default=None, description='"AES256" or "aws:kms"; none leaves it to the bucket.'
    )
    kms_key_id: str | None = Field(default=None, description='The key for "aws:kms".')
    storage_class: str | None = Field(
        default=None, description='Such as "STANDARD_IA"; none leaves it to the bucket.'
    )


class FolderVideoStore(VideoStoreResource):
    """A local folder as the video store."""

    path: str = Field(description="The folder; it is created if it is missing.")
    base_url: str | None = Field(
        default=None,
        description=(
            "URL of a web server for the folder: http://127.0.0.1:8379. Links that a "
            "browser can open begin with it."
        ),
    )

    def __init__(self, **settings: Any) -> None:
        if isinstance(settings.get("path"), Path):
            settings["path"] = str(settings["path"])
        super().__init__(**settings)

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
