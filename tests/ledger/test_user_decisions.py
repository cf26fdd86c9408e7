"""What a user or another process decides about orders, and when it is too late for that."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.conftest import Clock
from tests.support.ledger_orders import (
    ACCOUNT,
    FILES,
    NO_LIMITS,
    OUTPUTS,
    claim_finished,
    failed,
    finished,
    lost,
    request,
    running,
    stored,
    submitting,
)
from wiro_dagster.ledger import Cost, Gate, Ledger, Order
from wiro_dagster.ledger.budget import BudgetLimits

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


def test_a_task_may_be_named_for_an_order_without_an_open_post(ledger: Ledger) -> None:
    """The user found it at Wiro: it is followed, and on the books from then on."""
    order = ledger.place(request()).order
    ledger.request_stop(order.id, state="cancelled", reason="enough")
    assert ledger.note_task(order, "theirs", due_at=ledger.clock()) == "noted"
    assert ledger.get(order.id).state == "running"
    assert [r.task_id for r in ledger.list_submissions(order_id=order.id)] == ["theirs"]


def test_a_late_task_makes_the_video_of_the_order_that_came_after(ledger: Ledger) -> None:
    """The user abandoned the first order too early: the second one need not be bought."""
    first = lost(ledger)
    assert ledger.abandon_unknown(first)
    second = ledger.place(request()).order
    assert second.id != first.id
    assert ledger.note_task(first, "late", due_at=ledger.clock()) == "noted"
    assert (ledger.get(first.id).state, ledger.get(second.id).state) == ("cancelled", "running")
    assert [r.task_id for r in ledger.list_submissions()] == ["late"]
    assert [r.order_id for r in ledger.list_submissions()] == [second.id]
    assert not Gate(ledger, ACCOUNT).admit("video", NO_LIMITS, limit=1, lease_seconds=9).orders


def test_a_late_task_of_an_order_whose_successor_is_sent_is_its_own(ledger: Ledger) -> None:
    """Both are paid for: both are followed."""
    first = lost(ledger)
    assert ledger.abandon_unknown(first)
    second = submitting(ledger)
    assert ledger.note_task(first, "late", due_at=ledger.clock()) == "noted"
    assert (ledger.get(first.id).state, ledger.get(second.id).state) == ("running", "submitting")


@pytest.mark.parametrize("has_come", [True, False], ids=["owned", "running"])
def test_a_second_task_makes_the_video_that_the_first_did_not(
    ledger: Ledger, has_come: bool
) -> None:
    """Wiro made two tasks of one run, and the first one failed: the second is paid for already."""
    first = failed(ledger)
    assert ledger.note_task(first, "twin", due_at=ledger.clock()) == "extra"
    (_, second) = ledger.list_orders()
    if has_come:
        bring_home(ledger, second)
    placement = ledger.place(request())
    assert (placement.order.id, placement.outcome) == (second.id, "taken_up")
    assert placement.order.state == ("stored" if has_come else "running")
    assert ledger.get(first.id).superseded_by == second.id
    assert ledger.place(request()).outcome == ("owned" if has_come else "under_way")
    assert len(ledger.list_orders()) == 2


def test_a_second_task_is_the_next_try(ledger: Ledger) -> None:
    """A policy of second tries buys none while a second task of the failed order is there."""
    first = failed(ledger, next_models=("minimax/hailuo-2-3",))
    ledger.note_task(first, "twin", due_at=ledger.clock())
    following = ledger.try_again(first, request())
    assert following is not None
    assert (following.task_id, following.retry_of, following.try_number) == ("twin", first.id, 2)
    assert following.superseded_by is None
    assert ledger.find_next_try(ledger.get(first.id)) == following
    assert len(ledger.list_orders()) == 2


def bring_home(ledger: Ledger, order: Order) -> None:
    """The task of a second order succeeds, and its video is stored and set aside."""
    now, cost = ledger.clock(), Cost(Decimal("0.28"), has_ended=True)
    assert ledger.apply(order, "succeed", cost=cost, outputs=OUTPUTS, ended_at=now, due_at=now)
    assert ledger.apply(claim_finished(ledger), "store", files=FILES, due_at=now)
    ledger.set_aside_superseded("video")
    assert ledger.get(order.id).state == "delivered"


def test_a_video_is_not_renamed_to_a_partition_that_has_one(ledger: Ledger) -> None:
    """Nor before it is delivered: two partitions must not share a row."""
    order = stored(ledger, "cat")
    assert not ledger.rename(order, "tabby")
    ledger.mark_reported([order.id])
    delivered = ledger.get(order.id)
    stored(ledger, "dog")
    assert not ledger.rename(delivered, "dog")
    assert ledger.rename(delivered, "tabby")
    assert (ledger.get(order.id).partition, ledger.get(order.id).state) == ("tabby", "stored")


def test_files_that_wait_for_another_try_are_due_when_settings_may_be_new(
    ledger: Ledger, clock: Clock
) -> None:
    """A restart fetches at once what the old settings could not."""
    order = finished(ledger)
    assert ledger.apply(order, "postpone", due_at=clock() + 600)
    ledger.retry_collecting("another")
    assert ledger.get(order.id).due_at == clock() + 600
    ledger.retry_collecting("video")
    assert claim_finished(ledger).id == order.id
    ledger.retry_collecting("video")  # it is being fetched: its lease stays
    assert ledger.get(order.id).due_at == clock() + 60


def test_an_order_with_a_task_is_not_restored_over(ledger: Ledger) -> None:
    """The books know better than the evidence; a task is on them once."""
    order = running(ledger)
    known = {"files": FILES}
    cost = Cost(None)
    assert ledger.restore(request(), task_id="another", known=known, cost=cost) is None
    assert ledger.restore(request("dog"), task_id=str(order.task_id), known={}, cost=cost) is None
    assert len(ledger.list_orders()) == 1


def test_orders_are_found_by_every_condition(ledger: Ledger) -> None:
    """Conditions narrow each other."""
    for name in ("a", "b", "c"):
        ledger.place(request(name))
    ledger.place(request("a", collection="other"))
    found = ledger.list_orders(collection="video", partitions=["a", "b"], states=["ordered"])
    assert [order.partition for order in found] == ["a", "b"]
    assert [order.partition for order in ledger.list_orders(limit=1)] == ["a"]
    assert ledger.list_orders(ids=[]) == []
    assert ledger.list_failed("video") == []
    order = failed(ledger, "c")
    assert [found.id for found in ledger.list_failed("video")] == [order.id]


def test_while_the_store_refuses_files_nothing_more_is_bought(ledger: Ledger, clock: Clock) -> None:
    """What was bought could not be kept; not even one order goes ahead to try."""
    gate = Gate(ledger, "account")
    gate.close(until=clock(), reason="The bucket refuses.", problem="store")
    ledger.place(request())
    clock.advance(600)
    admission = gate.admit("video", BudgetLimits(), limit=5, lease_seconds=60)
    assert (admission.orders, admission.closed_reason) == ((), "The bucket refuses.")
    gate.end_problem("store")
    assert gate.admit("video", BudgetLimits(), limit=5, lease_seconds=60).orders


def test_runs_go_without_a_marker_once_wiro_has_refused_it(ledger: Ledger) -> None:
    """The reason is kept for the user."""
    gate = Gate(ledger, "account")
    assert gate.find_unmarked_reason() is None
    gate.stop_marking("Wiro refuses callbacks.")
    assert gate.find_unmarked_reason() == "Wiro refuses callbacks."


def test_a_clock_that_another_machine_objected_to_is_its_to_take_back(
    ledger: Ledger, clock: Clock
) -> None:
    """If that machine is silent for long, any other one may."""
    gate = Gate(ledger, "account")
    gate.note_clock("The clock of a machine that is not this one is wrong.")
    gate.note_clock(None)
    assert gate.find_problem() is not None
    clock.advance(601)
    gate.note_clock(None)
    assert gate.find_problem() is None
    gate.note_clock(None)


def test_the_watch_passes_on_when_it_is_left(ledger: Ledger) -> None:
    """Only the process that has it can leave it."""
    assert ledger.hold_watch("account", "one", seconds=20)
    ledger.release_watch("account", "two")
    assert not ledger.hold_watch("account", "two", seconds=20)
    ledger.release_watch("account", "one")
    assert ledger.hold_watch("account", "two", seconds=20)
    ledger.put_off_looks([], due_at=0.0)


def test_a_late_refusal_changes_no_order_that_has_a_task(ledger: Ledger) -> None:
    """Its POST is explained already."""
    order = submitting(ledger)
    ledger.note_task(order, "task", due_at=ledger.clock())
    assert ledger.note_unsent(order, due_at=ledger.clock()) is None
    assert ledger.get(order.id).state == "running"
