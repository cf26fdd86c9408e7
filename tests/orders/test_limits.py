"""Wiro's limits are admission, not failure; the budget holds orders back and says why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.support.ledger_orders import request
from tests.support.waiting import wait_until
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import ACCOUNT, PRICE, tick
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.orders.answers import AnswerSpool
from wiro_dagster.orders.lease import LeaseKeeper
from wiro_dagster.orders.steps import Steps
from wiro_dagster.orders.work import Work
from wiro_dagster.orders.worker_pool import Intake, WorkerPool


@dataclass(frozen=True)
class Price:
    """A quote that a test makes up."""

    amount_usd: Decimal | None = None
    ceiling_usd: Decimal | None = None


@pytest.fixture
def open_bench(emulator: Emulator, tmp_path: Path) -> Iterator[Any]:
    opened: list[Bench] = []

    def open_one(**workshop: Any) -> Bench:
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        opened.append(Bench(emulator, url, tmp_path / "videos", **workshop))
        return opened[-1]

    yield open_one
    for bench in opened:
        bench.close()


@pytest.fixture
def bench(open_bench: Any) -> Bench:
    found: Bench = open_bench()
    return found


class LateCount(WorkerPool):
    """Says how many threads were free when asked, once all of them are."""

    @property
    def free(self) -> int:
        count = super().free
        wait(self.list_unfinished())
        return count


def test_a_tick_ends_only_when_all_orders_are_sent(open_bench: Any) -> None:
    """Threads may all become free while the tick still takes them for busy."""
    bench = open_bench(desk_options={"open_pool": LateCount})
    place_many(bench, 20)
    bench.tick()
    assert bench.calls("Run") == 20


def test_steps_that_end_quickly_are_claimed_ahead() -> None:
    """As many as ended lately in a quarter of a second, at most two for each thread.

    And only when none waits any more.
    """
    now = 0.0
    with closing(WorkerPool(4, "test")) as pool:
        intake = Intake(pool, lambda: now)
        assert intake.count() == 4
        for seconds, ended, fitting in (
            (1.0, 4, 4 + 1),
            (0.5, 12, 4 + 6),
            (0.01, 2, 4 + 5),
            (0.1, 40, 4 + 8),
        ):
            intake.note_claim()
            wait([pool.start(lambda: ()) for _ in range(ended)])
            assert wait_until(lambda ended=ended: pool.free == 4)
            now += seconds
            assert intake.count() == fitting
        may_end = Event()
        slow = [pool.start(partial(wait_for, may_end)) for _ in range(5)]
        assert intake.count() == 0
        may_end.set()
        wait(slow)


def test_steps_that_take_long_are_claimed_for_free_threads_alone() -> None:
    """An order that waits for a slow one could be taken by another process meanwhile."""
    now = 0.0
    with closing(WorkerPool(4, "test")) as pool:
        intake = Intake(pool, lambda: now)
        intake.note_claim()
        wait([pool.start(lambda: ()) for _ in range(4)])
        assert wait_until(lambda: pool.free == 4)
        now += 20.0
        assert intake.count() == 4


def wait_for(event: Event) -> tuple[str, ...]:
    event.wait(60)
    return ()


def test_one_look_between_ticks_sends_more_than_there_are_threads(bench: Bench) -> None:
    """The orders of a large run do not wait for as many looks, or for the next tick."""
    with (
        closing(LeaseKeeper(bench.ledger, 60.0)) as leases,
        closing(
            Work(Steps(bench.desk.context, leases), AnswerSpool(None), time.monotonic, WorkerPool)
        ) as work,
    ):
        place_many(bench, 20)
        work.look((), submits=True)
        assert bench.calls("Run") == 20
        assert work.take_submitted() == 20


def place_many(bench: Bench, count: int) -> None:
    for number in range(count):
        bench.place(f"p{number}")


def test_the_limit_of_concurrent_tasks_defers_and_is_learned(bench: Bench) -> None:
    """Code 96 creates nothing; the named limit is kept, and all orders go through in the end."""
    bench.emulator.set_balance("35")
    place_many(bench, 9)
    bench.tick()
    assert bench.emulator.summary()["live_tasks"] == 3
    bench.emulator.change_settings(task_seconds=20.0)
    sent = bench.calls("Run")
    bench.tick()
    assert bench.calls("Run") == sent
    orders = bench.settle()
    assert {order.state for order in orders} == {"delivered"}
    assert bench.runs() == 9
    assert bench.calls("Run") < 40
    bench.check_books()


def test_slots_shrink_with_the_balance(bench: Bench) -> None:
    """Wiro's limit falls as money is spent; each new refusal teaches it."""
    bench.emulator.set_balance("20.20")
    place_many(bench, 6)
    orders = bench.settle()
    assert {order.state for order in orders} == {"delivered"}
    assert bench.emulator.balance_usd() < 20
    bench.check_books()


