"""`wiro-dagster costs`: what was spent, by day, model, collection or prompt."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import click

from wiro_dagster.cli.ledger_option import describe_ledger, ledger_option, open_ledger
from wiro_dagster.cli.tables import Column, json_option, limit_option, print_table, wide_option
from wiro_dagster.ledger.costs import COST_GROUPINGS, CostGrouping, CostRow, add_up_costs

_SECONDS_A_DAY = 86400


@click.command()
@ledger_option
@click.option(
    "--by",
    "grouping",
    type=click.Choice(COST_GROUPINGS),
    default="day",
    show_default=True,
    help="What to add up by.",
)
@click.option("--collection", help="Only this one, such as video or ads/video.")
@click.option("--days", type=click.IntRange(1), help="Only orders of the last days.")
@limit_option
@wide_option
@json_option
def costs(
    url: str | None,
    grouping: CostGrouping,
    collection: str | None,
    days: int | None,
    limit: int | None,
    wide: bool,
    as_json: bool,
) -> None:
    """Add up what Wiro charged, and what orders under way may still cost."""
    since = None if days is None else time.time() - days * _SECONDS_A_DAY
    ledger = open_ledger(url)
    rows = add_up_costs(ledger, grouping, since=since, collection=collection)
    shown = rows[:limit] if limit else rows
    if as_json:
        click.echo(json.dumps([_to_json(grouping, row) for row in shown], indent=2))
        return
    click.echo(describe_ledger(url))
    print_table(
        _columns(grouping), [_cells(row) for row in shown], wide=wide, footer=_cells(_total(rows))
    )
    unknown = sum(row.unknown for row in rows)
    if unknown:
        click.echo(f"Wiro did not state the cost of {unknown} orders; see --wide.", err=True)


def _columns(grouping: CostGrouping) -> list[Column]:
    return [
        Column(grouping),
        Column("orders", justify="right"),
        Column("videos", justify="right"),
        Column("spent, USD", justify="right"),
        Column("committed, USD", justify="right"),
        Column("cost not stated", justify="right", is_wide=True),
    ]


def _cells(row: CostRow) -> list[str]:
    return [
        row.name,
        str(row.orders),
        str(row.owned),
        f"{row.spent_usd:f}",
        f"{row.committed_usd:f}",
        str(row.unknown),
    ]


def _total(rows: list[CostRow]) -> CostRow:
    return CostRow(
        name="total",
        orders=sum(row.orders for row in rows),
        owned=sum(row.owned for row in rows),
        spent_usd=sum((row.spent_usd for row in rows), Decimal(0)),
        committed_usd=sum((row.committed_usd for row in rows), Decimal(0)),
        unknown=sum(row.unknown for row in rows),
    )


def _to_json(grouping: CostGrouping, row: CostRow) -> dict[str, Any]:
    return {
        grouping: row.name,
        "orders": row.orders,
        "videos": row.owned,
        "spent_usd": f"{row.spent_usd:f}",
        "committed_usd": f"{row.committed_usd:f}",
        "costs_not_stated": row.unknown,
    }
