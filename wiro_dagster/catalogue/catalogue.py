"""The models that prompts may name: those of the package, of the project, and of Wiro."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter

from wiro_dagster.api.models import ModelDetail
from wiro_dagster.catalogue.detail import schema_from_model_detail
from wiro_dagster.catalogue.entries import load_builtin_entries, load_entries
from wiro_dagster.catalogue.schema import ModelSchema
from wiro_dagster.catalogue.suggestions import find_near, find_slug, guess_slug, shown
from wiro_dagster.errors import ApiError, InputError, NotFound

DAY_SECONDS = 86_400.0
_ABSENCE_BELIEVED_SECONDS = 300.0

ModelLookup = Callable[[str], ModelDetail]
"""Asks Wiro for a model by slug, like `WiroClient.get_model`; raises `NotFound` or `ApiError`."""


@dataclass(frozen=True)
class CachedModel:
    """A model as Wiro described it.

    Args:
        detail: Wiro's answer.
        fetched_at: when, in unix seconds.
        previous: the last answer whose inputs were different, if there was one.
        changed_at: when `detail` first replaced `previous`, in unix seconds.
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
        """Return what to keep once Wiro has answered again."""
        if schema_from_model_detail(detail).hash == self.schema.hash:
            return CachedModel(detail, fetched_at, self.previous, self.changed_at)
        return CachedModel(detail, fetched_at, previous=self.detail, changed_at=fetched_at)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON column; money as text."""
        return {
            "detail": _as_json(self.detail),
            "fetched_at": self.fetched_at,
            "previous": _as_json(self.previous),
            "changed_at": self.changed_at,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CachedModel:
        """Reverse `to_json`.

        Raises:
            ValueError: another version wrote it, with other fields; ask Wiro again.
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
        """Return what is kept for a model; `None` if there is nothing, or nothing readable."""

    def put(self, slug: str, model: CachedModel) -> None:
        """Keep `model` instead of what was kept."""


class MemorySchemaCache:
    """A cache that lives as long as the process."""

    def __init__(self) -> None:
        self._models: dict[str, CachedModel] = {}

    def get(self, slug: str) -> CachedModel | None:
        """Return what is kept for a model, if there is anything."""
        return self._models.get(slug)

    def put(self, slug: str, model: CachedModel) -> None:
        """Keep `model` instead of what was kept."""
        self._models[slug] = model


@dataclass(frozen=True)
class SeenChange:
    """A model whose inputs Wiro has changed.

    Args:
        old: before.
        new: now.
        seen_at: when the change was first seen, in unix seconds.
        is_stated: whether an entry of the package or the project overrides Wiro's schema.
    """

    old: ModelSchema
    new: ModelSchema
    seen_at: float
    is_stated: bool