def test_slots_that_others_use_are_not_knocked_at_again_and_again(bench: Bench) -> None:
    """Somebody else's tasks fill the account: one look a pause, not one for every order."""
    bench.emulator.set_balance("20")
    bench.emulator.script_task(outcome="stuck", times=2)
    client = bench.desk.context.client
    for _ in range(2):
        client.submit("minimax/hailuo-2-3", {"prompt": "somebody else's"})
    place_many(bench, 20)
    before = bench.calls("Run")
    for _ in range(5):
        bench.tick()
        bench.advance(1)
    assert bench.calls("Run") - before <= 10
    assert bench.runs() == 2


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("40", 40.0), (None, STEADY.timing.pause_seconds)]
)
def test_a_429_holds_the_whole_account_back(
    open_bench: Any, retry_after: str | None, seconds: float
) -> None:
    """As long as Wiro asks, or a pause; every process that shares the ledger waits."""
    bench = open_bench()
    bench.emulator.script_fault("rate_limited", endpoint="Run", retry_after=retry_after)
    bench.place("first")
    bench.tick()
    sent = bench.calls("Run")
    other = open_bench()
    other.place("second")
    other.now = bench.now
    assert other.tick().closed_reason
    bench.advance(seconds - 2)
    other.now = bench.now
    assert (bench.tick().submitted, other.tick().submitted) == (0, 0)
    assert bench.calls("Run") == sent
    bench.settle()
    assert bench.runs() == 2


def test_a_429_on_a_look_holds_every_process_back(open_bench: Any) -> None:
    """Looks and submissions of all that share the key wait as long as Wiro asks, then go on."""
    bench, other = open_bench(), open_bench()
    bench.emulator.change_settings(task_seconds=300.0)
    place_many(bench, 2)
    bench.tick()
    bench.advance(10)
    bench.emulator.script_fault("rate_limited", endpoint="Task/List", times=9, retry_after="40")
    bench.tick()
    bench.emulator.clear_faults()
    looked, sent = bench.calls("Task/List"), bench.calls("Run")
    other.place("late")
    for seconds in (5, 15, 15):
        bench.advance(seconds)
        other.now = bench.now
        assert (other.tick().polled, bench.tick().polled) == (0, 0)
    assert (bench.calls("Task/List"), bench.calls("Run")) == (looked, sent)
    bench.advance(10)
    other.now = bench.now
    assert other.tick().polled + bench.tick().polled > 0
    bench.settle()
    assert bench.runs() == 3


def test_a_429_on_the_list_of_tasks_holds_looks_back_too(open_bench: Any) -> None:
    """Lost answers are looked up when Wiro takes requests again."""
    bench = open_bench()
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.emulator.script_fault("rate_limited", endpoint="Task/List", times=2, retry_after="40")
    bench.place("cat")
    bench.tick()
    bench.advance(3)
    bench.tick()
    asked = bench.calls("Task/List")
    bench.advance(30)
    bench.tick()
    assert bench.calls("Task/List") == asked
    bench.settle()
    assert (bench.state("cat"), bench.runs()) == ("delivered", 1)


