"""Dagster resources for the video store: what each is, and a local folder as one.

S3 is in `wiro_dagster.resources.s3`, which loads boto3.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from wiro_dagster.store import FolderStore, VideoStore
from wiro_dagster.store.served import ServedStore


class VideoStoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where videos end up. Subclass it to bring a store of your own."""

    @abstractmethod
    def get_store(self) -> VideoStore:
        """The store, usable from several threads."""


def base_url_field() -> Any:
    """Return the field of a store that a web server may show."""
    return Field(
        default=None,
        description=(
            "URL of a web server for the store: http://127.0.0.1:8379, as `wiro-dagster serve` "
            "shows it. Links that a browser can open begin with it."
        ),
    )


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
    base_url: str | None = base_url_field()


class FolderVideoStore(VideoStoreResource):
    """A local folder as the video store."""

    path: str = Field(description="The folder; it is created if it is missing.")
    base_url: str | None = base_url_field()

    def __init__(self, **settings: Any) -> None:
        if isinstance(settings.get("path"), Path):
            settings["path"] = str(settings["path"])
        super().__init__(**settings)

    def get_store(self) -> VideoStore:
        """The folder as a store."""
        return serve_at(FolderStore(Path(self.path).expanduser().absolute()), self.base_url)


def serve_at(store: VideoStore, base_url: str | None) -> VideoStore:
    """Return the store, with addresses on a web server if there is one."""
    return store if not base_url else ServedStore(store, base_url)
