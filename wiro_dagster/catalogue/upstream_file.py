"""Files that others made, as inputs: what an asset materialized, and files of the video store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wiro_dagster.catalogue.local_file import LocalFileInput
from wiro_dagster.catalogue.suggestions import shown
from wiro_dagster.catalogue.values import is_absent, wire_text

_KEYS = {"asset", "partition"}


@dataclass(frozen=True, slots=True)
class AssetFileInput:
    """The file that an asset last materialized, not looked up yet.

    Args:
        asset: the asset's key, its parts divided by slashes.
        partition: of the asset; `None` means the prompt's own id where the asset has partitions.
        url_input: the input that takes the file as a URL; `None` where that is not known.
    """

    asset: str
    partition: str | None = None
    url_input: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """As messages name it."""
        return self.asset if self.partition is None else f"{self.asset}[{self.partition}]"


@dataclass(frozen=True, slots=True)
class StoredFileInput:
    """A file of the video store, copied from there when it is sent.

    Args:
        key: its name in the store.
        sha256: of its bytes, 64 hex digits.
        size_bytes: its length.
        url_input: the input that takes the file as a URL; `None` where that is not known.
    """

    key: str
    sha256: str
    size_bytes: int
    url_input: str | None = field(default=None, compare=False)


FileInput = LocalFileInput | StoredFileInput | AssetFileInput
"""A file as an input's value, wherever it lies."""


def read_asset_file(value: Mapping[Any, Any]) -> AssetFileInput:
    """Reads `{asset: portraits}` or `{asset: portraits, partition: anna}`.

    Raises:
        ValueError: there is another key in it, or a value is no text; the message says so.
    """
    for key in value:
        if key not in _KEYS:
            raise ValueError(f"{shown(key)} is no key of an asset's file: give asset, partition.")
    named = value["asset"]
    parts = named if isinstance(named, (list, tuple)) else [named]
    if not parts or not all(isinstance(part, str) and part.strip() for part in parts):
        raise ValueError(f"{shown(named)} is no asset key. Write it as text, such as a/b.")
    partition = value.get("partition")
    return AssetFileInput(
        "/".join(part.strip() for part in parts),
        None if is_absent(partition) else wire_text(partition),
    )
