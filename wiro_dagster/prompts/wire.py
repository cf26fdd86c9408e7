"""A prompt's inputs as the ledger keeps them, and as the client sends them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wiro_dagster.api.types import LocalFile
from wiro_dagster.catalogue import LocalFileInput, check_unchanged


def inputs_to_json(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs as plain JSON values.

    A local file becomes `{"file": path, "sha256": …, "size_bytes": …}`, a tuple a list.
    """
    return {name: _to_json(value) for name, value in inputs.items()}


def inputs_from_json(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of `inputs_to_json`."""
    return {name: _from_json(value) for name, value in stored.items()}


def wire_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs as `WiroClient.submit` takes them, local files as `LocalFile`.

    Every local file is read once more, so that what is sent is what was ordered.

    Raises:
        InputError: a file is gone or has changed since its prompt was read.
    """
    return {name: _to_wire(value) for name, value in inputs.items()}


def _to_json(value: Any) -> Any:
    if isinstance(value, LocalFileInput):
        return {
            "file": str(value.path),
            "sha256": value.sha256,
            "size_bytes": value.size_bytes,
        }
    if isinstance(value, (tuple, list)):
        return [_to_json(item) for item in value]
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return LocalFileInput(Path(value["file"]), value["sha256"], value["size_bytes"])
    if isinstance(value, (tuple, list)):
        return tuple(_from_json(item) for item in value)
    return value


def _to_wire(value: Any) -> Any:
    if isinstance(value, LocalFileInput):
        check_unchanged(value)
        return LocalFile(value.path)
    if isinstance(value, (tuple, list)):
        return [_to_wire(item) for item in value]
    return value
