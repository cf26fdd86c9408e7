"""The price before the click: a dry run, and a limit for one run."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import dagster as dg
import pytest

from tests.support.project import Project

WAVES = [{"id": f"wave-{number}", "prompt": f"wave {number}"} for number in range(3)]
IDS = [wave["id"] for wave in WAVES]


def order(project: Project, *partitions: str, **config: Any) -> dg.ExecuteInProcessResult:
    run_config = {"ops": {"video_order": {"config": config}}}
    return project.materialize(
        project.collection.order_key, partitions=partitions, run_config=run_config
    )


def messages(project: Project, run_id: str) -> str:
    return "\n".join(entry.user_message for entry in project.instance.all_logs(run_id))


def test_a_dry_run_logs_prices_and_orders_nothing(project: Project) -> None:
    """Each price and their sum; nothing is materialized."""
    project.write_prompts(*WAVES)
    result = order(project, *IDS, dry_run=True)
    assert result.success
    logged = messages(project, result.run_id)
    assert '"wave-0": minimax/hailuo-2-3, quote 0.28 USD, at most 0.28 USD.' in logged
    assert "3 new orders: 0.84 USD. Nothing was ordered." in logged
    assert project.ledger.list_orders() == []
    assert project.materializations(project.collection.order_key, "wave-0") == []


def test_what_is_ordered_already_costs_nothing_new(project: Project) -> None:
    """A dry run says so."""
    project.write_prompts(*WAVES)
    assert order(project, "wave-0").success
    logged = messages(project, order(project, *IDS, dry_run=True).run_id)
    assert '"wave-0": minimax/hailuo-2-3, already ordered' in logged
    assert "2 new orders: 0.56 USD" in logged


def test_a_run_orders_no_more_than_its_limit(project: Project) -> None:
    """What does not fit is named, and what fits is ordered all the same."""
    project.write_prompts(*WAVES)
    result = order(project, *IDS, max_usd=0.6)
    assert not result.success
    assert [placed.partition for placed in project.ledger.list_orders()] == IDS[:2]
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    told = failure.step_failure_data.user_failure_data
    assert told is not None
    assert "only 0.04 of max_usd (0.6) are left" in str(told.description)


def test_existing_orders_need_no_room_in_the_limit(project: Project) -> None:
    """Materializing them again buys nothing."""
    project.write_prompts(*WAVES)
    assert order(project, *IDS).success
    assert order(project, *IDS, max_usd=0).success
    assert len(project.ledger.list_orders()) == 3


@pytest.mark.parametrize("wrong", [{"max_usd": -1}, {"dry_run": "maybe"}, {"max_eur": 1}])
def test_a_wrong_config_is_refused(project: Project, wrong: dict[str, Any]) -> None:
    """Nothing is ordered by a run whose limit cannot be understood."""
    project.write_prompts(*WAVES)
    with suppress(dg.DagsterInvalidConfigError):
        assert not order(project, *IDS, **wrong).success
    assert project.ledger.list_orders() == []
