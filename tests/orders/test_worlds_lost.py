"""Worlds in which the answer to a Run is lost, and Wiro's list is not what it seems.

The rule: one order is one task. Whatever cannot be proved goes to the user, never to another POST.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.orders.conftest import OpenBench
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import (
    MODEL,
    PRICE,
    committed_by_ledger,
    list_book_errors,
    make_prompt,
)
from wiro_dagster.catalogue import LocalFileInput
from wiro_dagster.ledger.budget import BudgetLimits

LONG = 4 * STEADY.resubmit_after_seconds

LIST_SHOWS = [
    "list_inputs_null",
    "list_inputs_cut",
    "list_inputs_escaped",
    "list_inputs_upper_case",
    "list_inputs_with_defaults",
    "list_inputs_rehosted",
    "list_slug_newer",
]
UNLIKE = [
    "callback_missing",
    "list_inputs_null",
    "list_inputs_cut",
    "list_inputs_escaped",
    "list_inputs_upper_case",
    "list_slug_newer",
]
LIST_HIDES = [
    "list_callback_missing",
    "list_callback_null",
    "list_callback_cut",
    "list_callback_escaped",
    "list_behind",
    "listed_late",
]
LIST_IS_DOWN = [
    "list_down",
    "list_empty",
    "list_ascending",
    "list_ignores_limit",
    "list_ignores_start",
    "list_total_wrong",
    "list_leaves_out",
    "gateway_accepts",
    "gateway_accepts_502",
    "detail_down",
    "detail_forgets",
]
LONG_NAME = "Tom & Jerry on a long and winding street"
WITHOUT_MARKER: dict[str, Any] = {"options": {"identify_runs": False}}


def lose_answer(bench: Bench, name: str = "cat", **script: Any) -> None:
    """Place an order whose run is accepted, and whose answer is lost."""
    if script:
        bench.emulator.script_task(**script)
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place(name)
    bench.tick()


@pytest.mark.parametrize("world", [*LIST_SHOWS, *LIST_HIDES])
def test_a_lost_task_is_found_by_its_marker(open_bench: OpenBench, world: str) -> None:
    """However the list shows a task, its marker says whose it is: nothing is bought twice."""
    bench = open_bench()
    lose_answer(bench, worlds=[world])
    bench.settle(LONG)
    assert (bench.runs(), bench.state("cat")) == (1, "delivered")
    bench.check_books()


@pytest.mark.parametrize("world", UNLIKE)
def test_a_task_without_identity_goes_to_the_user(open_bench: OpenBench, world: str) -> None:
    """No marker, and inputs that differ: nobody can say whose it is, so the user decides."""
    bench = open_bench(**({} if world == "callback_missing" else WITHOUT_MARKER))
    lose_answer(bench, LONG_NAME, worlds=[world])
    bench.place("younger")
    bench.run(LONG, step=200)
    order = bench.order(LONG_NAME)
    (task_id,) = {task["id"] for task in bench.emulator.tasks()} - {bench.order("younger").task_id}
    assert (bench.runs(), order.state) == (2, "unknown")
    assert task_id in str(order.error)
    bench.ledger.note_task(order, task_id, due_at=bench.now)
    bench.settle()
    assert (bench.runs(), bench.state(LONG_NAME)) == (2, "delivered")
    bench.check_books()


def test_without_markers_the_one_equal_task_is_adopted(open_bench: OpenBench) -> None:
    """Defaults that Wiro fills in leave a task's inputs equal to those that were sent."""
    bench = open_bench(**WITHOUT_MARKER)
    lose_answer(bench, worlds=["list_inputs_with_defaults"])
    bench.settle(LONG)
    assert (bench.runs(), bench.state("cat")) == (1, "delivered")


def test_a_task_that_only_looks_like_ours_is_not_stopped(open_bench: OpenBench) -> None:
    """Equal inputs are no certainty: it may be another user's, until ours accepts it."""
    bench = open_bench(**WITHOUT_MARKER)
    bench.emulator.change_settings(task_seconds=600.0)
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    bench.place("cat")
    bench.tick()
    theirs = bench.emulator.add_foreign_task(model=MODEL, inputs=dict(make_prompt("cat").inputs))
    bench.run(30, step=5)
    order = bench.order("cat")
    assert order.task_id == theirs
    assert bench.ledger.request_stop(order.id, state="cancelled", reason="By hand.")
    bench.run(60, step=10)
    assert (bench.calls("Task/Kill"), bench.calls("Task/Cancel")) == (0, 0)
    assert f"audit --accept {theirs}" in str(bench.order("cat").hold)
    assert any(theirs in line for line in bench.told())
    bench.ledger.accept_strays(bench.desk.context.account, [theirs], "accepted by the user")
    bench.run(120, step=10)
    assert bench.state("cat") == "cancelled"


@pytest.mark.parametrize("world", LIST_IS_DOWN)
def test_a_list_that_is_no_account_proves_nothing(open_bench: OpenBench, world: str) -> None:
    """While the list is down or wrong, a lost run is not sent again; then its task is found."""
    bench = open_bench()
    for number in range(105):
        bench.emulator.add_foreign_task(
            model=MODEL, inputs={"prompt": f"old {number}"}, age_seconds=90_000 + number
        )
    bench.place("known")
    bench.settle()
    bench.emulator.begin_world(world, seconds=LONG)
    lose_answer(bench)
    bench.run(LONG, step=200)
    bench.place("younger")
    bench.settle(LONG)
    assert (bench.runs(), bench.state("cat")) == (3, "delivered")
    bench.check_books()


