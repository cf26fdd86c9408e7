"""`wiro-dagster costs`: what was spent, by day, model, collection or prompt."""

from __future__ import annotations

import time
from decimal import Decimal

import click
from rich.console import Console
from rich.table import Table

from wiro_dagster.cli.project import find_ledger_url
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.costs import COST_GROUPINGS, CostGrouping, CostRow, add_up_costs

_SECONDS_A_DAY = 86400


@click.command()
@click.option("--ledger", "url", envvar="WIRO_LEDGER_URL", help="SQLAlchemy URL of the ledger.")
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
def costs(
    url: str | None, grouping: CostGrouping, collection: str | None, days: int | None
) -> None:
    """Adds up what Wiro charged, and what orders under way may still cost."""
    since = None if days is None else time.time() - days * _SECONDS_A_DAY
    ledger = Ledger(url or find_ledger_url())
    rows = add_up_costs(ledger, grouping, since=since, collection=collection)
    Console().print(_table(grouping, rows))


def _table(grouping: CostGrouping, rows: list[CostRow]) -> Table:
    table = Table(show_footer=True)
    spent = sum((row.spent_usd for row in rows), Decimal(0))
    committed = sum((row.committed_usd for row in rows), Decimal(0))
    table.add_column(grouping, footer="total", overflow="fold")
    for name, footer in (
        ("orders", str(sum(row.orders for row in rows))),
        ("videos", str(sum(row.owned for row in rows))),
        ("spent, USD", f"{spent:f}"),
        ("committed, USD", f"{committed:f}"),
        ("cost not stated", str(sum(row.unknown for row in rows))),
    ):
        table.add_column(name, footer=footer, justify="right")
    for row in rows:
        table.add_row(
            row.name,
            str(row.orders),
            str(row.owned),
            f"{row.spent_usd:f}",
            f"{row.committed_usd:f}",
            str(row.unknown),
        )
    return table
