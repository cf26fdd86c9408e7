"""Worlds in which prices, keys and days change under way.

The rule: no budget is passed, and no account pays for another.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.orders.conftest import OpenBench
from tests.system.campaigns.bench import Bench
from tests.system.campaigns.workshop import MODEL, PRICE, committed_by_ledger, list_book_errors
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.ledger.budget import BudgetLimits

DAY = 86_400.0
A_DOLLAR = BudgetLimits(daily_usd=Decimal(1))
OLD_KEY, NEW_KEY = "0123456789abcdef", "fedcba9876543210"


def place_many(bench: Bench, count: int, name: str = "cat") -> None:
    for number in range(count):
        bench.place(f"{name} {number}")


def wait_for_midnight(bench: Bench, *, before_seconds: float = 0.0) -> None:
    """Move time to the end of the UTC day."""
    bench.advance(DAY - bench.now % DAY - before_seconds)


def open_rotated(open_bench: OpenBench, **options: object) -> tuple[Bench, Bench]:
    """Return one project before and after its API key was replaced by another of the account."""
    old = open_bench(options={"account": OLD_KEY}, **options)
    old.emulator.add_key("a-new-key", "emulator-secret")
    old.tick()
    new = open_bench(options={"account": NEW_KEY}, **options)
    return old, new


def test_a_price_that_rises_while_orders_wait_is_asked_for_again(open_bench: OpenBench) -> None:
    """Orders are held overnight; the price doubles: the budget counts the new one."""
    bench = open_bench(limits=A_DOLLAR)
    place_many(bench, 12)
    bench.run(120)
    assert bench.emulator.spent_usd() == 3 * PRICE
    bench.emulator.change_model(MODEL, price_times=2.0)
    wait_for_midnight(bench)
    bench.advance(10)
    bench.run(600, step=100)
    assert bench.emulator.spent_usd() == 3 * PRICE + 2 * PRICE
    bench.check_books()


def test_a_price_that_doubles_while_runs_are_sent_passes_no_later_budget(
    open_bench: OpenBench,
) -> None:
    """Wiro charges twice its price: what was charged counts, so the next order waits."""
    bench = open_bench(limits=A_DOLLAR)
    bench.emulator.script_task(worlds=["cost_above_price"], times=None)
    bench.place("cat")
    bench.settle()
    place_many(bench, 5, "more")
    bench.run(300, step=60)
    assert bench.runs() == 2  # 0.56 charged, then 0.28 expected; a third would pass 1.00
    bench.check_books()


def test_a_day_counts_what_is_charged_on_it(open_bench: OpenBench) -> None:
    """Runs sent before midnight are charged after it: both days hold their budget."""
    bench = open_bench(limits=A_DOLLAR)
    bench.emulator.change_settings(task_seconds=60.0)
    wait_for_midnight(bench, before_seconds=10)
    place_many(bench, 12)
    bench.run(600, step=100)
    assert bench.emulator.spent_usd() <= 1
    bench.check_books()


def test_a_new_key_of_the_account_goes_on_with_its_budget(open_bench: OpenBench) -> None:
    """The key is replaced: what the old one spent still counts."""
    limits = BudgetLimits(daily_usd=Decimal(1), total_usd=Decimal(1))
    old, new = open_rotated(open_bench, limits=limits)
    place_many(old, 10)
    old.run(120)
    new.now = old.now
    place_many(new, 10)
    new.run(300, step=60)
    assert new.desk.context.account == OLD_KEY
    assert new.emulator.spent_usd() == 3 * PRICE
    new.check_books()


def test_a_second_take_gets_no_task_of_the_first(open_bench: OpenBench) -> None:
    """The key is replaced, and the second take's run never arrives: the first take's is not its."""
    old, new = open_rotated(open_bench)
    old.place("cat")
    old.settle()
    old.advance(300)
    new.now = old.now
    new.emulator.script_fault("drop", endpoint="Run", moment="before")
    new.place("cat", take=2)
    new.run(60)
    new.place("younger")
    new.settle(7200)
    tasks = {order.task_id for order in new.ledger.list_orders()}
    assert (len(tasks), new.runs()) == (3, 3)
    new.check_books()


def test_another_account_pays_for_no_order(open_bench: OpenBench) -> None:
    """Two accounts share a ledger and a store: each buys its own orders."""
    staging = open_bench(options={"account": "staging"})
    production = open_bench(options={"account": "production"})
    staging.place("cat")
    production.run(300, step=60)
    assert staging.order("cat").account == "staging"
    assert production.runs() == 0
    assert staging.tick().submitted == 1


def test_two_projects_of_one_name_are_told_apart(open_bench: OpenBench, tmp_path: Path) -> None:
    """Projects that keep their videos in different places cannot share a collection's orders."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one = open_bench("one", ledger_url=url)
    other = open_bench("other", ledger_url=url)
    one.place("cat")
    with pytest.raises(ConfigurationError, match="belongs to another project"):
        other.place("cat")
    one.settle()
    assert (one.runs(), one.state("cat")) == (1, "delivered")


def test_an_account_without_balance_keeps_its_orders(open_bench: OpenBench) -> None:
    """Nothing is bought, the user is told, and it goes on by itself once there are funds."""
    bench = open_bench()
    bench.emulator.set_balance("0.10")
    place_many(bench, 3)
    bench.run(600, step=100)
    assert bench.runs() == 0
    assert any("balance" in line for line in bench.told())
    bench.emulator.set_balance("1000")
    bench.settle()
    assert (bench.runs(), bench.told()) == (3, [])


@pytest.mark.parametrize("has_order_under_way", [False, True])
def test_a_task_that_nobody_explains_is_told(
    open_bench: OpenBench, *, has_order_under_way: bool
) -> None:
    """Somebody runs something in the account, without a callback: the user is told of it."""
    bench = open_bench()
    bench.place("cat")
    bench.settle()
    bench.advance(60)
    theirs = bench.emulator.add_foreign_task(model=MODEL, inputs={"prompt": "What is this?"})
    if has_order_under_way:
        bench.place("dog")
        bench.settle()
    bench.run(700, step=100)
    assert any(theirs in line for line in bench.told())
    assert list_book_errors(bench.ledger, bench.emulator) == {}


def test_a_task_with_a_callback_of_others_is_theirs(open_bench: OpenBench) -> None:
    """Another program's runs carry its callback: they are nobody's concern here."""
    bench = open_bench()
    bench.emulator.script_task(worlds=["foreign_with_callback"], times=3)
    place_many(bench, 3)
    bench.settle()
    bench.run(700, step=100)
    assert bench.told() == []
    assert committed_by_ledger(bench.ledger) == 3 * PRICE