def test_a_wait_counts_from_the_first_complete_look(open_bench: OpenBench) -> None:
    """The list is down for as long as a lost run would wait, comes back, and lags behind."""
    bench = open_bench()
    wait = STEADY.resubmit_after_seconds
    lose_answer(bench, worlds={"listed_late": wait + 120})
    bench.emulator.begin_world("list_down", seconds=wait)
    bench.run(wait, step=60)
    bench.place("younger")
    bench.settle(LONG)
    assert (bench.runs(), bench.state("cat")) == (2, "delivered")
    bench.check_books()


def test_a_task_that_is_never_listed_costs_two_posts_at_most(open_bench: OpenBench) -> None:
    """A list that hides one task for ever cannot be seen through: two POSTs, both on the books."""
    bench = open_bench()
    bench.emulator.script_fault("drop", endpoint="Run", moment="after", times=None, matching="cat")
    bench.emulator.script_task(worlds=["listed_never"], times=None, matching="cat")
    bench.place("cat")
    bench.tick()
    for number in range(5):
        bench.place(f"younger {number}")
        bench.run(LONG, step=200)
    assert bench.calls(f"Run/{MODEL}") == 7
    assert bench.state("cat") == "unknown"
    assert committed_by_ledger(bench.ledger) == 7 * PRICE == bench.emulator.spent_usd()
    assert any("orders abandon" in line for line in bench.told())


@pytest.mark.parametrize("options", [{}, WITHOUT_MARKER], ids=["marked", "unmarked"])
def test_a_gateway_that_loses_every_answer_buys_no_second_time(
    open_bench: OpenBench, options: dict[str, Any]
) -> None:
    """Every Run is accepted and answered with 504 for a day; the list shows other inputs."""
    bench = open_bench(limits=BudgetLimits(daily_usd=Decimal(1)), **options)
    bench.emulator.begin_world("gateway_accepts")
    bench.emulator.script_task(worlds=["list_inputs_upper_case"], times=None)
    bench.place("cat")
    bench.run(86_400, step=7200)
    assert bench.runs() == 1
    assert committed_by_ledger(bench.ledger) == bench.emulator.spent_usd() == PRICE
    assert bench.state("cat") == ("unknown" if options else "delivered")
    assert bool(bench.told()) == bool(options)


@pytest.mark.parametrize("options", [{}, WITHOUT_MARKER], ids=["marked", "unmarked"])
def test_equal_inputs_are_no_identity(open_bench: OpenBench, options: dict[str, Any]) -> None:
    """Somebody ran the same prompt ten minutes ago; our run's answer is lost and it lists late."""
    bench = open_bench(**options)
    inputs = dict(make_prompt("cat").inputs)
    theirs = bench.emulator.add_foreign_task(model=MODEL, inputs=inputs, age_seconds=600)
    lose_answer(bench, worlds={"listed_late": 20.0})
    bench.settle(LONG)
    assert bench.order("cat").task_id != theirs
    assert bench.runs() == 1
    bench.check_books()


@pytest.mark.parametrize("files_at_wiro", ["keep", "delete"])
def test_two_ledgers_of_one_account_leave_each_others_tasks(
    open_bench: OpenBench, files_at_wiro: str
) -> None:
    """Staging's POST never arrived, production's did: staging neither adopts nor stops it."""
    bench = open_bench("staging", policy=replace(STEADY, files_at_wiro=files_at_wiro))
    production = open_bench("production")
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    bench.place("cat")
    bench.tick()
    production.place("cat")
    production.tick()
    bench.run(60, step=5)
    assert bench.order("cat").task_id is None
    bench.ledger.request_stop(bench.order("cat").id, state="cancelled", reason="By hand.")
    bench.run(60, step=5)
    production.now = bench.now
    production.settle()
    assert production.state("cat") == "delivered"
    assert bench.emulator.billable_tasks() == 1
    assert list_book_errors(production.ledger, production.emulator) == {}


def test_a_batch_of_images_with_one_text_comes_home(open_bench: OpenBench, tmp_path: Path) -> None:
    """Six prompts differ in their images alone, and all six answers are lost."""
    bench = open_bench()
    bench.emulator.script_fault("drop", endpoint="Run", moment="after", times=6)
    for number in range(6):
        path = tmp_path / f"{number}.png"
        content = b"\x89PNG\r\n\x1a\n" + bytes([number]) * 50
        path.write_bytes(content)
        image = LocalFileInput(path, hashlib.sha256(content).hexdigest(), len(content))
        prompt = make_prompt("slow zoom", inputImageFirst=image)
        bench.desk.place(f"cat {number}", prompt)
    orders = bench.settle(LONG)
    assert [order.state for order in orders] == ["delivered"] * 6
    assert bench.runs() == 6
    bench.check_books()


def test_a_gateway_that_repeats_a_post_is_told(open_bench: OpenBench) -> None:
    """One POST becomes two tasks: the second is owned, on the books, and told."""
    bench = open_bench()
    bench.emulator.script_task(worlds=["twin"], times=5)
    for number in range(5):
        bench.place(f"cat {number}")
    bench.settle(LONG)
    bench.run(700, step=100)
    assert bench.runs() == 10
    bench.check_books()
    assert committed_by_ledger(bench.ledger) == 10 * PRICE
