"""Costs: the ledger's books, added up in every way, on the command line and in Dagster."""

from __future__ import annotations

from decimal import Decimal

import dagster as dg
from click.testing import CliRunner

from tests.conftest import Clock
from tests.test_ledger import running, stored, submitting
from wiro_dagster.cli import main
from wiro_dagster.cost_asset import build_cost_asset
from wiro_dagster.costs import COST_GROUPINGS, add_up_costs
from wiro_dagster.ledger import Ledger
from wiro_dagster.resources import LedgerResource

DAY = 86400


def test_every_way_of_adding_up_gives_the_same_total(ledger: Ledger, clock: Clock) -> None:
    """Spent, failed, committed and unstated costs are in every table."""
    stored(ledger, "a")
    clock.advance(DAY)
    ledger.advance(running(ledger, "b"), state="failed", cost_usd=Decimal("0.11"), due_at=None)
    submitting(ledger, "c", ceiling_usd=Decimal("0.40"))
    ledger.advance(running(ledger, "d"), state="failed", due_at=None)
    for grouping in COST_GROUPINGS:
        rows = add_up_costs(ledger, grouping)
        assert sum(row.spent_usd for row in rows) == Decimal("0.67")
        assert sum(row.committed_usd for row in rows) == Decimal("0.40")
        assert sum(row.orders for row in rows) == 4
        assert sum(row.owned for row in rows) == 1
        assert sum(row.unknown for row in rows) == 1


def test_days_are_utc_days(ledger: Ledger, clock: Clock) -> None:
    """An order counts on the day on which it was submitted."""
    stored(ledger, "a")
    clock.advance(DAY)
    stored(ledger, "b")
    assert [row.name for row in add_up_costs(ledger, "day")] == ["2023-11-14", "2023-11-15"]
    assert len(add_up_costs(ledger, "day", since=clock() - 1)) == 1


def test_an_order_that_was_never_sent_costs_nothing(ledger: Ledger) -> None:
    """What only waits is in no table."""
    order = submitting(ledger)
    ledger.advance(order, state="ordered", claimed_at=None, due_at=0)
    assert add_up_costs(ledger, "prompt") == []


def test_costs_on_the_command_line(ledger: Ledger, ledger_url: str) -> None:
    """A table with a total."""
    stored(ledger, "a")
    shown = CliRunner().invoke(main, ["costs", "--by", "model", "--ledger", ledger_url])
    assert shown.exit_code == 0, shown.output
    assert "0.28" in shown.output


def test_costs_as_an_asset(ledger: Ledger, ledger_url: str) -> None:
    """Totals are numbers that Dagster plots."""
    stored(ledger, "a")
    result = dg.materialize(
        [build_cost_asset()], resources={"wiro_ledger": LedgerResource(url=ledger_url)}
    )
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["wiro/spent_usd"].value == 0.28
