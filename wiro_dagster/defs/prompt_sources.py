"""Where a collection's prompts come from: a file here, a file on S3, or an upstream asset."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit

import dagster as dg
from dagster_shared.check import CheckError

from wiro_dagster.catalogue import Catalogue
from wiro_dagster.catalogue.bounds import MAX_TEXT_BYTES
from wiro_dagster.catalogue.plain_text import check_size, read_plain_file
from wiro_dagster.errors import ConfigurationError, InputError
from wiro_dagster.prompts import (
    PromptFile,
    load_prompt_file,
    load_prompt_rows,
    parse_prompt_text,
)

LoadAsset = Callable[[dg.AssetKey, type | None], Any]
"""Gives the value that an asset's IO manager keeps, as a type if one is named."""


class PromptSource(Protocol):
    """Where prompts come from. Write your own with these members; values must be hashable."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def asset_key(self) -> dg.AssetKey | None:
        """The asset that it reads; `None` if it reads none."""

    @property
    def resource_keys(self) -> frozenset[str]:
        """Dagster resources that it needs."""

    def find_version(self, resources: Any, instance: dg.DagsterInstance) -> str:
        """Return a token that changes whenever the content may have changed.

        It is asked for every few seconds, so it must be cheap. If the prompts cannot be read, the
        token says so; only `load` raises.
        """

    def load(
        self, catalogue: Catalogue, resources: Any, load_asset: LoadAsset | None
    ) -> PromptFile:
        """Read and check the prompts.

        Args:
            catalogue: the models that they may name.
            resources: of a Dagster context.
            load_asset: gives values of other assets; `None` if they cannot be had.

        Raises:
            InputError: nothing can be read.
        """


@dataclass(frozen=True)
class FilePrompts:
    """A prompt file of this machine. Paths of local files start from its folder.

    Args:
        path: YAML, JSON or CSV.
        allowed_folders: where its prompts may take local files from, beside its own folder.
    """

    path: Path
    allowed_folders: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def asset_key(self) -> dg.AssetKey | None:
        """A file reads no asset."""
        return None

    @property
    def resource_keys(self) -> frozenset[str]:
        """A file needs no resources."""
        return frozenset()

    def find_version(
        self,
        resources: Any = None,  # noqa: ARG002
        instance: dg.DagsterInstance | None = None,  # noqa: ARG002
    ) -> str:
        """Return a hash of the content. Nothing of Dagster is needed for it."""
        try:
            return hashlib.sha256(read_plain_file(self.path)).hexdigest()
        except InputError as error:
            return f"unreadable: {error}"

    def load(
        self,
        catalogue: Catalogue,
        resources: Any,  # noqa: ARG002
        load_asset: LoadAsset | None,  # noqa: ARG002
    ) -> PromptFile:
        """Read and check the file."""
        return load_prompt_file(self.path, catalogue, allowed_folders=self.allowed_folders)


@dataclass(frozen=True)
class S3Prompts:
    """A prompt file on S3. It cannot name local files, only URLs.

    Args:
        uri: `s3://bucket/key.yaml`, or `.json` or `.csv`.
        s3: resource key of a dagster-aws `S3Resource`; none uses boto3's own settings.
    """

    uri: str
    s3: str | None = None

    def __post_init__(self) -> None:
        """Refuse a URI that does not name an object."""
        parts = urlsplit(self.uri)
        if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
            raise ConfigurationError(
                f'The prompts are to come from "{self.uri}". Write s3://bucket/key.yaml.'
            )

    @property
    def name(self) -> str:
        """The URI."""
        return self.uri

    @property
    def asset_key(self) -> dg.AssetKey | None:
        """A file reads no asset."""
        return None

    @property
    def resource_keys(self) -> frozenset[str]:
        """The S3 resource, if one is named."""
        return frozenset() if self.s3 is None else frozenset({self.s3})

    def find_version(self, resources: Any, instance: dg.DagsterInstance) -> str:  # noqa: ARG002
        """Return what S3 calls the content: its ETag."""
        try:
            return str(self._client(resources).head_object(**self._object)["ETag"])
        except _boto_errors() as error:
            return f"unreadable: {type(error).__name__}"

    def load(
        self,
        catalogue: Catalogue,
        resources: Any,
        load_asset: LoadAsset | None,  # noqa: ARG002
    ) -> PromptFile:
        """Fetch and check the file."""
        try:
            found = self._client(resources).get_object(**self._object)
            check_size(found.get("ContentLength", 0), self.uri)
            content = found["Body"].read(MAX_TEXT_BYTES + 1)
        except _boto_errors() as error:
            raise InputError(
                f"{self.uri} cannot be read: {error}. Check the URI and the rights of this account."
            ) from error
        suffix = PurePosixPath(self.uri).suffix
        return parse_prompt_text(content, suffix, catalogue, source=self.uri)

    @property
    def _object(self) -> dict[str, str]:
        parts = urlsplit(self.uri)
        return {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}

    def _client(self, resources: Any) -> Any:
        if self.s3 is not None:
            resource = getattr(resources, self.s3)
            # Dagster gives the client itself if the resource is required by its key.
            return resource.get_client() if hasattr(resource, "get_client") else resource
        import boto3

        return boto3.client("s3")


def _boto_errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError


@dataclass(frozen=True)
class AssetPrompts:
    """A table of prompts that an upstream asset makes; it is read through that asset's IO manager.

    The table is a list of mappings, or a pandas, polars or Arrow table. Its columns `id`, `prompt`,
    `model` and `take` are a prompt's own, the others are inputs of the model. A file is a URL, a
    `pathlib.Path`, or `{"asset": key}`; text cannot name a local one.

    Args:
        asset_key: the upstream asset; not partitioned.
        defaults: `model` and `inputs` for all rows.
        value_type: what the IO manager is asked for if it must know, such as `pd.DataFrame`.
    """

    asset_key: dg.AssetKey
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    value_type: type | None = None

    @property
    def name(self) -> str:
        """The asset's key."""
        return f"asset {self.asset_key.to_user_string()}"

    @property
    def resource_keys(self) -> frozenset[str]:
        """The asset has its own resources."""
        return frozenset()

    def find_version(self, resources: Any, instance: dg.DagsterInstance) -> str:  # noqa: ARG002
        """Return the asset's newest materialization."""
        records = instance.fetch_materializations(self.asset_key, limit=1).records
        return f"materialization {records[0].storage_id}" if records else "not materialized"

    def load(
        self,
        catalogue: Catalogue,
        resources: Any,  # noqa: ARG002
        load_asset: LoadAsset | None,
    ) -> PromptFile:
        """Read and check the table."""
        if load_asset is None:
            raise InputError(
                f"{self.name} cannot be read here: this run knows no other assets. Load it from a "
                "code location, as Dagster's daemon and webserver do."
            )
        try:
            table = load_asset(self.asset_key, self.value_type)
        except Exception as error:  # whatever an IO manager of others raises
            raise InputError(
                f"{self.name} cannot be read: {type(error).__name__}: {error}. Materialize it, and "
                "check its IO manager."
            ) from error
        return load_prompt_rows(
            list_rows(table, self.name), self.name, catalogue, defaults=self.defaults
        )


