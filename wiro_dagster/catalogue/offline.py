"""A catalogue for checks that must work without an account and without a network."""

from __future__ import annotations

from wiro_dagster.catalogue.catalogue import Catalogue
from wiro_dagster.catalogue.schema import ModelSchema
from wiro_dagster.catalogue.suggestions import did_you_mean, find_slug


class OfflineCatalogue(Catalogue):
    """Takes models that only Wiro knows as they are, with a note."""

    def find_schema(self, slug: str) -> ModelSchema | None:
        """Return the schema of a model, one that allows everything if only Wiro could know it."""
        found, known = super().find_schema(slug), find_slug(slug)
        if found is not None or known is None:
            return found
        note = (
            "it is not in the catalogue, so its inputs are not checked here."
            f"{did_you_mean(known, self.slugs)} Add it with: wiro-dagster models add {known}"
        )
        return ModelSchema(known, None, "prompt", notes=(note,))
