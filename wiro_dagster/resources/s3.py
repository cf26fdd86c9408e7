"""S3 as the video store, through dagster-aws."""

# No `from __future__ import annotations`: Dagster reads the dependency from the annotation itself.

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from dagster_aws.s3 import S3Resource

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources.stores import S3Place
from wiro_dagster.store import VideoStore
from wiro_dagster.store.s3 import S3Store


class S3VideoStore(S3Place):
    """A bucket, or a prefix in one, as the video store.

    Give secrets as `dg.EnvVar`, so that Dagster shows their names only.

    Example:
        S3VideoStore(s3=S3Resource(region_name="eu-central-1"), bucket="media", prefix="videos")
    """

    s3: dg.ResourceDependency[S3Resource]
    """How to reach S3."""

    def __repr_args__(self) -> Iterator[tuple[str, str]]:
        """What repr and str show: `s3` would show its secrets."""
        yield "bucket", self.bucket
        yield "prefix", self.prefix

    def get_store(self) -> VideoStore:
        """Open the bucket as a store."""
        client = self.s3.get_client()
        client.meta.events.register_first("choose-signer.s3.GetObject", _sign_links_anew)
        return S3Store(
            client,
            self.bucket,
            self.prefix,
            server_side_encryption=self.server_side_encryption,
            kms_key_id=self.kms_key_id,
            storage_class=self.storage_class,
        )


def _sign_links_anew(signature_version: Any, **_context: Any) -> str | None:
    # boto3 signs links in the old way in some regions. Buckets made since 2020, and objects under
    # KMS, do not take that.
    is_link = isinstance(signature_version, str) and signature_version.endswith("-query")
    return "s3v4-query" if is_link else None


def s3_video_store_from_uri(uri: str, *, base_url: str | None = None) -> S3VideoStore:
    """The store that `s3://bucket/prefix` names, with boto3's own settings.

    Raises:
        ConfigurationError: the URI names no bucket.
    """
    parts = urlsplit(uri)
    if not parts.netloc:
        raise ConfigurationError(
            f'The video store (WIRO_VIDEO_STORE) is "{uri}". Write s3://bucket/prefix.'
        )
    prefix = parts.path.strip("/")
    return S3VideoStore(s3=S3Resource(), bucket=parts.netloc, prefix=prefix, base_url=base_url)
