"""What was spent, and on what: the ledger's books, added up by the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Literal, get_args

import sqlalchemy as sa

from wiro_dagster.ledger.account_orders import SECONDS_A_DAY
from wiro_dagster.ledger.ledger import Ledger
from wiro_dagster.ledger.schema import orders, submissions
from wiro_dagster.ledger.transitions import OWNED

CostGrouping = Literal["day", "model", "collection", "prompt"]
"""What to add costs up by. Days are UTC days on which the runs were submitted."""

COST_GROUPINGS: tuple[CostGrouping, ...] = get_args(CostGrouping)


@dataclass(frozen=True)
class CostRow:
    """The costs of one day, model, collection or prompt.

    Args:
        name: of the day (`2026-05-30`), model, collection or prompt (`video: cat`).
        orders: how many runs were sent to Wiro.
        owned: how many of them became a video in the store.
        spent_usd: what Wiro charged.
        committed_usd: the most that runs under way, and lost answers, may still cost.
        unknown: how many ended without Wiro stating their cost; they count at their ceiling.
    """

    name: str
    orders: int = 0
    owned: int = 0
    spent_usd: Decimal = Decimal(0)
    committed_usd: Decimal = Decimal(0)
    unknown: int = 0


def add_up_costs(
    ledger: Ledger,
    grouping: CostGrouping,
    *,
    since: float | None = None,
    collection: str | None = None,
) -> list[CostRow]:
    """Add up what was spent and committed, including failed, superseded and adopted tasks.

    Args:
        ledger: whose books.
        grouping: what to add up by.
        since: leave out runs submitted before this time, in unix seconds.
        collection: leave out those of other collections; the video asset's key as text.

    Returns:
        A row for each group, by name.
    """
    with ledger.reading() as connection:
        rows = connection.execute(_query(grouping, since, collection)).all()
    return sorted((_cost_row(grouping, row) for row in rows), key=lambda row: row.name)


def _query(grouping: CostGrouping, since: float | None, collection: str | None) -> sa.Select[Any]:
    table = submissions.c
    is_open = table.cost_usd.is_(None) & ~table.has_ended
    is_unstated = table.cost_usd.is_(None) & table.has_ended
    is_owned = orders.c.state.in_(OWNED) & (orders.c.task_id == table.task_id)
    columns: dict[CostGrouping, list[Any]] = {
        # Whole days since 1970, in UTC.
        "day": [sa.cast(sa.func.floor(table.claimed_at / SECONDS_A_DAY), sa.Integer)],
        "model": [table.model_slug],
        "collection": [table.collection],
        "prompt": [table.collection, orders.c.partition],
    }
    group = columns[grouping]

    def add_up(column: Any, which: sa.ColumnElement[bool]) -> Any:
        return sa.func.sum(sa.case((which, column), else_=None), type_=table.cost_usd.type)

    query = (
        sa.select(
            *group,
            sa.func.count().label("orders"),
            sa.func.sum(sa.case((is_owned, 1), else_=0)).label("owned"),
            add_up(sa.func.coalesce(table.cost_usd, table.ceiling_usd), ~is_open).label("spent"),
            add_up(table.ceiling_usd, is_open).label("committed"),
            sa.func.sum(sa.case((is_unstated, 1), else_=0)).label("unknown"),
        )
        .join(orders, orders.c.id == table.order_id)
        .where(table.outcome != "nothing")
        .group_by(*group)
    )
    if since is not None:
        query = query.where(table.claimed_at >= since)
    if collection is not None:
        query = query.where(table.collection == collection)
    return query


def _cost_row(grouping: CostGrouping, row: Any) -> CostRow:
    name = str(row[0])
    if grouping == "day":
        name = f"{datetime.fromtimestamp(row[0] * SECONDS_A_DAY, tz=timezone.utc):%Y-%m-%d}"
    elif grouping == "prompt":
        name = f"{row[0]}: {row[1]}"
    return CostRow(
        name=name,
        orders=row.orders,
        owned=row.owned,
        spent_usd=row.spent or Decimal(0),
        committed_usd=row.committed or Decimal(0),
        unknown=row.unknown,
    )
