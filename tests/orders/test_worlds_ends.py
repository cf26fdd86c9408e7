"""Worlds in which a task's end is not what it seems at first sight.

The rule: an end counts when it stands still, what was paid for is fetched, and the books hold what
Wiro finally charges.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.orders.conftest import OpenBench
from tests.system.campaigns.bench import Bench
from tests.system.campaigns.workshop import (
    PRICE,
    committed_by_ledger,
    list_book_errors,
    make_prompt,
    spent_by_ledger,
)
from wiro_dagster.ledger.budget import BudgetLimits

DAY = 86_400.0
LATE = ["late_outputs", "late_cost", "late_exit_code", "failed_first", "cancelled_first"]
UNSTATED = ["cost_never", "cost_null", "cost_missing", "cost_negative", "cost_huge", "cost_text"]


def make(bench: Bench, *worlds: str, name: str = "cat", **seconds: float) -> None:
    """Order a video whose task lives in these worlds."""
    bench.emulator.script_task(worlds={**dict.fromkeys(worlds), **seconds})
    bench.place(name)
    bench.tick()


@pytest.mark.parametrize("world", [*LATE, "exit_code_never", "unknown_end", "list_behind"])
def test_an_end_counts_when_it_stands_still(open_bench: OpenBench, world: str) -> None:
    """Outputs, cost, exit code or the right status come late: the video is fetched, and booked."""
    bench = open_bench()
    make(bench, world)
    bench.settle()
    bench.run(DAY + 7200, step=DAY / 6)
    assert (bench.runs(), bench.state("cat")) == (1, "delivered")
    bench.check_books()


@pytest.mark.parametrize("world", ["late_outputs", "late_exit_code", "late_cost"])
def test_an_end_may_take_minutes_to_be_complete(open_bench: OpenBench, world: str) -> None:
    """A success is looked at for minutes before it counts as one without files."""
    bench = open_bench()
    make(bench, **{world: 300.0})
    bench.settle()
    bench.run(2 * 3600, step=1800)
    assert bench.state("cat") == "delivered"
    bench.check_books()


@pytest.mark.parametrize("world", ["failed_with_cost", "cancelled_with_cost", "outputs_never"])
def test_what_was_paid_for_is_fetched_or_told(open_bench: OpenBench, world: str) -> None:
    """A billed end without a plain success: its files are fetched, or only the user pays again."""
    bench = open_bench()
    make(bench, world)
    bench.settle()
    order = bench.order("cat")
    assert order.cost_usd == PRICE
    if world == "cancelled_with_cost":
        assert order.state == "delivered"
    else:
        assert order.is_billed_failure
        placement = bench.desk.place("cat", make_prompt("cat"))
        bench.settle()
        assert placement.outcome == "billed_failure"
        assert any("It was billed" in line for line in bench.told())
    assert bench.runs() == 1
    bench.check_books()


def test_outputs_that_come_after_the_end_of_patience_are_fetched(open_bench: OpenBench) -> None:
    """An order that ended without files is looked at again, by hand or when the list shows them."""
    bench = open_bench()
    make(bench, late_outputs=3600.0)
    bench.settle()
    assert bench.state("cat") == "failed"
    bench.advance(3600)
    assert bench.ledger.recover(bench.order("cat").id)
    bench.settle()
    assert (bench.runs(), bench.state("cat")) == (1, "delivered")
    bench.check_books()


@pytest.mark.parametrize("world", ["forgotten", "forgotten_empty"])
def test_a_task_that_detail_forgets_is_looked_for_on(open_bench: OpenBench, world: str) -> None:
    """Task/Detail knows nothing of a running task for eleven minutes."""
    bench = open_bench()
    make(bench, "listed_never", **{world: 660.0})
    bench.settle(7200)
    placement = bench.desk.place("cat", make_prompt("cat"))
    assert (placement.outcome, bench.runs(), bench.state("cat")) == ("owned", 1, "delivered")
    bench.check_books()


@pytest.mark.parametrize("world", [*UNSTATED, "late_cost"])
def test_a_cost_that_is_not_stated_frees_no_budget(open_bench: OpenBench, world: str) -> None:
    """Six orders, a budget of 1.00 USD: the ceiling stays committed until a cost is stated."""
    limits = BudgetLimits(daily_usd=Decimal(1))
    bench = open_bench(limits=limits)
    bench.emulator.script_task(worlds=[world], times=None)
    for number in range(6):
        bench.place(f"cat {number}")
    bench.run(600, step=100)
    assert bench.emulator.spent_usd() == committed_by_ledger(bench.ledger) == 3 * PRICE


@pytest.mark.parametrize("world", UNSTATED)
def test_a_cost_that_is_never_stated_is_told(open_bench: OpenBench, world: str) -> None:
    """After the last look, a day later, the user is told which tasks have no cost."""
    bench = open_bench()
    make(bench, world)
    bench.settle()
    bench.run(1.5 * DAY, step=DAY / 6)
    assert bench.state("cat") == "delivered"
    assert committed_by_ledger(bench.ledger) == PRICE
    assert spent_by_ledger(bench.ledger) == 0
    assert any(str(bench.order("cat").task_id) in line for line in bench.told())


@pytest.mark.parametrize("exit_code", [(), ("exit_code_never",)], ids=["success", "none"])
def test_files_under_a_cancelled_task_are_not_free_although_wiro_says_0(
    open_bench: OpenBench, exit_code: tuple[str, ...]
) -> None:
    """Files, cost 0 for ever: what was fetched was billed. Its ceiling stays committed."""
    bench = open_bench()
    make(bench, "cancelled_with_cost", "cost_never", *exit_code)
    bench.settle()
    bench.run(1.5 * DAY, step=DAY / 6)
    assert bench.state("cat") == "delivered"
    assert bench.emulator.spent_usd() == committed_by_ledger(bench.ledger) == PRICE
    assert any(str(bench.order("cat").task_id) in line for line in bench.told())


def test_the_zero_of_a_failure_says_nothing_of_the_success_that_it_turns_out_to_be(
    open_bench: OpenBench,
) -> None:
    """A failure at 0 USD is a success later, without a cost: its ceiling is committed again."""
    bench = open_bench()
    make(bench, "cost_missing", failed_first=120.0)
    bench.run(60, step=15)
    assert (bench.state("cat"), committed_by_ledger(bench.ledger)) == ("failed", 0)
    bench.advance(120)
    bench.settle()
    bench.run(1.5 * DAY, step=DAY / 6)
    assert (bench.runs(), bench.state("cat")) == (1, "delivered")
    assert bench.emulator.spent_usd() == committed_by_ledger(bench.ledger) == PRICE
    assert bench.order("cat").cost_usd is None
    assert any(str(bench.order("cat").task_id) in line for line in bench.told())


def test_the_zero_of_a_failure_is_forgotten_if_it_turns_out_to_be_a_success_without_files(
    open_bench: OpenBench,
) -> None:
    """Wiro says 0 of what it has charged, and shows no files: the ceiling is committed again."""
    bench = open_bench()
    make(bench, "cost_never", "outputs_never", failed_first=120.0)
    bench.run(60, step=15)
    assert (bench.state("cat"), committed_by_ledger(bench.ledger)) == ("failed", 0)
    bench.run(DAY / 2, step=DAY / 6)
    assert bench.emulator.spent_usd() == committed_by_ledger(bench.ledger) == PRICE
    bench.run(2 * DAY, step=DAY / 6)
    assert any(str(bench.order("cat").task_id) in line for line in bench.told())


@pytest.mark.parametrize("seconds", [60.0, None])
def test_a_failure_whose_cost_cannot_be_read_is_not_taken_for_free(
    open_bench: OpenBench, seconds: float | None
) -> None:
    """Only Wiro's word that it was free lets it be ordered again without the user."""
    bench = open_bench()
    bench.emulator.script_task(outcome="fail", worlds={"cost_text": seconds})
    bench.place("cat")
    bench.run(45, step=15)
    order = bench.order("cat")
    assert (order.state, order.is_billed_failure) == ("failed", True)
    assert committed_by_ledger(bench.ledger) == PRICE
    bench.run(DAY + 7200, step=DAY / 6)
    assert bench.order("cat").is_billed_failure == (seconds is None)
    assert committed_by_ledger(bench.ledger) == (PRICE if seconds is None else 0)


