"""S3 as the video store, through dagster-aws. Needs the extra `aws`."""

from __future__ import annotations

from urllib.parse import urlsplit

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import Field

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.s3_store import S3Store
from wiro_dagster.store import VideoStore
from wiro_dagster.store_resources import VideoStoreResource


class S3VideoStore(VideoStoreResource):
    """A bucket, or a prefix in one, as the video store.

    Example:
        S3VideoStore(s3=S3Resource(region_name="eu-central-1"), bucket="media", prefix="videos")
    """

    s3: dg.ResourceDependency[S3Resource]
    bucket: str = Field(description="The bucket; it must exist.")
    prefix: str = Field(default="", description="Put before every key, with a / between.")
    server_side_encryption: str | None = Field(
        default=None, description='"AES256" or "aws:kms"; none leaves it to the bucket.'
    )
    kms_key_id: str | None = Field(default=None, description='The key for "aws:kms".')
    storage_class: str | None = Field(
        default=None, description='Such as "STANDARD_IA"; none leaves it to the bucket.'
    )

    def get_store(self) -> VideoStore:
        """The bucket as a store."""
        return S3Store(
            self.s3.get_client(),
            self.bucket,
            self.prefix,
            server_side_encryption=self.server_side_encryption,
            kms_key_id=self.kms_key_id,
            storage_class=self.storage_class,
        )


def s3_video_store_from_uri(uri: str) -> S3VideoStore:
    """The store that `s3://bucket/prefix` names, with boto3's own settings.

    Raises:
        ConfigurationError: the URI names no bucket.
    """
    parts = urlsplit(uri)
    if not parts.netloc:
        raise ConfigurationError(
            f'The video store (WIRO_VIDEO_STORE) is "{uri}". Write s3://bucket/prefix.'
        )
    return S3VideoStore(s3=S3Resource(), bucket=parts.netloc, prefix=parts.path.strip("/"))
