"""What was spent, and on what: the ledger's books, added up."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Literal, get_args

import sqlalchemy as sa

from wiro_dagster.ledger import UNDER_WAY, Ledger
from wiro_dagster.ledger.schema import orders

CostGrouping = Literal["day", "model", "collection", "prompt"]
"""What costs are added up by. Days are UTC days on which the orders were submitted."""

COST_GROUPINGS: tuple[CostGrouping, ...] = get_args(CostGrouping)


@dataclass(frozen=True)
class CostRow:
    """The costs of one day, model, collection or prompt.

    Args:
        name: of the day (`2026-05-30`), model, collection or prompt (`video: cat`).
        orders: how many were sent to Wiro.
        owned: how many of them became a video in the store.
        spent_usd: what Wiro charged.
        committed_usd: the most that orders under way may still cost.
        unknown: how many ended without Wiro stating their cost; they count as their ceiling.
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
    """Adds up what was spent and committed, also on failed, superseded and adopted tasks.

    Args:
        ledger: whose books.
        grouping: what to add up by.
        since: leave out orders submitted before this time, in unix seconds.
        collection: leave out those of other collections; the video asset's key as text.

    Returns:
        A row for each group, by name.
    """
    columns = (
        orders.c.collection,
        orders.c.partition,
        orders.c.model_slug,
        orders.c.state,
        orders.c.claimed_at,
        orders.c.cost_usd,
        orders.c.ceiling_usd,
    )
    query = sa.select(*columns).where(orders.c.claimed_at.is_not(None))
    if since is not None:
        query = query.where(orders.c.claimed_at >= since)
    if collection is not None:
        query = query.where(orders.c.collection == collection)
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    with ledger.reading() as connection:
        for row in connection.execute(query):
            groups[_group(row, grouping)].append(row)
    return [_add_up(name, groups[name]) for name in sorted(groups)]


def _group(row: Any, grouping: CostGrouping) -> str:
    match grouping:
        case "day":
            return f"{datetime.fromtimestamp(row.claimed_at, tz=timezone.utc):%Y-%m-%d}"
        case "model":
            return str(row.model_slug)
        case "collection":
            return str(row.collection)
        case "prompt":
            return f"{row.collection}: {row.partition}"


def _add_up(name: str, rows: list[Any]) -> CostRow:
    under_way = [row for row in rows if row.cost_usd is None and row.state in UNDER_WAY]
    unstated = [row for row in rows if row.cost_usd is None and row.state not in UNDER_WAY]
    stated = [row.cost_usd for row in rows if row.cost_usd is not None]
    return CostRow(
        name=name,
        orders=len(rows),
        owned=sum(row.state in ("stored", "delivered") for row in rows),
        spent_usd=sum((*stated, *_ceilings(unstated)), Decimal(0)),
        committed_usd=sum(_ceilings(under_way), Decimal(0)),
        unknown=len(unstated),
    )


def _ceilings(rows: list[Any]) -> list[Decimal]:
    return [row.ceiling_usd or Decimal(0) for row in rows]