def test_no_funds_stop_submitting_until_there_are_some(bench: Bench) -> None:
    """Code 97: everything waits, one order looks from time to time, and it goes on by itself."""
    bench.emulator.set_balance("0.10")
    place_many(bench, 12)
    bench.tick()
    asked = bench.calls("Run")
    for _ in range(3):
        bench.advance(STEADY.timing.refused_pause_seconds + 1)
        assert "Insufficient balance" in str(bench.tick().closed_reason)
    assert bench.calls("Run") - asked == 3
    assert all("Insufficient balance" in str(o.hold) for o in bench.ledger.list_orders()[:1])
    assert bench.desk.context.gate.find_problem().kind == "balance"
    assert bench.notices == []
    bench.emulator.set_balance("1000")
    orders = bench.settle()
    assert {order.state for order in orders} == {"delivered"}
    assert bench.desk.context.gate.find_problem() is None
    bench.check_books()


def test_a_wrong_input_fails_its_order_and_no_other(open_bench: Any) -> None:
    """Validation is final for the order; it costs nothing."""
    bench = open_bench(limits=BudgetLimits(unknown_price="allow"))
    bench.place("wrong", duration="7")
    bench.place("right")
    bench.settle()
    assert (bench.state("wrong"), bench.state("right")) == ("failed", "delivered")
    assert "duration" in str(bench.order("wrong").error)
    assert not bench.order("wrong").is_billed_failure
    assert bench.runs() == 1


def test_an_unknown_model_fails_its_order(open_bench: Any) -> None:
    """Wiro has no such model: final for the order."""
    bench = open_bench(limits=BudgetLimits(unknown_price="allow"))
    bench.place("odd", model="nobody/nothing")
    bench.settle()
    assert bench.state("odd") == "failed"


def test_a_vanished_input_file_fails_its_order(bench: Bench, tmp_path: Path) -> None:
    """Nothing was sent, and trying again would not help."""
    from wiro_dagster.catalogue import LocalFileInput

    gone = LocalFileInput(tmp_path / "gone.png", "0" * 64, 1)
    bench.place("cat", inputImageFirst=gone)
    bench.settle()
    assert bench.state("cat") == "failed"
    assert "gone.png" in str(bench.order("cat").error)


def test_a_refused_key_holds_the_account_and_fails_nothing(open_bench: Any) -> None:
    """Credentials can be corrected: the orders wait for that."""
    wrong = open_bench(api_key="wrong")
    wrong.workshop.options["quoter"] = lambda _slug, _inputs: Price(PRICE, PRICE)
    wrong.desk = wrong.workshop.open_desk()
    place_many(wrong, 3)
    assert wrong.tick().submitted == 0
    assert "credentials" in str(wrong.tick().closed_reason)
    assert wrong.calls("Task/List") == 1
    assert {order.state for order in wrong.ledger.list_orders()} == {"ordered"}
    right = open_bench()
    right.advance(STEADY.timing.refused_pause_seconds + 1)
    assert {order.state for order in right.settle()} == {"delivered"}


def test_a_refused_key_that_is_replaced_hands_its_orders_on(open_bench: Any) -> None:
    """Also where it was refused before there was a price; nobody has to order again."""
    wrong = open_bench(api_key="wrong", options={"account": "wrong"})
    place_many(wrong, 2)
    wrong.tick()
    assert wrong.desk.context.gate.find_problem().kind == "reads"
    assert {order.hold for order in wrong.ledger.list_orders()} == {None}
    asked = wrong.calls("Tool/Detail")
    wrong.tick()
    assert wrong.calls("Tool/Detail") == asked
    right = open_bench()
    assert {order.state for order in right.settle()} == {"delivered"}
    assert {order.account for order in right.ledger.list_orders()} == {"emulated"}


def test_short_pauses_are_no_problem_of_the_account(open_bench: Any) -> None:
    """429, code 96 and a lost answer pass by themselves."""
    bench = open_bench()
    bench.emulator.set_balance("10")
    bench.emulator.script_fault("rate_limited", endpoint="Run", retry_after="5")
    bench.emulator.script_fault("http_500", endpoint="Run", skip=1)
    place_many(bench, 3)
    for _ in range(15):
        bench.tick()
        assert bench.desk.context.gate.find_problem() is None
        bench.advance(5)


def test_an_order_of_a_replaced_key_is_taken_over(open_bench: Any) -> None:
    """The key was replaced before the order was sent: asking again lets the new one pay."""
    open_bench(options={"account": "old"}).place("cat")
    bench = open_bench()
    bench.tick()
    assert bench.runs() == 0
    bench.place("cat")
    bench.settle()
    assert (bench.order("cat").account, bench.state("cat")) == ("emulated", "delivered")


