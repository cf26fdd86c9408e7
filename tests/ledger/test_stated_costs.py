"""Costs as Wiro states them: taken over when they change, read again when they are missing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.conftest import Clock
from tests.support.ledger_orders import PRICE, failed, finished, read_books, running, stored
from wiro_dagster.ledger import Cost, Ledger, Order, SubmissionRecord

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
DEARER = Decimal("0.56")


def note(ledger: Ledger, order: Order, usd: Decimal | None, **more: float | None) -> None:
    ledger.note_costs([(order, Cost(usd, has_ended=True, **more))])  # type: ignore[arg-type]


def booked(ledger: Ledger, order: Order) -> SubmissionRecord:
    (record,) = ledger.list_submissions(order_id=order.id)
    return record


def test_a_cost_that_changes_is_taken_over_and_kept_as_a_difference(ledger: Ledger) -> None:
    """The first statement stays on record; a third replaces the second."""
    order = stored(ledger)
    note(ledger, order, DEARER)
    note(ledger, order, Decimal("0.60"))
    (found,) = ledger.list_differences(order.account)
    assert (found.was_usd, found.is_usd) == (PRICE, Decimal("0.60"))
    assert ledger.get(order.id).cost_usd == Decimal("0.60")
    assert read_books(ledger).total_usd == Decimal("0.60")


def test_a_cost_that_comes_back_is_no_difference(ledger: Ledger) -> None:
    """Wiro states the first amount again: nothing is left to tell."""
    order = stored(ledger)
    note(ledger, order, DEARER)
    note(ledger, order, PRICE)
    assert ledger.list_differences(order.account) == []


def test_a_difference_is_told_until_the_user_accepts_it(ledger: Ledger) -> None:
    """A later change is news again; another account's user accepts nothing of ours."""
    order = stored(ledger)
    note(ledger, order, DEARER)
    ledger.accept_costs("another", [str(order.task_id)])
    assert len(ledger.list_differences(order.account)) == 1
    ledger.accept_costs(order.account, [str(order.task_id)])
    assert ledger.list_differences(order.account) == []
    note(ledger, order, Decimal("0.60"))
    (found,) = ledger.list_differences(order.account)
    assert (found.was_usd, found.is_usd) == (DEARER, Decimal("0.60"))


def test_a_stated_cost_is_never_forgotten(ledger: Ledger) -> None:
    """A later answer without a cost takes nothing back."""
    order = stored(ledger)
    note(ledger, order, None)
    assert booked(ledger, order).cost_usd == ledger.get(order.id).cost_usd == PRICE


def test_a_cost_that_is_missing_keeps_the_ceiling_committed(ledger: Ledger, clock: Clock) -> None:
    """It is read again when it is due, as often as planned; then the user is told."""
    order = finished(ledger, cost_usd=None)
    note(ledger, order, None, recheck_at=clock() + 10)
    assert read_books(ledger).total_usd == PRICE
    assert ledger.list_cost_rechecks(order.account, limit=5) == []
    clock.advance(10)
    (record,) = ledger.list_cost_rechecks(order.account, limit=5)
    ledger.postpone_recheck(record.id, recheck_at=clock() + 5)
    assert ledger.list_cost_rechecks(order.account, limit=5) == []
    clock.advance(5)
    assert [r.rechecks for r in ledger.list_cost_rechecks(order.account, limit=5)] == [0]
    ledger.note_recheck(record.id, recheck_at=None)
    (unstated,) = ledger.list_unstated(order.account)
    assert (unstated.id, unstated.rechecks) == (record.id, 1)
    note(ledger, order, PRICE)
    assert ledger.list_unstated(order.account) == []


def test_a_missing_cost_is_told_until_the_user_accepts_it(ledger: Ledger) -> None:
    """It counts at its ceiling in the budget all the same, and at its cost once Wiro states it."""
    order = finished(ledger, cost_usd=None)
    note(ledger, order, None)
    ledger.note_recheck(booked(ledger, order).id, recheck_at=None)
    ledger.accept_costs("another", [str(order.task_id)])
    assert len(ledger.list_unstated(order.account)) == 1
    for _ in range(2):
        ledger.accept_costs(order.account, [str(order.task_id)])
    assert ledger.list_unstated(order.account) == ledger.list_differences(order.account) == []
    assert read_books(ledger).total_usd == PRICE
    note(ledger, order, DEARER)
    assert read_books(ledger).total_usd == DEARER


def test_a_cost_that_is_stated_at_last_ends_its_looks(ledger: Ledger, clock: Clock) -> None:
    """The look and what it showed are noted together."""
    order = finished(ledger, cost_usd=None)
    note(ledger, order, None, recheck_at=clock())
    cost = Cost(PRICE, has_ended=True, recheck_at=clock() + 60)
    ledger.note_recheck(booked(ledger, order).id, recheck_at=None, stated=(order, cost))
    found = booked(ledger, order)
    assert (found.rechecks, found.cost_usd, found.recheck_at) == (1, PRICE, clock() + 60)


def test_a_cost_of_a_task_that_is_not_on_the_books_changes_nothing(ledger: Ledger) -> None:
    """Only a submission can carry a cost."""
    order = running(ledger)
    ledger.note_costs([])
    ledger.note_costs([(replace(order, task_id="another"), Cost(PRICE, has_ended=True))])
    assert ledger.get(order.id).cost_usd is None


def test_what_was_free_is_no_cost_of_its_order(ledger: Ledger) -> None:
    """A failed task that cost nothing leaves its video to be ordered again."""
    order = failed(ledger)
    assert booked(ledger, order).cost_usd == 0
    assert ledger.get(order.id).live_key is None
