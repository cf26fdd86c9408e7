"""Priorities: urgent orders go first, and waiting ones age, so that none starves."""

from __future__ import annotations

from decimal import Decimal

from tests.conftest import Clock
from tests.support.ledger_orders import ACCOUNT, NO_LIMITS, PRICE, place_proposed, request
from wiro_dagster.ledger import Gate, Ledger
from wiro_dagster.ledger.budget import BudgetLimits

TWO = BudgetLimits(daily_usd=2 * PRICE)


def place(ledger: Ledger, name: str, priority: int = 0, *, collection: str = "video") -> None:
    ledger.place(request(name, priority=priority, collection=collection))


def admit(
    ledger: Ledger,
    *,
    limit: int = 9,
    limits: BudgetLimits = NO_LIMITS,
    collection: str = "video",
) -> list[str]:
    gate = Gate(ledger, ACCOUNT)
    admission = gate.admit(collection, limits, limit=limit, lease_seconds=600)
    return [order.partition for order in admission.orders]


def test_urgent_orders_go_first_and_equal_ones_in_their_order(ledger: Ledger, clock: Clock) -> None:
    """Whoever came last."""
    for name, priority in (("a", 0), ("b", 0), ("low", -10), ("urgent", 10)):
        place(ledger, name, priority)
        clock.advance(1)
    assert [admit(ledger, limit=1) for _ in range(4)] == [["urgent"], ["a"], ["b"], ["low"]]


def test_an_order_that_has_waited_for_long_goes_before_a_new_urgent_one(
    ledger: Ledger, clock: Clock
) -> None:
    """Ten points are worth an hour."""
    place(ledger, "normal")
    clock.advance(3599)
    place(ledger, "urgent", 10)
    clock.advance(2)
    place(ledger, "more urgent", 10)
    assert [admit(ledger, limit=1) for _ in range(3)] == [["urgent"], ["normal"], ["more urgent"]]


def test_the_budget_goes_to_urgent_orders_first(ledger: Ledger) -> None:
    """The others are held back, and say why."""
    for name, priority in (("a", 0), ("b", 0), ("urgent", 10)):
        place(ledger, name, priority)
    assert sorted(admit(ledger, limits=TWO)) == ["a", "urgent"]
    assert [order.partition for order in ledger.list_held("video", limit=9)] == ["b"]


def test_what_becomes_free_of_the_budget_does_not_pass_a_held_urgent_order_by(
    ledger: Ledger, clock: Clock
) -> None:
    """A new normal order is due, and the urgent one waits for its next look."""
    place(ledger, "urgent", 10)
    assert admit(ledger, limits=BudgetLimits(daily_usd=Decimal("0.1"))) == []
    clock.advance(1)
    place(ledger, "normal")
    assert admit(ledger, limits=BudgetLimits(daily_usd=PRICE)) == ["urgent"]


def test_a_free_slot_is_left_to_an_urgent_order_of_another_collection(
    ledger: Ledger, clock: Clock
) -> None:
    """As long as that collection is at work; a stopped one keeps nobody waiting."""
    ledger.hold_collection("ads/video", project="p", account=ACCOUNT)
    place(ledger, "normal")
    place(ledger, "urgent", 10, collection="ads/video")
    Gate(ledger, ACCOUNT).learn_slots(1, until=clock() + 10_000, reason="one at a time")
    assert admit(ledger) == []
    assert admit(ledger, collection="ads/video") == ["urgent"]


def test_a_collection_that_does_not_work_keeps_no_place(ledger: Ledger, clock: Clock) -> None:
    """Its sensor is off: its orders are not submitted anyway."""
    ledger.hold_collection("ads/video", project="p", account=ACCOUNT)
    clock.advance(3600)
    place(ledger, "normal")
    place(ledger, "urgent", 10, collection="ads/video")
    Gate(ledger, ACCOUNT).learn_slots(1, until=clock() + 10_000, reason="one at a time")
    assert admit(ledger) == ["normal"]


def test_the_shared_budget_is_left_to_an_urgent_order_of_another_collection(
    ledger: Ledger,
) -> None:
    """The day's budget is the account's."""
    ledger.hold_collection("ads/video", project="p", account=ACCOUNT)
    place(ledger, "a")
    place(ledger, "b")
    place(ledger, "urgent", 10, collection="ads/video")
    assert admit(ledger, limits=TWO) == ["a"]
    assert admit(ledger, limits=TWO, collection="ads/video") == ["urgent"]


def test_asking_again_changes_the_priority_of_what_was_not_sent(ledger: Ledger) -> None:
    """The newest wish counts."""
    place(ledger, "a")
    place(ledger, "b")
    place(ledger, "b", 10)
    assert admit(ledger, limit=1) == ["b"]


def test_approved_orders_come_at_the_time_of_their_approval(ledger: Ledger, clock: Clock) -> None:
    """An order that was proposed for days does not pass all others."""
    proposed = place_proposed(ledger, "proposed")
    clock.advance(86_400)
    place(ledger, "ordered")
    clock.advance(1)
    ledger.approve([proposed], by="anna")
    assert [admit(ledger, limit=1) for _ in range(2)] == [["ordered"], ["proposed"]]
