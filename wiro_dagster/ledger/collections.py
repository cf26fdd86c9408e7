"""Which project works for a collection, so that two never share one and none is abandoned."""

from __future__ import annotations

import sqlalchemy as sa

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.ledger.database import Database
from wiro_dagster.ledger.schema import collections, orders

ALIVE_SECONDS = 120.0
"""How long after its last tick a project is presumed to work for its collection."""

ORPHANED_SECONDS = 600.0
"""After this long without a tick, another collection of the project handles its orders."""


class Collections(Database):
    """Records which project works for which collection."""

    def hold_collection(self, collection: str, *, project: str, account: str) -> None:
        """Note that a project works for a collection now.

        Args:
            collection: the video asset's key as text.
            project: what distinguishes projects: where their videos are kept.
            account: that pays.

        Raises:
            ConfigurationError: another project that keeps its videos elsewhere works for it now.
        """
        now = self.clock()
        mine = collections.c.collection == collection
        values = {"project": project, "account": account, "ticked_at": now}
        with self.writing() as connection:
            row = connection.execute(sa.select(collections).where(mine)).one_or_none()
            if row is None:
                with connection.begin_nested() as savepoint:
                    try:
                        connection.execute(
                            sa.insert(collections).values(collection=collection, **values)
                        )
                    except sa.exc.IntegrityError:
                        savepoint.rollback()  # another process came first; the next tick looks
                return
            is_alive = 0 <= now - row.ticked_at < ALIVE_SECONDS
            if row.project != project and is_alive:
                raise ConfigurationError(
                    f"The collection {collection} of this ledger belongs to another project, which "
                    f"keeps its videos in {row.project}; this one keeps them in {project}. Give "
                    "one of them a name of its own (VideoCollection(name=...)) or a ledger of its "
                    f"own. If you moved the store, wait {ALIVE_SECONDS:g} s and try again."
                )
            connection.execute(sa.update(collections).where(mine).values(values))

    def list_orphaned(self, collection: str, *, project: str, account: str) -> list[str]:
        """Return other collections of the project without a working sensor, with unsettled orders.

        A collection that was renamed leaves such orders behind.
        """
        before = self.clock() - ORPHANED_SECONDS
        has_orders = sa.select(orders.c.id).where(
            orders.c.collection == collections.c.collection,
            orders.c.due_at.is_not(None),
        )
        query = (
            sa.select(collections.c.collection)
            .where(collections.c.collection != collection)
            .where(collections.c.project == project, collections.c.account == account)
            .where(collections.c.ticked_at < before, has_orders.exists())
            .order_by(collections.c.collection)
        )
        with self.reading() as connection:
            return list(connection.execute(query).scalars())
