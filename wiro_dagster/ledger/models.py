"""What Wiro last said of its models, kept for all processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from wiro_dagster.ledger.ledger import Ledger
from wiro_dagster.ledger.schema import models

_FIND = sa.select(models.c.content).where(models.c.slug == sa.bindparam("slug"))


class KeptModels:
    """Keeps Wiro's answers about models in the ledger's database, as JSON. Thread-safe."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def find(self, slug: str) -> Any:
        """Return what is kept for a model; `None` if there is nothing."""
        with self._ledger.reading() as connection:
            return connection.execute(_FIND, {"slug": slug}).scalar()

    def keep(self, slug: str, content: Mapping[str, Any], *, fetched_at: float) -> None:
        """Keep `content` instead of what was kept."""
        values = {"fetched_at": fetched_at, "content": dict(content)}
        with self._ledger.writing() as connection:
            changed = connection.execute(
                sa.update(models).where(models.c.slug == slug).values(values)
            )
            if changed.rowcount == 0:
                with connection.begin_nested() as savepoint:
                    try:
                        connection.execute(sa.insert(models).values(slug=slug, **values))
                    except sa.exc.IntegrityError:
                        savepoint.rollback()  # another process asked Wiro at the same time