@pytest.mark.parametrize("world", ["cost_above_price", "cost_changes", "failed_later"])
def test_a_cost_that_changes_is_taken_over_and_told(open_bench: OpenBench, world: str) -> None:
    """The books follow what Wiro finally charges; the user is told of the change."""
    bench = open_bench()
    make(bench, world)
    bench.settle()
    bench.run(2 * 3600, step=1800)
    assert bench.order("cat").is_owned
    assert list_book_errors(bench.ledger, bench.emulator) == {}
    assert bench.told() or world == "cost_above_price"  # the check on the video tells that one


def test_a_cost_that_changes_where_the_list_shows_nothing_is_read_once_more(
    open_bench: OpenBench,
) -> None:
    """A day later, by the task's id: the books follow, and the user is told."""
    bench = open_bench()
    make(bench, "listed_never", "cost_changes")
    bench.settle()
    assert spent_by_ledger(bench.ledger) == PRICE
    looks = bench.calls("Task/Detail")
    bench.run(DAY + 7200, step=DAY / 6)
    assert bench.calls("Task/Detail") == looks + 1
    assert list_book_errors(bench.ledger, bench.emulator) == {}
    assert bench.told()


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)  # it refuses more
@pytest.mark.parametrize("kind", ["cost", "times"])
def test_an_absurd_number_harms_no_other_order(
    open_bench: OpenBench, ledger_url: str, kind: str
) -> None:
    """One task shows a number that no database holds; all orders come home."""
    worlds = ["cost_huge"] if kind == "cost" else ["times_in_milliseconds", "times_far_future"]
    bench = open_bench(ledger_url=ledger_url)
    make(bench, *worlds, name="odd")
    for number in range(5):
        bench.place(f"cat {number}")
    assert {order.state for order in bench.settle()} == {"delivered"}
    assert bench.runs() == 6