def list_rows(table: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the rows of a table as mappings: of a list, or of a pandas, polars or Arrow table.

    Raises:
        InputError: it is something else.
    """
    if hasattr(table, "to_pylist"):  # Arrow
        return list(table.to_pylist())
    if hasattr(table, "to_dicts"):  # polars
        return list(table.to_dicts())
    if hasattr(table, "to_dict") and hasattr(table, "columns"):  # pandas
        return list(table.to_dict("records"))
    if isinstance(table, Iterable) and not isinstance(table, (str, bytes, Mapping)):
        return list(table)
    raise InputError(
        f"{name} gave a {type(table).__name__}. Return a list of mappings, or a pandas, polars or "
        "Arrow table."
    )


def build_prompt_source(place: str | Path, folder: str | Path) -> PromptSource:
    """Build the source that a text names: a file, or `s3://bucket/key.yaml`.

    Args:
        place: a path, or a URI.
        folder: what a relative path starts from.

    Raises:
        ConfigurationError: the text names another kind of place.
    """
    place = str(place)
    if place.startswith("s3://"):
        return S3Prompts(place)
    if "://" in place:
        raise ConfigurationError(
            f'The prompts are to come from "{place}". Name a file, or s3://bucket/key.yaml.'
        )
    return FilePrompts(Path(folder) / Path(place).expanduser())


def asset_loader(context: Any) -> LoadAsset | None:
    """Return how to get values of other assets in a Dagster context; `None` if there is no way.

    Runs that a test executes in its own process know no other assets.
    """
    try:
        repository = context.repository_def
    except CheckError:
        return None
    if repository is None:
        return None

    def load_asset(asset_key: dg.AssetKey, value_type: type | None) -> Any:
        return repository.load_asset_value(
            asset_key, python_type=value_type, instance=context.instance
        )

    return load_asset
