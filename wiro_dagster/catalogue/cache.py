"""What Wiro last said about a model, kept so that it is not asked at every look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

from pydantic import TypeAdapter

from wiro_dagster.api.models import ModelDetail
from wiro_dagster.catalogue.detail import schema_from_model_detail
from wiro_dagster.catalogue.schema import ModelSchema


@dataclass(frozen=True)
class CachedModel:
    """One model as Wiro described it.

    Args:
        detail: Wiro's answer.
        fetched_at: when, in unix seconds.
        previous: the last answer whose inputs were different; `None` where there was none.
        changed_at: when `detail` was first seen instead of `previous`, in unix seconds.
    """

    detail: ModelDetail
    fetched_at: float
    previous: ModelDetail | None = None
    changed_at: float | None = None

    @cached_property
    def schema(self) -> ModelSchema:
        """The schema of `detail`."""
        return schema_from_model_detail(self.detail)

    @cached_property
    def previous_schema(self) -> ModelSchema | None:
        """The schema of `previous`."""
        return None if self.previous is None else schema_from_model_detail(self.previous)

    def followed_by(self, detail: ModelDetail, fetched_at: float) -> CachedModel:
        """What to keep once Wiro has answered again."""
        if schema_from_model_detail(detail).hash == self.schema.hash:
            return CachedModel(detail, fetched_at, self.previous, self.changed_at)
        return CachedModel(detail, fetched_at, previous=self.detail, changed_at=fetched_at)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON column; money as text."""
        return {
            "detail": _details().dump_python(self.detail, mode="json"),
            "fetched_at": self.fetched_at,
            "previous": _details().dump_python(self.previous, mode="json"),
            "changed_at": self.changed_at,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CachedModel:
        """The reverse of `to_json`.

        Raises:
            ValueError: it was written by a version with other fields; ask Wiro again.
        """
        try:
            detail = _details().validate_python(stored["detail"])
            previous = _details().validate_python(stored["previous"])
            fetched_at, changed_at = stored["fetched_at"], stored["changed_at"]
        except KeyError as error:
            raise ValueError(f"the cached model has no {error}") from error
        if detail is None:
            raise ValueError("the cached model has no detail")
        return cls(detail, fetched_at, previous, changed_at)


class SchemaCache(Protocol):
    """Keeps one `CachedModel` for each slug. Thread-safe."""

    def get(self, slug: str) -> CachedModel | None:
        """What is kept for a model; `None` where there is nothing, or nothing readable."""

    def put(self, slug: str, model: CachedModel) -> None:
        """Keeps `model` instead of what was kept."""


class MemorySchemaCache:
    """A cache that lives as long as the process."""

    def __init__(self) -> None:
        self._models: dict[str, CachedModel] = {}

    def get(self, slug: str) -> CachedModel | None:
        """What is kept for a model; `None` where there is nothing."""
        return self._models.get(slug)

    def put(self, slug: str, model: CachedModel) -> None:
        """Keeps `model` instead of what was kept."""
        self._models[slug] = model


@lru_cache(maxsize=1)
def _details() -> TypeAdapter[ModelDetail | None]:
    return TypeAdapter(ModelDetail | None)
