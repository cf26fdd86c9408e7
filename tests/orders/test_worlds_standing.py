"""Worlds in which something stands still for days.

The rule: standing still is news. The user is told outside the tick's log, and it goes on by itself
once the cause is gone.
"""

from __future__ import annotations

import pytest

from tests.orders.conftest import OpenBench
from tests.system.campaigns.bench import Bench
from tests.system.campaigns.workshop import MODEL, PRICE, committed_by_ledger
from wiro_dagster.emulator import EMULATOR_API_KEY

HOUR, DAY = 3600.0, 86_400.0


def start(bench: Bench, name: str = "cat") -> None:
    """Order a video whose task takes a minute, and see it running."""
    bench.emulator.change_settings(task_seconds=60.0)
    bench.place(name)
    bench.run(10, step=5)
    assert bench.state(name) == "running"


@pytest.mark.parametrize("new_orders", [0, 1])
def test_a_key_that_is_refused_under_way_is_told(open_bench: OpenBench, new_orders: int) -> None:
    """The key is revoked while a task runs: told at once, whether or not anything is bought."""
    bench = open_bench()
    start(bench)
    bench.emulator.revoke_key(EMULATOR_API_KEY)
    for number in range(new_orders):
        bench.place(f"new {number}")
    bench.run(600, step=100)
    assert any("key and secret" in line for line in bench.told())
    bench.run(DAY, step=DAY / 6)
    bench.emulator.restore_key(EMULATOR_API_KEY)
    bench.settle()
    assert bench.told() == []
    bench.check_books()


@pytest.mark.parametrize("world", ["detail_down", "list_down", "detail_unauthorized"])
def test_reads_that_fail_for_days_are_told(open_bench: OpenBench, world: str) -> None:
    """Task/List or Task/Detail answers errors: orders that wait for it are named, then go on."""
    bench = open_bench()
    start(bench)
    bench.emulator.script_task(worlds=["late_outputs"])
    bench.place("open end")
    bench.tick()
    bench.emulator.begin_world(world)
    bench.run(DAY, step=DAY / 6)
    assert bench.told() or {"delivered"} == {o.state for o in bench.ledger.list_orders()}
    bench.emulator.clear_worlds()
    bench.settle()
    assert bench.told() == []
    bench.check_books()


def test_a_task_that_never_leaves_the_queue_is_told(open_bench: OpenBench) -> None:
    """Queue time does not count for the deadline, so only the user can end the wait."""
    bench = open_bench()
    bench.emulator.script_task(worlds=["stuck_in_queue"])
    bench.place("cat")
    bench.run(DAY, step=DAY / 6)
    assert any("orders abandon" in line for line in bench.told())
    bench.ledger.request_stop(bench.order("cat").id, state="cancelled", reason="By hand.")
    bench.settle()
    assert (bench.state("cat"), bench.emulator.spent_usd()) == ("cancelled", 0)
    bench.check_books()


def test_a_task_that_cannot_be_stopped_is_told(open_bench: OpenBench) -> None:
    """It runs past its deadline, and Wiro refuses to kill it."""
    bench = open_bench()
    bench.emulator.script_task(outcome="stuck", worlds=["kill_refused"])
    bench.place("cat")
    bench.run(DAY, step=DAY / 6)
    assert bench.state("cat") == "running"
    assert bench.told()
    assert bench.calls("Task/Kill") < 30


def test_a_run_that_is_refused_in_unknown_words_is_posted_twice_at_most(
    open_bench: OpenBench,
) -> None:
    """Wiro refuses every Run with a text that no list of refusals has: looked up, not repeated."""
    bench = open_bench()
    bench.place("known")
    bench.settle()
    bench.emulator.script_fault("code_0", endpoint="Run", times=None, matching="cat")
    bench.place("cat")
    for number in range(4):
        bench.run(HOUR, step=600)
        bench.place(f"younger {number}")
    bench.run(HOUR, step=600)
    posts = bench.ledger.list_submissions(order_id=bench.order("cat").id)
    assert len(posts) == 2
    assert bench.state("cat") == "unknown"
    assert any("orders abandon" in line for line in bench.told())
    assert committed_by_ledger(bench.ledger) == 7 * PRICE


def test_a_lost_answer_that_nothing_explains_is_told(open_bench: OpenBench) -> None:
    """A run never arrived, and no younger task lets the list prove it: the user can decide."""
    bench = open_bench()
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    bench.place("cat")
    bench.run(DAY, step=DAY / 6)
    assert (bench.runs(), bench.state("cat")) == (0, "unknown")
    assert any("orders resend" in line for line in bench.told())
    bench.ledger.send_again(bench.order("cat"))
    bench.settle()
    assert (bench.runs(), bench.state("cat")) == (1, "delivered")
    assert committed_by_ledger(bench.ledger) == 2 * PRICE


def test_a_key_of_another_account_follows_no_task_and_says_so(open_bench: OpenBench) -> None:
    """The key is replaced by another project's, which does not see the tasks under way."""
    bench = open_bench(options={"account": "0123456789abcdef"})
    start(bench)
    bench.emulator.add_key("another-key", "emulator-secret", account="another")
    other = open_bench(options={"account": "fedcba9876543210"}, api_key="another-key")
    other.run(DAY, step=DAY / 6)
    assert other.state("cat") == "running"
    assert other.told()
    assert other.runs() == 1
    bench.now = other.now
    bench.settle()
    assert bench.state("cat") == "delivered"
    bench.check_books()


def test_a_model_that_is_renamed_is_told(open_bench: OpenBench) -> None:
    """Its old slug is not found any longer: the order fails with Wiro's words, nothing is lost."""
    bench = open_bench()
    bench.place("before")
    bench.settle()
    bench.emulator.change_model(MODEL, renamed_to="minimax/hailuo-2-4")
    bench.place("cat")
    bench.run(600, step=100)
    assert bench.runs() == 1
    assert bench.told()


def test_orders_of_a_collection_that_was_renamed_come_home(open_bench: OpenBench) -> None:
    """The collection got a name while a task ran: its orders are followed, and fetched."""
    bench = open_bench()
    start(bench)
    renamed = open_bench(options={"collection": "ads/video"})
    renamed.now = bench.now
    renamed.run(HOUR, step=600)
    assert bench.ledger.list_orders()[0].is_owned
    assert renamed.runs() == 1


def test_a_user_is_told_once_of_a_wait(open_bench: OpenBench) -> None:
    """Looks that decide nothing new repeat no notice."""
    bench = open_bench()
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    bench.place("cat")
    bench.run(HOUR, step=300)
    assert len([line for line in bench.notices if "proves nothing yet" in line]) == 1
