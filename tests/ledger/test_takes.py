"""Takes: each an order of its own, and one of them stands for the partition."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from tests.conftest import Clock
from tests.support.ledger_orders import FILES, OUTPUTS, PRICE, failed, request
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Cost, Gate, Ledger, Order, OrderRequest
from wiro_dagster.ledger.budget import BudgetLimits


def ask(take: int, version: str = "f1") -> OrderRequest:
    return request(fingerprint=f"{version}-{take}", take=take, prompt_version=version)


def submit_all(ledger: Ledger) -> list[Order]:
    gate = Gate(ledger, "account")
    claimed = gate.admit("video", BudgetLimits(), limit=9, lease_seconds=600).orders
    for order in claimed:
        assert ledger.note_task(order, f"task-{order.id}", due_at=ledger.clock()) == "noted"
    return [ledger.get(order.id) for order in claimed]


def store(ledger: Ledger, order: Order) -> Order:
    """Its task succeeds, and its files are stored."""
    now = ledger.clock()
    cost = Cost(PRICE, has_ended=True)
    assert ledger.apply(order, "succeed", cost=cost, outputs=OUTPUTS, ended_at=now, due_at=now)
    (claimed,) = ledger.claim("video", ["finished"], limit=1, lease_seconds=60)
    assert ledger.apply(claimed, "store", files=FILES, due_at=now)
    return ledger.get(order.id)


def fail(ledger: Ledger, order: Order) -> Order:
    now = ledger.clock()
    cost = Cost(Decimal(0), has_ended=True)
    assert ledger.apply(order, "fail", cost=cost, error="No.", ended_at=now, due_at=now)
    return ledger.get(order.id)


@pytest.fixture
def takes(ledger: Ledger) -> list[Order]:
    """Three takes of one prompt, each with a task."""
    for take in (1, 2, 3):
        ledger.place(ask(take))
    return submit_all(ledger)


def stands(ledger: Ledger) -> int:
    """The take that stands for the partition, once there is only one."""
    (order,) = [o for o in ledger.list_orders(partitions=["cat"]) if o.superseded_by is None]
    return order.take


def test_takes_do_not_supersede_each_other_and_each_is_ordered_once(ledger: Ledger) -> None:
    """The unique index holds for each of them, however often they are asked for."""
    with ThreadPoolExecutor(4) as pool:
        placed = list(pool.map(lambda take: ledger.place(ask(take)), (1, 2, 3, 1, 2, 3)))
    assert len({placement.order.id for placement in placed}) == 3
    assert all(order.superseded_by is None for order in ledger.list_orders())


def test_the_first_that_is_stored_stands_and_the_others_are_owned(
    ledger: Ledger, takes: list[Order], clock: Clock
) -> None:
    """Whichever asks first: what ended earlier counts."""
    first, second, third = takes
    second = store(ledger, second)
    clock.advance(5)
    first = store(ledger, first)
    assert ledger.elect(first).id == second.id
    assert ledger.elect(second).id == second.id
    assert ledger.elect(store(ledger, third)).id == second.id
    ledger.mark_reported([second.id])
    closed = ledger.set_aside_superseded("video")
    assert [order.take for order in closed] == [1, 3]
    assert stands(ledger) == 2
    assert {order.state for order in ledger.list_orders()} == {"delivered"}


def test_a_partition_fails_only_if_all_of_its_takes_have_failed(
    ledger: Ledger, takes: list[Order]
) -> None:
    """A failed take is set aside while another one may still come."""
    first, second, third = takes
    assert ledger.elect(fail(ledger, first)).id != first.id
    assert ledger.list_failed("video") == []
    stored = store(ledger, second)
    assert ledger.elect(stored).id == second.id
    assert ledger.elect(fail(ledger, third)).id == second.id
    assert stands(ledger) == 2


def test_the_last_failed_take_stands_for_a_partition_without_a_video(
    ledger: Ledger, takes: list[Order]
) -> None:
    """So the partition turns red once, and a new order takes its place."""
    ended = [fail(ledger, take) for take in takes]
    for order in ended:
        ledger.elect(order)
    assert [order.take for order in ledger.list_failed("video")] == [3]
    ledger.place(ask(1))
    assert stands(ledger) == 1


def test_another_take_can_be_chosen_and_the_choice_changed(
    ledger: Ledger, takes: list[Order], clock: Clock
) -> None:
    """It is reported again, costs nothing, and who chose it is on record."""
    deliver(ledger, takes)
    spent = ledger.list_orders()
    clock.advance(60)
    chosen = ledger.choose_take("video", "cat", 3, by="anna")
    assert (chosen.state, chosen.chosen_by, chosen.chosen_at) == ("stored", "anna", clock())
    ledger.mark_reported([chosen.id])
    assert stands(ledger) == 3
    assert ledger.choose_take("video", "cat", 1, by="bert").state == "stored"
    assert stands(ledger) == 1
    assert [o.cost_usd for o in ledger.list_orders()] == [o.cost_usd for o in spent]
    assert [take.take for take in ledger.list_takes()] == [1, 2, 3]


def test_a_chosen_take_stays_when_the_prompt_is_asked_for_again(
    ledger: Ledger, takes: list[Order]
) -> None:
    """Also by a run that asks for one take only, and when an earlier prompt comes back."""
    deliver(ledger, takes)
    chosen = ledger.choose_take("video", "cat", 2, by="anna")
    ledger.mark_reported([chosen.id])
    again = ledger.place(ask(1))
    assert (again.order.id, again.outcome) == (chosen.id, "owned")
    other = ledger.place(request(fingerprint="f2")).order
    assert stands(ledger) == 1
    assert ledger.list_takes() == []
    for take in (1, 2, 3):
        ledger.place(ask(take))
    assert stands(ledger) == 2
    assert ledger.get(other.id).state == "cancelled"
    assert ledger.get(chosen.id).state == "stored"


def test_only_an_owned_take_of_the_present_prompt_can_be_chosen(
    ledger: Ledger, takes: list[Order]
) -> None:
    """Otherwise the message says which takes there are."""
    with pytest.raises(LedgerError, match=r"take 2, is running"):
        ledger.choose_take("video", "cat", 2, by="anna")
    with pytest.raises(LedgerError, match=r"no take 9 to choose. Its takes: 1, 2, 3"):
        ledger.choose_take("video", "cat", 9, by="anna")
    with pytest.raises(LedgerError, match="no take 1"):
        ledger.choose_take("video", "dog", 1, by="anna")
    assert takes == ledger.list_orders()


def test_a_take_that_comes_after_a_choice_is_set_aside(ledger: Ledger, takes: list[Order]) -> None:
    """The choice holds."""
    first, second, third = takes
    ledger.elect(store(ledger, first))
    second = store(ledger, second)
    ledger.choose_take("video", "cat", 2, by="anna")
    assert ledger.elect(store(ledger, third)).id == second.id
    assert stands(ledger) == 2


def test_an_order_without_other_takes_stands_without_a_word(ledger: Ledger) -> None:
    """Nothing is written for it."""
    order = failed(ledger)
    assert ledger.elect(order) == order
    assert ledger.list_takes() == []


def deliver(ledger: Ledger, takes: list[Order]) -> None:
    for take in takes:
        order = store(ledger, take)
        if ledger.elect(order).id == order.id:
            ledger.mark_reported([order.id])
    ledger.set_aside_superseded("video")
