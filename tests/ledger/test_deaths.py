"""A step that kills its process: tried with others, then alone, then set aside for a day."""

from __future__ import annotations

import pytest

from tests.conftest import Clock
from tests.support.ledger_orders import finished
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.ledger.claims import DEATHS_BEFORE_ALONE

LEASE = 60.0
DAY = 86_400.0


def claim(ledger: Ledger, limit: int = 5) -> list[Order]:
    return ledger.claim("video", ["finished"], limit=limit, lease_seconds=LEASE)


def die(ledger: Ledger, clock: Clock, times: int) -> None:
    """Claim everything and fall silent, so often."""
    for _ in range(times):
        clock.advance(LEASE + 1)
        assert claim(ledger)


@pytest.fixture
def deadly(ledger: Ledger, clock: Clock) -> Order:
    """An order with three deaths; `finished` has claimed it once already."""
    order = finished(ledger, "deadly")
    die(ledger, clock, DEATHS_BEFORE_ALONE - 1)
    clock.advance(LEASE + 1)
    return order


def test_after_three_deaths_an_order_waits_until_no_other_is_due(
    ledger: Ledger, clock: Clock, deadly: Order
) -> None:
    """It may have killed the others' work too, so it is handed out alone, and last."""
    harmless = finished(ledger, "harmless")
    clock.advance(LEASE + 1)
    assert [order.id for order in claim(ledger)] == [harmless.id]
    assert [order.id for order in claim(ledger)] == [deadly.id]


def test_orders_with_three_deaths_are_handed_out_one_by_one(ledger: Ledger, clock: Clock) -> None:
    """Only so can it be seen which of them kills."""
    for name in ("a", "b"):
        finished(ledger, name)
    die(ledger, clock, DEATHS_BEFORE_ALONE - 1)
    clock.advance(LEASE + 1)
    assert [order.partition for order in claim(ledger)] == ["a"]
    assert [order.partition for order in claim(ledger)] == ["b"]


def test_a_fourth_death_sets_the_order_aside_for_a_day_with_its_reason(
    ledger: Ledger, clock: Clock, deadly: Order
) -> None:
    """It is not given up: its files are paid for. It is tried once more on the next day."""
    assert claim(ledger)
    clock.advance(LEASE + 1)
    assert claim(ledger) == []
    found = ledger.get(deadly.id)
    assert (found.state, found.due_at) == ("finished", clock() + DAY)
    assert f"died {DEATHS_BEFORE_ALONE + 1} times" in str(found.hold)
    clock.advance(DAY)
    assert [order.id for order in claim(ledger)] == [deadly.id]


def test_a_step_that_is_taken_forgets_the_deaths(
    ledger: Ledger, clock: Clock, deadly: Order
) -> None:
    """The next step starts without the earlier one's record."""
    (order,) = claim(ledger)
    assert order.deaths == DEATHS_BEFORE_ALONE + 1
    assert ledger.apply(order, "postpone", due_at=clock())
    assert ledger.get(deadly.id).deaths == 0
