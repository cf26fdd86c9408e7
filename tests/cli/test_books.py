"""`wiro-dagster audit`, `ledger rebuild`, `orders reorder`: what they tell and what they change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.ledger_orders import failed, request
from tests.system.campaigns.workshop import MODEL
from wiro_dagster.cli import main
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET, Emulator
from wiro_dagster.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger that the commands find, too."""
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


@pytest.fixture
def runner(emulator: Emulator, ledger: Ledger, tmp_path: Path) -> CliRunner:
    """Runs commands in the environment of a project."""
    environment = {
        "WIRO_API_KEY": EMULATOR_API_KEY,
        "WIRO_API_SECRET": EMULATOR_API_SECRET,
        "WIRO_BASE_URL": emulator.base_url,
        "WIRO_LEDGER_URL": str(ledger.engine.url),
        "WIRO_VIDEO_STORE": str(tmp_path / "videos"),
        "WIRO_PROMPT_FILE": str(tmp_path / "none.yaml"),
    }
    return CliRunner(env=environment)


def test_an_audit_names_a_task_until_it_is_accepted(emulator: Emulator, runner: CliRunner) -> None:
    """The exit status says whether the books match; `--accept` is for tasks that you know."""
    stray = emulator.add_foreign_task(model=MODEL, inputs={"prompt": "theirs"})
    found = runner.invoke(main, ["audit", "--json"])
    assert found.exit_code == 1
    report = json.loads(found.output)
    assert [task["task_id"] for task in report["unexplained"]] == [stray]
    assert (report["differences"], report["tasks"], report["orders"]) == ([], 1, 0)
    assert runner.invoke(main, ["audit", "--accept", stray]).exit_code == 0
    assert runner.invoke(main, ["audit"]).exit_code == 0


def test_an_empty_ledger_with_nothing_to_take_over_may_buy(
    ledger: Ledger, runner: CliRunner
) -> None:
    """`ledger rebuild` says what it found."""
    ledger.note_witness("store", "It is older than its witness.")
    rebuilt = runner.invoke(main, ["ledger", "rebuild"])
    assert (rebuilt.exit_code, ledger.identity().behind) == (0, None)
    assert "0 videos" in rebuilt.output


def test_a_billed_failure_is_freed_by_a_user_who_saw_what_it_cost(
    ledger: Ledger, runner: CliRunner
) -> None:
    """`orders reorder` shows the charge and the price, and asks."""
    order = failed(ledger, cost_usd=Decimal("0.31"))
    refused = runner.invoke(main, ["orders", "reorder", str(order.id)], input="n\n")
    assert "0.31 USD" in refused.output
    assert "0.28 USD" in refused.output
    assert ledger.get(order.id).is_billed_failure
    assert runner.invoke(main, ["orders", "reorder", str(order.id), "--yes"]).exit_code == 0
    assert not ledger.get(order.id).is_billed_failure


def test_adopting_says_what_becomes_of_the_task(ledger: Ledger, runner: CliRunner) -> None:
    """A second one makes the video that the first did not; the order's own changes nothing."""
    order = failed(ledger)
    known = runner.invoke(main, ["orders", "adopt", str(order.id), str(order.task_id)])
    assert f"orders recover {order.id}" in known.output
    second = runner.invoke(main, ["orders", "adopt", str(order.id), "another"])
    assert "materialize video_order" in second.output
    assert ledger.place(request()).order.task_id == "another"
