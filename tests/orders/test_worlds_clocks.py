"""Worlds in which clocks disagree: ours, Wiro's, and those of two machines on one ledger.

The rule: no clock is trusted alone. Nothing is bought while they disagree, and nothing is stopped.
"""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from tests.orders.conftest import OpenBench
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import place
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.budget import BudgetLimits

HOUR, DAY = 3600.0, 86_400.0
LONG = 4 * STEADY.resubmit_after_seconds


def pass_together(benches: tuple[Bench, ...], seconds: float, *, step: float = 30.0) -> None:
    """Let several machines tick and report while real time passes."""
    clock = benches[0].emulator.now
    until = clock() + seconds
    while clock() < until:
        for bench in benches:
            bench.step()
        benches[0].advance(step)
        for bench in benches[1:]:
            bench.now = clock() + bench.offset_seconds


@pytest.mark.parametrize("offset_seconds", [-DAY, -120.0, 120.0, DAY])
def test_a_machine_whose_clock_is_wrong_buys_nothing(
    open_bench: OpenBench, offset_seconds: float
) -> None:
    """Beyond a minute nothing is bought, the user is told why, and it passes with its cause."""
    bench = open_bench(offset_seconds=offset_seconds)
    bench.place("cat")
    bench.run(300, step=60)
    assert bench.runs() == 0
    assert any("clock" in line for line in bench.told())
    bench.offset_seconds = 0.0
    bench.advance(0)
    bench.settle(2 * DAY, longest_step=HOUR)
    assert (bench.runs(), bench.told()) == (1, [])


@pytest.mark.parametrize("offset_seconds", [-50.0, 50.0])
def test_a_small_difference_is_harmless(open_bench: OpenBench, offset_seconds: float) -> None:
    """Within a minute orders come home, and lost answers are found."""
    bench = open_bench(offset_seconds=offset_seconds)
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("cat")
    bench.settle()
    assert (bench.runs(), bench.state("cat")) == (1, "delivered")
    bench.check_books()


@pytest.mark.parametrize("jump_seconds", [-DAY, DAY])
def test_a_clock_that_jumps_under_way_loses_nothing(
    open_bench: OpenBench, jump_seconds: float
) -> None:
    """An answer is lost and lists late; ten seconds after it our clock jumps."""
    bench = open_bench()
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.emulator.script_task(worlds={"listed_late": 30.0})
    bench.place("cat")
    bench.run(10, step=5)
    bench.offset_seconds = jump_seconds
    bench.advance(5)
    bench.run(LONG, step=120)
    assert bench.runs() == 1
    bench.offset_seconds = 0.0
    bench.advance(5)
    bench.place("younger")
    bench.settle(2 * DAY, longest_step=HOUR)
    assert (bench.runs(), bench.state("cat")) == (2, "delivered")
    bench.check_books()


@pytest.mark.parametrize("offset_seconds", [-HOUR, DAY])
def test_tasks_are_not_stopped_by_a_wrong_clock(
    open_bench: OpenBench, offset_seconds: float
) -> None:
    """A machine that is an hour off takes over tasks of three minutes: none is killed."""
    bench = open_bench()
    bench.emulator.change_settings(task_seconds=180.0)
    for number in range(3):
        bench.place(f"cat {number}")
    bench.tick()
    bench.offset_seconds = offset_seconds
    bench.advance(5)
    bench.run(600, step=100)
    bench.offset_seconds = 0.0
    bench.advance(5)
    assert {order.state for order in bench.settle(2 * DAY, longest_step=HOUR)} == {"delivered"}
    assert bench.calls("Task/Kill") == bench.calls("Task/Cancel") == 0


@pytest.mark.parametrize("skew_seconds", [-HOUR, DAY])
def test_two_machines_that_disagree_send_once(open_bench: OpenBench, skew_seconds: float) -> None:
    """One machine's answer is lost; the other, whose clock is wrong, does not send it again."""
    right = open_bench()
    wrong = open_bench(offset_seconds=skew_seconds)
    right.emulator.script_task(worlds={"listed_late": 60.0})
    right.emulator.script_fault("drop", endpoint="Run", moment="after")
    right.place("cat")
    right.tick()
    pass_together((right, wrong), LONG)
    assert right.runs() == 1
    right.settle(2 * DAY, longest_step=HOUR)
    assert right.state("cat") == "delivered"


def test_a_machine_with_a_wrong_clock_keeps_no_other_from_buying(open_bench: OpenBench) -> None:
    """It buys nothing and is named; the machine whose clock is right goes on at once."""
    right, wrong = open_bench(), open_bench(offset_seconds=120.0)
    for number in range(20):
        right.place(f"cat {number}")
    pass_together((wrong, right), 60, step=5)
    assert right.runs() == 20
    wrong.place("dog")
    wrong.tick()
    assert any("clock" in line for line in right.told())


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)  # SQLite has no clock
def test_a_database_whose_clock_is_wrong_buys_nothing(
    open_bench: OpenBench, ledger_url: str
) -> None:
    """Wiro's clock and ours agree; the database's is an hour behind, so times cannot be shared."""
    bench = open_bench(ledger_url=ledger_url)
    ledger = Ledger(ledger_url, clock=bench.clock)
    desk = bench.workshop.open_desk(ledger=ledger)
    bench.advance(HOUR)
    place(desk, "cat")
    desk.tick(math.inf)
    assert bench.runs() == 0
    assert "behind the database's" not in str(desk.find_problem())
    assert "ahead of the database's" in str(desk.find_problem())
    desk.close()
    ledger.close()


def test_two_machines_a_day_apart_share_one_budget(open_bench: OpenBench) -> None:
    """A machine that believes it is tomorrow does not spend tomorrow's budget."""
    limits = BudgetLimits(daily_usd=Decimal(1))
    right = open_bench(limits=limits)
    wrong = open_bench(limits=limits, offset_seconds=DAY)
    for number in range(20):
        right.place(f"cat {number}")
    pass_together((right, wrong), 300)
    assert right.emulator.spent_usd() <= 1


@pytest.mark.parametrize("world", ["clock_ahead", "clock_behind"])
def test_a_wrong_clock_of_the_service_stops_nothing(open_bench: OpenBench, world: str) -> None:
    """Wiro's clock is an hour off for ten minutes, in its times and in its answers."""
    bench = open_bench()
    bench.emulator.change_settings(task_seconds=120.0)
    bench.place("before")
    bench.tick()
    bench.emulator.begin_world(world, seconds=600.0)
    bench.place("during")
    bench.run(900, step=100)
    assert {order.state for order in bench.settle(2 * DAY, longest_step=HOUR)} == {"delivered"}
    assert bench.calls("Task/Kill") == bench.calls("Task/Cancel") == 0
    bench.check_books()
