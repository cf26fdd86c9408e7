"""The models that prompts may name: those of the package, of the project, and of Wiro."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from wiro_dagster.api.models import ModelDetail
from wiro_dagster.catalogue.cache import CachedModel, MemorySchemaCache, SchemaCache
from wiro_dagster.catalogue.entries import load_builtin_entries, load_entries
from wiro_dagster.catalogue.schema import ModelSchema
from wiro_dagster.catalogue.suggestions import find_near, find_slug, guess_slug, shown
from wiro_dagster.errors import ApiError, InputError, NotFound

DAY_SECONDS = 86_400.0
_ABSENCE_BELIEVED_SECONDS = 300.0

ModelLookup = Callable[[str], ModelDetail]
"""Asks Wiro for a model by slug, like `WiroClient.get_model`; raises `NotFound` or `ApiError`."""


@dataclass(frozen=True)
class SeenChange:
    """A model whose inputs Wiro has changed.

    Args:
        old: before.
        new: now.
        seen_at: when the change was first seen, in unix seconds.
        is_stated: whether prompts are checked with an entry of the package or the project, and not
            with what Wiro says.
    """

    old: ModelSchema
    new: ModelSchema
    seen_at: float
    is_stated: bool


class Catalogue:
    """Finds the schema of a model by its slug. Thread-safe.

    Schemas given to it come first, Wiro's own come after: what stands in the project is what a
    person decided on.

    Args:
        schemas: known without asking anybody; the last one of a slug counts.
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
        """A catalogue of the package's own four models, and of Wiro's where `lookup` is given."""
        return cls(
            load_builtin_entries(), lookup, cache, max_age_seconds=max_age_seconds, clock=clock
        )

    def with_schemas(self, schemas: Iterable[ModelSchema]) -> Catalogue:
        """The same catalogue with more schemas, which go before those of the same slug."""
        return type(self)(
            [*self._schemas.values(), *schemas],
            self._lookup,
            self._cache,
            max_age_seconds=self._max_age_seconds,
            clock=self._clock,
        )

    def with_entries_from(self, folder: Path) -> Catalogue:
        """The same catalogue with the entries of a project's folder.

        Raises:
            InputError: the folder is missing, or an entry in it is wrong.
        """
        return self.with_schemas(load_entries(folder))

    @property
    def slugs(self) -> tuple[str, ...]:
        """The models that are known without asking Wiro."""
        return tuple(self._schemas)

    def find_schema(self, slug: str) -> ModelSchema | None:
        """The schema of a model; `None` where there is no such model.

        Raises:
            ApiError: Wiro had to be asked, and did not answer.
        """
        known = find_slug(slug)
        if known is None:
            return None
        if known in self._schemas:
            return self._schemas[known]
        model = self._find_model(known)
        return None if model is None else model.schema

    def get_schema(self, slug: str) -> ModelSchema:
        """The schema of a model.

        Raises:
            InputError: there is no such model; the message names near ones.
            ApiError: Wiro had to be asked, and did not answer.
        """
        known = find_slug(slug)
        if known not in self._schemas and guess_slug(slug) in self._schemas:
            raise InputError(self._no_such_model(slug))  # a title: no need to ask Wiro
        schema = self.find_schema(slug)
        if schema is None:
            raise InputError(self._no_such_model(slug))
        return schema

    def find_detail(self, slug: str) -> ModelDetail | None:
        """What Wiro says of a model, prices included; `None` where there is no such model.

        Without a lookup it is `None` for every model that is not in the cache.

        Raises:
            ApiError: Wiro had to be asked, and did not answer.
        """
        known = find_slug(slug)
        model = None if known is None else self._find_model(known)
        return None if model is None else model.detail

    def find_change(self, slug: str) -> SeenChange | None:
        """How Wiro last changed a model's inputs; `None` where it is not known to have.

        Only what is cached is looked at.
        """
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
        asked = "" if self._lookup else " Without a connection to Wiro only the catalogue is known."
        return (
            f"there is no model {shown(slug)}.{hint}{asked} A model is named as owner/model in "
            "lower case, as in the address of its page."
        )