class Catalogue:
    """Finds the schema of a model by its slug. Thread-safe.

    Schemas given to it override Wiro's: what stands in the project was decided there.

    Args:
        schemas: known without a network; the last one of a slug counts.
        lookup: asks Wiro about any other model; `None` works without a network.
        cache: keeps Wiro's answers; `None` keeps them in memory.
        max_age_seconds: how old an answer may be before Wiro is asked again.
        clock: gives unix seconds.
    """

    def __init__(
        self,
        schemas: Iterable[ModelSchema] = (),
        lookup: ModelLookup | None = None,
        cache: SchemaCache | None = None,
        *,
        max_age_seconds: float = DAY_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._schemas = {schema.slug: schema for schema in schemas}
        self._lookup = lookup
        self._cache = MemorySchemaCache() if cache is None else cache
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._absent_until: dict[str, float] = {}

    @classmethod
    def builtin(
        cls,
        lookup: ModelLookup | None = None,
        cache: SchemaCache | None = None,
        *,
        max_age_seconds: float = DAY_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> Catalogue:
        """Return a catalogue of the package's own models, and of Wiro's if there is a `lookup`."""
        return cls(
            load_builtin_entries(), lookup, cache, max_age_seconds=max_age_seconds, clock=clock
        )

    def with_schemas(self, schemas: Iterable[ModelSchema]) -> Catalogue:
        """Return the same catalogue with more schemas, which replace those of the same slug."""
        return type(self)(
            [*self._schemas.values(), *schemas],
            self._lookup,
            self._cache,
            max_age_seconds=self._max_age_seconds,
            clock=self._clock,
        )

    def with_entries_from(self, folder: Path) -> Catalogue:
        """Return the same catalogue with the entries of a project's folder.

        Raises:
            InputError: the folder is missing, or an entry in it is wrong.
        """
        return self.with_schemas(load_entries(folder))

    @property
    def slugs(self) -> tuple[str, ...]:
        """The models that are known without asking Wiro."""
        return tuple(self._schemas)

    def find_schema(self, slug: str) -> ModelSchema | None:
        """Return the schema of a model; `None` if there is no such model.

        Raises:
            ApiError: Wiro's answer was needed and did not come.
        """
        known = find_slug(slug)
        if known is None:
            return None
        if known in self._schemas:
            return self._schemas[known]
        model = self._find_model(known)
        return None if model is None else model.schema

    def get_schema(self, slug: str) -> ModelSchema:
        """Return the schema of a model.

        Raises:
            InputError: the model does not exist; the message suggests another.
            ApiError: Wiro's answer was needed and did not come.
        """
        known = find_slug(slug)
        if known not in self._schemas and guess_slug(slug) in self._schemas:
            raise InputError(self._no_such_model(slug))  # a title: no need to ask Wiro
        schema = self.find_schema(slug)
        if schema is None:
            raise InputError(self._no_such_model(slug))
        return schema

    def find_detail(self, slug: str) -> ModelDetail | None:
        """Return what Wiro says of a model, prices included; `None` if there is no such model.

        Without a lookup, only models in the cache are found.

        Raises:
            ApiError: Wiro's answer was needed and did not come.
        """
        known = find_slug(slug)
        model = None if known is None else self._find_model(known)
        return None if model is None else model.detail

    def find_change(self, slug: str) -> SeenChange | None:
        """Return how Wiro last changed a model's inputs, if the cache knows of a change."""
        known = find_slug(slug)
        model = None if known is None else self._cache.get(known)
        if model is None or model.previous_schema is None or model.changed_at is None:
            return None
        is_stated = known in self._schemas
        return SeenChange(model.previous_schema, model.schema, model.changed_at, is_stated)

    def _find_model(self, slug: str) -> CachedModel | None:
        cached = self._cache.get(slug)
        now = self._clock()
        if self._lookup is None:
            return cached
        if cached is not None and now - cached.fetched_at < self._max_age_seconds:
            return cached
        if now < self._absent_until.get(slug, 0.0):
            return None
        try:
            detail = self._lookup(slug)
        except NotFound:
            self._absent_until[slug] = now + _ABSENCE_BELIEVED_SECONDS
            return None
        except ApiError:
            if cached is not None:
                return cached  # an old answer is better than none while Wiro cannot be reached
            raise
        model = CachedModel(detail, now) if cached is None else cached.followed_by(detail, now)
        self._cache.put(slug, model)
        return model

    def _no_such_model(self, slug: str) -> str:
        guess = guess_slug(slug)
        near = guess if guess in self._schemas else find_near(guess, self._schemas)
        hint = f" Did you mean {near!r}?" if near else ""
        asked = "" if self._lookup else " Without an account only the catalogue is searched."
        return (
            f"there is no model {shown(slug)}.{hint}{asked} Write owner/model in lower case, "
            "as in the address of the model's page."
        )


def _as_json(detail: ModelDetail | None) -> Any:
    # Inputs are read back by their aliases, which catalogue entries use too.
    return _details().dump_python(detail, mode="json", by_alias=True)


@lru_cache(maxsize=1)
def _details() -> TypeAdapter[ModelDetail | None]:
    return TypeAdapter(ModelDetail | None)
