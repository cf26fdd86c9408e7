"""What the models take and what they cost, as Wiro last said, kept beside the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from wiro_dagster.api.client import WiroClient
from wiro_dagster.catalogue import CachedModel, Catalogue
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.schema import models
from wiro_dagster.pricing import Quote, quote
from wiro_dagster.prompts import inputs_from_json


class Models:
    """Schemas and prices of models: the package's own, and Wiro's through the client.

    Args:
        ledger: in its database Wiro's answers are kept, for all processes.
        client: asks Wiro.
    """

    def __init__(self, ledger: Ledger, client: WiroClient) -> None:
        self.catalogue = Catalogue.builtin(
            client.get_model, LedgerSchemaCache(ledger), clock=ledger.clock
        )

    def quote(self, model_slug: str, inputs: Mapping[str, Any]) -> Quote:
        """Prices a run.

        Args:
            model_slug: the model.
            inputs: as an order keeps them, plain JSON.

        Raises:
            ApiError: Wiro must be asked for the price, and cannot be.
        """
        detail = self.catalogue.find_detail(model_slug)
        if detail is None:
            return Quote(None, None, "unknown", None, f"Wiro has no model {model_slug}.")
        return quote(detail, inputs_from_json(inputs))


class LedgerSchemaCache:
    """Keeps Wiro's answers about models in the ledger's database. Thread-safe."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def get(self, slug: str) -> CachedModel | None:
        """What is kept for a model; `None` where there is nothing, or nothing readable."""
        query = sa.select(models.c.content).where(models.c.slug == slug)
        with self._ledger.reading() as connection:
            content = connection.execute(query).scalar()
        try:
            return None if content is None else CachedModel.from_json(content)
        except ValueError:
            return None

    def put(self, slug: str, model: CachedModel) -> None:
        """Keeps `model` instead of what was kept."""
        values = {"fetched_at": model.fetched_at, "content": model.to_json()}
        with self._ledger.writing() as connection:
            changed = connection.execute(
                sa.update(models).where(models.c.slug == slug).values(values)
            )
            if changed.rowcount == 0:
                with connection.begin_nested() as savepoint:
                    try:
                        connection.execute(sa.insert(models).values(slug=slug, **values))
                    except sa.exc.IntegrityError:
                        savepoint.rollback()  # somebody asked Wiro at the same time