@pytest.mark.parametrize(
    "world",
    ["times_in_milliseconds", "times_far_future", "times_negative", "times_missing"],
)
def test_odd_times_stop_no_task_and_no_order(open_bench: OpenBench, world: str) -> None:
    """A task's times are of no use: it is neither stopped for them nor lost."""
    bench = open_bench()
    bench.emulator.change_settings(task_seconds=60.0)
    make(bench, world)
    bench.settle()
    assert bench.state("cat") == "delivered"
    assert bench.calls("Task/Kill") == bench.calls("Task/Cancel") == 0
    bench.check_books()


@pytest.mark.parametrize(
    "world",
    ["signed_urls", "size_wrong", "size_zero", "type_wrong"],
)
def test_files_that_are_announced_wrongly_are_owned(open_bench: OpenBench, world: str) -> None:
    """Verification is a verdict, not a gate: what was paid for and is whole is ours."""
    bench = open_bench()
    make(bench, world)
    bench.settle(7200)
    assert bench.state("cat") == "delivered"
    bench.check_books()


def test_a_file_that_cannot_be_read_is_told(open_bench: OpenBench) -> None:
    """Its server announces 0 bytes for ever: the order waits, and the user is told why."""
    bench = open_bench()
    make(bench, "length_zero")
    bench.run(2 * 3600, step=1800)
    assert (bench.runs(), bench.state("cat")) == (1, "finished")
    assert any("is empty" in line for line in bench.told())


def test_files_that_have_vanished_are_named_as_not_recovered(open_bench: OpenBench) -> None:
    """Nothing is dropped silently: after a day of 404 the order ends uncollected, and says so."""
    bench = open_bench()
    make(bench, files_vanish=0.0)
    bench.run(2 * DAY, step=DAY / 6)
    assert bench.state("cat") == "uncollected"
    assert any("orders recover" in line for line in bench.told())
    assert bench.order("cat").cost_usd == PRICE
