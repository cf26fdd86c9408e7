"""A collection that needs approval, as its user sees it in Dagster."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from tests.support.project import Project
from wiro_dagster import approve_orders, decline_orders, list_proposed_orders
from wiro_dagster.cli import main
from wiro_dagster.ledger import Order
from wiro_dagster.ledger.schema import orders

ORDER, VIDEO = dg.AssetKey("video_order"), dg.AssetKey("video")


@pytest.fixture
def careful(project: Project) -> Project:
    """Two prompts of 0.28 USD each, in a collection that needs approval."""
    project.collection_options = {"needs_approval": True}
    project.write_prompts(
        {"id": "cat", "prompt": "A cat wakes up"}, {"id": "dog", "prompt": "A dog runs"}
    )
    return project


def cli(project: Project, *arguments: str, **options: Any) -> Result:
    url = f"sqlite:///{project.folder / 'ledger.db'}"
    return CliRunner().invoke(main, [*arguments, "--ledger", url], **options)


def find_check(result: Any, name: str) -> dg.AssetCheckEvaluation:
    (check,) = [e for e in result.asset_events if getattr(e, "check_name", "") == name]
    return check


def states(project: Project) -> list[str]:
    return [order.state for order in project.ledger.list_orders()]


def test_orders_wait_until_they_are_approved_in_the_command_line(careful: Project) -> None:
    """The sensor says how many and how much; the command shows the total, asks, and records who."""
    assert careful.order("cat", "dog").success
    waiting = careful.materializations(ORDER, "cat")[0]
    assert waiting.metadata["wiro/waits_for_approval"].value is True
    check = find_check(careful.tick(), "orders_approved")
    assert not check.passed
    assert check.description is not None
    assert check.description.startswith("2 orders, 0.56 USD together, wait for approval. Approve:")
    assert len(careful.emulator.tasks()) == 0

    declined = cli(careful, "orders", "approve", input="n\n")
    assert declined.exit_code == 1
    assert "2 orders, 0.56 USD together." in declined.output
    assert states(careful) == ["proposed", "proposed"]
    approved = cli(careful, "orders", "approve", "--by", "anna", input="y\n")
    assert "Approved: 2 orders, 0.56 USD together." in approved.output, approved.output
    assert find_check(careful.tick(), "orders_approved").passed
    careful.settle()
    (video,) = careful.videos("cat")
    assert video.metadata["wiro/approved_by"].value == "anna"
    assert "wiro/approved_at" in video.metadata
    assert '"approved_by": "anna"' in cli(careful, "orders", "--json").output


def test_a_run_can_approve_what_it_orders(careful: Project) -> None:
    """With `approve: true`, the run is the approver, or whoever Dagster says launched it."""
    careful.order("cat")
    config = {"ops": {"video_order": {"config": {"approve": True}}}}
    result = careful.materialize(ORDER, partitions=["cat"], run_config=config)
    assert result.success
    (order,) = careful.ledger.list_orders()
    assert (order.state, order.approved_by) == ("ordered", f"run {result.run_id}")
    newest = careful.materializations(ORDER, "cat")[0]
    assert newest.metadata["wiro/approved_by"].value == order.approved_by
    careful.materialize(
        ORDER, partitions=["dog"], run_config=config, tags={"user": "anna@example.com"}
    )
    assert careful.ledger.list_orders(partitions=["dog"])[0].approved_by == "anna@example.com"


def test_max_usd_limits_what_a_run_approves(careful: Project) -> None:
    """What waits for approval already is not bought yet, so it counts."""
    careful.order("cat", "dog")
    config = {"ops": {"video_order": {"config": {"approve": True, "max_usd": 0.5}}}}
    result = careful.materialize(ORDER, partitions=["cat", "dog"], run_config=config)
    assert not result.success
    assert sorted(states(careful)) == ["ordered", "proposed"]


def test_a_run_of_video_buys_nothing_without_approval_and_says_what_to_do(
    careful: Project,
) -> None:
    """It fails at once: approval may take days."""
    result = careful.materialize(VIDEO, partitions=["cat"])
    assert not result.success
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    assert "Waits for approval (quote 0.28 USD)" in str(failure.step_failure_data.user_failure_data)
    assert "wiro-dagster orders approve 1" in str(failure.step_failure_data.user_failure_data)
    assert careful.materializations(ORDER, "cat")
    assert len(careful.emulator.tasks()) == 0
    approve_orders(careful.ledger, list_proposed_orders(careful.ledger), by="anna")
    assert careful.materialize(VIDEO, partitions=["cat"]).success


def test_own_code_can_approve_and_decline(careful: Project) -> None:
    """What a Slack action calls."""
    careful.order("cat", "dog")
    ledger = careful.ledger
    waiting = list_proposed_orders(ledger, collection="video", partitions=["cat"])
    assert approve_orders(ledger, waiting, by="anna").describe() == "1 order, 0.28 USD together"
    assert decline_orders(ledger, list_proposed_orders(ledger), by="bert") == 1
    careful.settle()
    assert states(careful) == ["delivered", "cancelled"]
    assert len(careful.emulator.tasks()) == 1


def test_a_price_that_has_risen_since_its_approval_is_proposed_again(careful: Project) -> None:
    """An approval holds for the price that was shown, also if the quote grows old afterwards."""
    careful.order("cat")
    set_order(careful, quote_usd=Decimal("0.1"), ceiling_usd=Decimal("0.1"), quoted_at=0.0)
    approve_orders(careful.ledger, list_proposed_orders(careful.ledger), by="anna")
    careful.tick()
    order = find_order(careful)
    assert (order.state, len(careful.emulator.tasks())) == ("proposed", 0)
    shown = cli(careful, "orders").output
    assert "quote 0.28 USD" in shown
    assert "Its price has risen since anna approved 0.1 USD." in shown


def test_a_second_try_waits_for_an_approval_of_its_own(careful: Project) -> None:
    """The first approval was for the first try, which was billed."""
    careful.policy = replace(careful.policy, attempts=2)
    careful.emulator.script_task(
        outcome="failed_with_cost", reason="The generated video was flagged as sensitive."
    )
    careful.order("cat")
    approve_orders(careful.ledger, list_proposed_orders(careful.ledger), by="anna")
    careful.settle()
    (second,) = list_proposed_orders(careful.ledger)
    assert (second.try_number, second.approved_by, second.due_at) == (2, None, None)
    assert len(careful.emulator.tasks()) == 1
    approve_orders(careful.ledger, [second], by="anna")
    careful.settle()
    assert len(careful.videos("cat")) == 1


def test_a_collection_without_approval_has_no_such_check(project: Project) -> None:
    """Nothing changes for it."""
    project.write_prompts({"id": "cat", "prompt": "A cat wakes up"})
    names = {key.name for key in project.load().resolve_asset_graph().asset_check_keys}
    assert "orders_approved" not in names
    project.collection_options = {"needs_approval": True}
    names = {key.name for key in project.load().resolve_asset_graph().asset_check_keys}
    assert "orders_approved" in names


def find_order(project: Project) -> Order:
    (order,) = project.ledger.list_orders()
    return order


def set_order(project: Project, **values: Any) -> None:
    with project.ledger.writing() as connection:
        connection.execute(sa.update(orders).values(values))
