"""The video store that a text names: a folder, or `s3://bucket/prefix`."""

from __future__ import annotations

from pathlib import Path

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources.stores import FolderVideoStore, VideoStoreResource


def build_video_store(place: str | Path, *, base_url: str | None = None) -> VideoStoreResource:
    """Build the store that a text names: a folder, or `s3://bucket/prefix`.

    For S3, boto3's own environment variables apply, `AWS_ENDPOINT_URL_S3` too.

    Args:
        place: the folder, or the URI.
        base_url: where a web server shows the folder, if one does.

    Raises:
        ConfigurationError: the text names another kind of place.
    """
    place = str(place)
    if place.startswith("s3://"):
        from wiro_dagster.resources.s3 import s3_video_store_from_uri  # loads boto3

        return s3_video_store_from_uri(place)
    if "://" in place:
        raise ConfigurationError(
            f'The video store (WIRO_VIDEO_STORE) is "{place}". '
            "Name a folder, or s3://bucket/prefix."
        )
    return FolderVideoStore(path=place, base_url=base_url)