def test_an_unreachable_service_only_makes_orders_wait(open_bench: Any) -> None:
    """No connection: nothing was bought, nothing fails, and a pause goes by before the next try."""
    bench = open_bench()
    bench.workshop.base_url = "http://127.0.0.1:9/v1"
    bench.workshop.options["quoter"] = lambda _slug, _inputs: Price(PRICE, PRICE)
    away = bench.workshop.open_desk()
    bench.place("cat")
    reasons = [str(tick(away).closed_reason) for _ in range(2)]
    assert all("connection was refused" in reason for reason in reasons)
    assert (bench.state("cat"), bench.order("cat").claimed_at) == ("ordered", None)
    bench.advance(STEADY.timing.pause_seconds + 1)
    bench.settle()
    assert bench.runs() == 1


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (BudgetLimits(video_usd=Decimal("0.1")), "limit for one video"),
        (BudgetLimits(daily_usd=PRICE), "daily budget"),
        (BudgetLimits(collection_usd=PRICE), "collection budget"),
        (BudgetLimits(total_usd=PRICE), "total budget"),
    ],
)
def test_every_budget_holds_back_what_would_pass_it(
    open_bench: Any, limits: BudgetLimits, words: str
) -> None:
    """What waits says which budget it waits for."""
    bench = open_bench(limits=limits)
    place_many(bench, 3)
    for _ in range(5):
        bench.tick()
        bench.advance(31)
    allowed = 0 if limits.video_usd else 1
    assert bench.runs() == allowed
    waiting = bench.ledger.list_orders(states=["ordered"])
    assert len(waiting) == 3 - allowed
    assert all(words in str(order.hold) for order in waiting)


def test_a_new_day_has_a_new_budget(open_bench: Any) -> None:
    """What the daily budget held back goes on by itself on the next day."""
    bench = open_bench(limits=BudgetLimits(daily_usd=PRICE))
    place_many(bench, 2)
    bench.tick()
    bench.advance(30)
    bench.tick()
    assert bench.runs() == 1
    bench.advance(86400)
    bench.settle()
    assert bench.runs() == 2


def test_a_failed_task_gives_its_part_of_the_budget_back(open_bench: Any) -> None:
    """Only what Wiro bills is spent."""
    bench = open_bench(limits=BudgetLimits(total_usd=PRICE))
    bench.emulator.script_task(outcome="fail")
    place_many(bench, 2)
    bench.settle()
    assert sorted(order.state for order in bench.ledger.list_orders()) == ["delivered", "failed"]
    assert bench.emulator.spent_usd() == PRICE


@pytest.mark.parametrize(("policy", "sent"), [("refuse", 0), ("allow", 3), ("assume", 2)])
def test_an_unknown_price_is_refused_allowed_or_assumed(
    open_bench: Any, policy: Any, sent: int
) -> None:
    """Under "assume" the budget counts each such order at the assumed price."""
    limits = BudgetLimits(
        total_usd=Decimal("1.00"), unknown_price=policy, assumed_usd=Decimal("0.50")
    )
    quoter = {"quoter": lambda _slug, _inputs: Price()}
    bench = open_bench(limits=limits, options=quoter)
    bench.emulator.change_settings(task_seconds=500.0)
    place_many(bench, 3)
    bench.tick()
    assert bench.runs() == sent
    if policy == "refuse":
        assert "price is not known" in str(bench.order("p0").hold)


def test_a_price_that_cannot_be_found_holds_up_no_other_order(open_bench: Any) -> None:
    """A quoter that breaks on one model must not stop the tick."""

    def quoter(slug: str, _inputs: Any) -> Price:
        if slug == "odd/model":
            raise KeyError(slug)
        return Price(PRICE, PRICE)

    bench = open_bench(options={"quoter": quoter})
    good = bench.place("good")
    bench.ledger.place(request("odd", account=ACCOUNT, model_slug="odd/model", ceiling_usd=None))
    for _ in range(5):
        bench.tick()
        bench.advance(10)
    assert bench.ledger.get(good.id).state == "stored"
    assert bench.state("odd") == "ordered"
    assert any("cannot be priced" in notice for notice in bench.notices)
