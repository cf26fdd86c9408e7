"""Dagster resources for the video store: a local folder here, S3 in `wiro_dagster.s3_resource`."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

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

    def get_store(self) -> VideoStore:
        """The folder as a store.

        Raises:
            StoreError: the folder cannot be made.
        """
        return FolderStore(Path(self.path).expanduser().absolute())


def build_video_store(place: str) -> VideoStoreResource:
    """The store that a text names: a folder, or `s3://bucket/prefix`.

    For S3, boto3's own environment variables apply, `AWS_ENDPOINT_URL_S3` too.

    Raises:
        ConfigurationError: the text names another kind of place, or S3 support is not installed.
    """
    if place.startswith("s3://"):
        try:
            from wiro_dagster.s3_resource import s3_video_store_from_uri  # noqa: PLC0415
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
    return FolderVideoStore(path=place)
