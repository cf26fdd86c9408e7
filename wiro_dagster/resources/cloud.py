"""Google Cloud Storage or Azure as the video store, through fsspec."""

# No `from __future__ import annotations`: Dagster reads the fields from the annotations themselves.

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources.stores import VideoStoreResource, base_url_field, serve_at
from wiro_dagster.store import VideoStore
from wiro_dagster.store.cloud import CloudStore

_SCHEMES = {"gs": ("gcsfs", "gcs"), "az": ("adlfs", "azure")}
"""The package that reads each, and our extra that installs it."""

# Sensors get new resources at every tick, and a file system signs in anew.
_stores: dict[str, CloudStore] = {}
_stores_lock = Lock()


class CloudVideoStore(VideoStoreResource):
    """A bucket of Google Cloud Storage, or a container of Azure, as the video store.

    Credentials come from where gcsfs and adlfs look for them: `GOOGLE_APPLICATION_CREDENTIALS` and
    Google's other defaults; `AZURE_STORAGE_CONNECTION_STRING`, or `AZURE_STORAGE_ACCOUNT_NAME` with
    `AZURE_STORAGE_ACCOUNT_KEY`.

    Example:
        CloudVideoStore(uri="gs://media/videos")
    """

    uri: str = Field(description="gs://bucket/prefix or az://container/prefix; it must exist.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description=(
            "Further settings of gcsfs or adlfs, such as project or endpoint_url. Dagster shows "
            "them: leave secrets in the environment."
        ),
    )
    base_url: str | None = base_url_field()

    def __repr_args__(self) -> Iterator[tuple[str, str]]:
        """Show no options: they may hold what is secret."""
        yield "uri", self.uri

    def get_store(self) -> VideoStore:
        """The bucket as a store, one for each process and configuration.

        Raises:
            ConfigurationError: the URI is not one of these stores, or its extra is not installed.
        """
        scheme, root = split_cloud_uri(self.uri)
        key = hashlib.sha256(self.model_dump_json().encode()).hexdigest()
        with _stores_lock:
            if key not in _stores:
                _stores[key] = CloudStore(_open_files(scheme, self.options), scheme, root)
            return serve_at(_stores[key], self.base_url)


def split_cloud_uri(uri: str) -> tuple[str, str]:
    """Return scheme and root of a URI of Google Cloud Storage or Azure.

    Raises:
        ConfigurationError: it is not one, or its extra is not installed.
    """
    parts = urlsplit(uri)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise ConfigurationError(
            f'The video store is "{uri}". Write gs://bucket/prefix or az://container/prefix.'
        )
    module, extra = _SCHEMES[parts.scheme]
    if find_spec(module) is None:
        raise ConfigurationError(
            f"The video store {uri} needs {module}, which is not installed. Install it with: "
            f'pip install "wiro-dagster[{extra}]"'
        )
    return parts.scheme, f"{parts.netloc}{parts.path}".rstrip("/")


def _open_files(scheme: str, options: dict[str, Any]) -> Any:
    # Cached listings would show files that other processes have long replaced or removed.
    fresh = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "gs":
        # Its newer variant asks for each bucket's layout by gRPC, which not every service that
        # speaks the protocol answers.
        from gcsfs.core import GCSFileSystem

        return GCSFileSystem(**fresh, **options)
    from adlfs import AzureBlobFileSystem

    return AzureBlobFileSystem(**fresh, **options)
