"""The video store that a text names: a folder, or `s3://bucket/prefix`."""

from __future__ import annotations

from types import ModuleType

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources.stores import FolderVideoStore, VideoStoreResource


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
        store: VideoStoreResource = load_s3_support(place).s3_video_store_from_uri(place)
        return store
    if "://" in place:
        raise ConfigurationError(
            f'The video store (WIRO_VIDEO_STORE) is "{place}". '
            "Name a folder, or s3://bucket/prefix."
        )
    return FolderVideoStore(path=place, base_url=base_url)


def load_s3_support(place: str) -> ModuleType:
    """The module `wiro_dagster.resources.s3`, which loads boto3.

    Args:
        place: what it is needed for.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        from wiro_dagster.resources import s3
    except ImportError as error:
        raise ConfigurationError(
            f'The video store (WIRO_VIDEO_STORE) is "{place}", but S3 support is not '
            'installed. Install it with: pip install "wiro-dagster[aws]"'
        ) from error
    return s3
