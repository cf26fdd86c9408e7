"""The video store that a text names: a folder, or a bucket of S3, Google Cloud Storage or Azure."""

from __future__ import annotations

from pathlib import Path

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources.stores import FolderVideoStore, VideoStoreResource


def build_video_store(place: str | Path, *, base_url: str | None = None) -> VideoStoreResource:
    """Build the store that a text names: a folder, or a bucket.

    Buckets are `s3://bucket/prefix`, `gs://bucket/prefix` (Google Cloud Storage) and
    `az://container/prefix` (Azure). For S3, boto3's own environment variables apply,
    `AWS_ENDPOINT_URL_S3` too; for the others, those of gcsfs and adlfs.

    Args:
        place: the folder, or the URI.
        base_url: URL of a web server that shows the files, if there is one.

    Raises:
        ConfigurationError: the text names another kind of place, or its extra is not installed.
    """
    place = str(place)
    if place.startswith("s3://"):
        from wiro_dagster.resources.s3 import s3_video_store_from_uri  # loads boto3

        return s3_video_store_from_uri(place, base_url=base_url)
    if place.startswith(("gs://", "az://")):
        from wiro_dagster.resources.cloud import CloudVideoStore, split_cloud_uri

        split_cloud_uri(place)  # tells here what is missing, not in a tick
        return CloudVideoStore(uri=place, base_url=base_url)
    if "://" in place:
        raise ConfigurationError(
            f'The video store (WIRO_VIDEO_STORE) is "{place}". '
            "Name a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix."
        )
    return FolderVideoStore(path=place, base_url=base_url)
