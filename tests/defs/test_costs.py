"""Costs: the ledger's books, added up in every way, on the command line and in Dagster."""

from __future__ import annotations

from decimal import Decimal

import dagster as dg
import sqlalchemy as sa
from click.testing import CliRunner

from tests.conftest import Clock
from tests.support.ledger_orders import failed, request, stored, submitting
from tests.support.project import Project
from wiro_dagster import build_video_definitions
from wiro_dagster.cli import main
from wiro_dagster.defs.cost_asset import build_cost_asset
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.costs import COST_GROUPINGS, add_up_costs
from wiro_dagster.ledger.schema import orders, submissions
from wiro_dagster.resources.account import LedgerResource

DAY = 86400


def test_every_way_of_adding_up_gives_the_same_total(ledger: Ledger, clock: Clock) -> None:
    """Spent, failed, committed and unstated costs are in every table."""
    stored(ledger, "a")
    clock.advance(DAY)
    failed(ledger, "b", cost_usd=Decimal("0.11"))
    failed(ledger, "d", cost_usd=None)  # its ceiling counts
    submitting(ledger, "c", ceiling_usd=Decimal("0.40"))
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
    ledger.place(request())
    assert add_up_costs(ledger, "prompt") == []


def test_costs_on_the_command_line(ledger: Ledger, ledger_url: str) -> None:
    """A table with a total."""
    stored(ledger, "a")
    shown = CliRunner().invoke(main, ["costs", "--by", "model", "--ledger", ledger_url])
    assert shown.exit_code == 0, shown.output
    assert "0.28" in shown.output

    for name, total in (("video", "0.28"), ("ads/video", "0.00")):
        options = ["costs", "--collection", name, "--ledger", ledger_url]
        shown = CliRunner().invoke(main, options)
        assert (total in shown.output) is (name == "video"), shown.output


def test_costs_as_an_asset(ledger: Ledger, ledger_url: str) -> None:
    """Totals are numbers that Dagster plots; of a ledger, or of one of its collections."""
    stored(ledger, "a")
    moved = stored(ledger, "b")
    with ledger.writing() as connection:
        for table, key in ((orders, orders.c.id), (submissions, submissions.c.order_id)):
            mine = sa.update(table).where(key == moved.id)
            connection.execute(mine.values(collection="ads/video"))
    whole, part = build_cost_asset(), build_cost_asset(key="own_costs", collection="video")
    result = dg.materialize(
        [whole, part], resources={"wiro_ledger": LedgerResource(url=ledger_url)}
    )
    told = {
        event.asset_key: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert told[whole.key]["wiro/spent_usd"].value == 0.56
    assert told[part.key]["wiro/spent_usd"].value == 0.28
    assert "wiro/costs_by_collection" in told[whole.key]
    assert told[part.key].keys() >= {f"wiro/costs_by_{name}" for name in ("day", "model", "prompt")}


def test_every_collection_has_its_costs_as_an_asset(project: Project) -> None:
    """Side by side, each with its own sums: what the command line says of the collection."""
    ads = Project(project.folder, project.emulator, project.instance, name="ads")
    for each in (project, ads):
        each.write_prompts({"id": "cat", "prompt": f"A cat for {each.name}"})
        assert each.order("cat").success
    project.settle()
    defs = dg.Definitions.merge(
        build_video_definitions(project.collection),
        build_video_definitions(ads.collection),
        dg.Definitions(resources=project.resources),
    )
    keys = [project.collection.cost_key, ads.collection.cost_key]
    assert [key.to_user_string() for key in keys] == ["video_costs", "ads/video_costs"]
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=project.instance, asset_selection=keys
    )
    told = {
        event.asset_key: event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    spent = [told[key]["wiro/spent_usd"].value for key in keys]
    assert spent == [float(project.emulator.spent_usd()), 0.0]
    assert spent[0] > 0
