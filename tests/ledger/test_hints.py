"""Hints make a look due, and can do nothing else."""

from __future__ import annotations

import pytest

from tests.conftest import Clock
from tests.support.ledger_orders import lost, request, running, stored, submitting
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.ledger.hints import HINTED


def put_off(ledger: Ledger, order: Order) -> None:
    ledger.put_off_looks([order.id], due_at=ledger.clock() + 99)


def test_a_hint_makes_only_a_running_task_due(ledger: Ledger, clock: Clock) -> None:
    """A callback says that there is news; it cannot wake an order that is at rest."""
    order = running(ledger)
    put_off(ledger, order)
    assert ledger.make_due([order.id]) == {order.id}
    assert ledger.get(order.id).due_at == HINTED
    done = stored(ledger, "dog")
    ledger.mark_reported([done.id])
    assert ledger.make_due([done.id, order.id]) == set()
    assert ledger.get(done.id).due_at is None


def test_a_callback_is_for_the_order_of_its_marker(ledger: Ledger, clock: Clock) -> None:
    """The others are looked at when their time comes; a marker of no order says nothing."""
    called, other = running(ledger, "cat"), running(ledger, "dog", fingerprint="f2")
    put_off(ledger, called)
    put_off(ledger, other)
    assert ledger.hear_callbacks([str(called.marker), "wd1-of-no-order"]) == set()
    assert ledger.get(called.id).due_at == HINTED
    assert ledger.get(other.id).due_at == clock() + 99


def test_a_callback_before_the_answer_is_brought_again(ledger: Ledger) -> None:
    """It changes nothing: neither the lease of who submits, nor when a lost answer is looked up."""
    early, unknown = submitting(ledger, "cat"), lost(ledger, "dog", fingerprint="f2")
    before = [ledger.get(order.id) for order in (early, unknown)]
    markers = {str(early.marker), str(unknown.marker)}
    assert ledger.hear_callbacks(markers) == markers
    assert [ledger.get(order.id) for order in (early, unknown)] == before


def test_a_callback_during_a_look_is_brought_again(ledger: Ledger, clock: Clock) -> None:
    """The look may have begun before the task ended, and then puts the next one off."""
    order = running(ledger)
    marker = str(order.marker)
    assert ledger.hear_callbacks([marker]) == {marker}
    put_off(ledger, order)
    assert ledger.hear_callbacks([marker]) == set()
    assert ledger.get(order.id).due_at == HINTED


@pytest.mark.parametrize("end", [stored, "dropped"])
def test_a_late_callback_changes_nothing(ledger: Ledger, end: object) -> None:
    """The order has its video, or was never sent."""
    if end == "dropped":
        order = ledger.place(request()).order
        ledger.request_stop(order.id, state="cancelled", reason="no more")
    else:
        order = stored(ledger)
    before = ledger.get(order.id)
    assert ledger.hear_callbacks([str(before.marker)]) == set()
    assert ledger.get(order.id) == before
