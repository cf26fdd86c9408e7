"""What a run of a model brought: files that we own, their cost, and metadata for Dagster."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import dagster as dg

from wiro_dagster.catalogue import MAX_FILE_BYTES, StoredFileInput
from wiro_dagster.errors import InputError
from wiro_dagster.store import StoredFile


@dataclass(frozen=True)
class ModelResult:
    """The outcome of `WiroModels.run`. It can be pickled, so an IO manager can keep it.

    Args:
        model: that made the files; a fallback model, if a second try was needed.
        files: in the video store, each with `uri`, `key`, `sha256`, `size_bytes` and `media`.
        cost_usd: what Wiro charged for the task; `None` if it is not stated yet.
        task_id: Wiro's.
        order_id: the ledger's.
        is_new: whether this call ordered it. If not, it was owned or under way, and nothing new
            was bought.
        fingerprint: of model, inputs and take: the data version.
        problems: what the files were found to be lacking, by check; empty if all is right.
        metadata: for Dagster, under the keys that the README lists.
    """

    model: str
    files: tuple[StoredFile, ...]
    cost_usd: Decimal | None
    task_id: str
    order_id: int
    is_new: bool
    fingerprint: str
    problems: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def file(self) -> StoredFile:
        """The first file; most models make one."""
        return self.files[0]

    def materialize_result(self, **metadata: Any) -> dg.MaterializeResult[Any]:
        """Return the result of an asset whose value is not loaded.

        Args:
            **metadata: more of it, by key.
        """
        return dg.MaterializeResult(
            metadata={**self.metadata, **metadata}, data_version=dg.DataVersion(self.fingerprint)
        )

    def output(self, **metadata: Any) -> dg.Output[ModelResult]:
        """Return the output of an asset whose value, this result, others take as an input.

        Args:
            **metadata: more of it, by key.
        """
        with warnings.catch_warnings():
            # Data versions of outputs are beta in Dagster; using them is our choice.
            warnings.simplefilter("ignore", dg.BetaWarning)
            return dg.Output(
                self,
                metadata={**self.metadata, **metadata},
                data_version=dg.DataVersion(self.fingerprint),
            )


def plain_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs with results, stored files and asset keys in the words of the catalogue.

    Raises:
        InputError: a file is too large for Wiro.
    """
    return {name: _plain(value) for name, value in inputs.items()}


def _plain(value: Any) -> Any:
    match value:
        case ModelResult():
            return _stored(value.file)
        case StoredFile():
            return _stored(value)
        case dg.AssetKey():
            return {"asset": value.to_user_string()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _stored(file: StoredFile) -> StoredFileInput:
    if file.size_bytes > MAX_FILE_BYTES:
        raise InputError(
            f"{file.uri} has {file.size_bytes} bytes; Wiro takes {MAX_FILE_BYTES} (100 MB) at most."
        )
    return StoredFileInput(file.key, file.sha256, file.size_bytes)
