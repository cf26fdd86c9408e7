"""What Dagster is told of orders: once for each end, seldom of progress, nothing by old cursors."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from tests.conftest import Clock
from tests.support.ledger_orders import (
    NO_LIMITS,
    claim_finished,
    request,
    running,
    stored,
    submitting,
)
from wiro_dagster.ledger import Gate, Ledger
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.ledger.schema import orders


def test_an_old_cursor_marks_nothing_that_is_yet_to_be_told(ledger: Ledger, clock: Clock) -> None:
    """The lease of a report is good once: not after the report, nor after a person's word."""
    first, second = stored(ledger, "told"), stored(ledger, "fetched again")
    claimed = ledger.claim("video", ["stored"], limit=5, lease_seconds=60)
    (lease,) = {order.lease for order in claimed}
    assert lease
    assert ledger.fetch_again(second)
    ledger.mark_lease_reported(lease)
    assert ledger.get(first.id).state == "delivered"
    ledger.apply(claim_finished(ledger), "store", files=[{"key": "k"}], due_at=clock())
    ledger.fetch_again(ledger.get(first.id))
    ledger.apply(claim_finished(ledger), "store", files=[{"key": "k"}], due_at=clock())
    for old in (lease, "", "unheard of"):
        ledger.mark_lease_reported(old)
    again = ledger.claim("video", ["stored"], limit=5, lease_seconds=60)
    assert [order.id for order in again] == [first.id, second.id]


def test_a_report_may_be_confirmed_after_its_lease(ledger: Ledger, clock: Clock) -> None:
    """A daemon that is slow with its cursor has told all the same, if nobody came in between."""
    order = stored(ledger)
    (claimed,) = ledger.claim("video", ["stored"], limit=5, lease_seconds=60)
    clock.advance(3600)
    ledger.mark_lease_reported(str(claimed.lease))
    assert ledger.get(order.id).state == "delivered"


def test_progress_is_told_at_the_start_and_then_once_a_minute_where_it_moves(
    ledger: Ledger, clock: Clock
) -> None:
    """However many tasks there are, a tick tells a few, and those that waited longest first."""
    for number in range(7):
        order = running(ledger, f"p{number}")
        queue_seconds = None if number == 6 else 1.0
        seen = {"task_status": "task_start", "queue_seconds": queue_seconds}
        ledger.apply(order, "observe", **seen, due_at=clock() + 999)

    def tell(limit: int = 4) -> list[str]:
        told = ledger.claim_progress("video", limit=limit, pause_seconds=60)
        return [order.partition for order in told]

    assert tell() == ["p0", "p1", "p2", "p3"]
    assert (tell(), tell()) == (["p4", "p5"], [])
    with ledger.writing() as connection:
        moved = {"task_status": "task_output", "progress_percent": 40.0}
        moving = orders.c.partition.in_(["p1", "p5"])
        connection.execute(sa.update(orders).where(moving).values(moved))
    assert tell() == []
    clock.advance(61)
    assert (tell(1), tell(1), tell(1)) == (["p1"], ["p5"], [])
    clock.advance(61)
    assert tell() == []
    ended = ledger.list_orders(partitions=["p0"])[0]
    ledger.apply(ended, "succeed", task_status="task_end", due_at=clock())
    assert tell() == []


def test_held_orders_are_counted_until_they_go_on(ledger: Ledger, clock: Clock) -> None:
    """What only waits for its turn, or was dropped, is not held by the budget."""
    for name in ("a", "b", "c", "d"):
        ledger.place(request(name, ceiling_usd=Decimal("0.60")))
    gate = Gate(ledger, "account")
    assert ledger.count_held("video") == 0
    gate.admit("video", BudgetLimits(daily_usd=Decimal(1)), limit=5, lease_seconds=600)
    held = ledger.list_held("video", limit=2)
    assert [order.partition for order in held] == ["b", "c"]
    assert "daily budget" in str(held[0].hold)
    since = held[0].held_since
    clock.advance(31)
    gate.admit("video", BudgetLimits(daily_usd=Decimal(1)), limit=5, lease_seconds=600)
    assert ledger.list_held("video", limit=1)[0].held_since == since
    ledger.request_stop(held[1].id, state="cancelled", reason="enough")
    assert ledger.count_held("video") == 2
    clock.advance(31)
    gate.admit("video", NO_LIMITS, limit=5, lease_seconds=600)
    assert ledger.count_held("video") == 0


def test_a_problem_of_an_account_ends_with_a_submission_that_began_after_it(
    ledger: Ledger, clock: Clock
) -> None:
    """One that was under way when Wiro refused another proves nothing."""
    gate = Gate(ledger, "account")
    early = submitting(ledger, "early")
    clock.advance(1)
    gate.close(until=clock() + 60, reason="Insufficient balance.", problem="balance")
    gate.close(until=clock() + 5, reason="Slow down.")
    ledger.note_task(early, "task-early", due_at=clock())
    found = gate.find_problem()
    assert found is not None
    assert (found.kind, found.reason) == ("balance", "Insufficient balance.")
    assert Gate(ledger, "another").find_problem() is None
    clock.advance(61)
    late = submitting(ledger, "late")
    assert gate.find_problem() is not None
    ledger.note_task(late, "task-late", due_at=clock())
    assert gate.find_problem() is None
    clock.advance(1)
    gate.close(until=clock() + 60, reason="No such key.", problem="credentials")
    assert gate.find_problem() is not None


def test_only_unsent_orders_of_a_refused_account_are_taken_over(
    ledger: Ledger, clock: Clock
) -> None:
    """An account that is well keeps its orders, and what was sent stays where it was paid."""
    mine, theirs = Gate(ledger, "new"), Gate(ledger, "account")
    sent = submitting(ledger, "sent")
    unsent = ledger.place(request("unsent")).order
    assert mine.take_over("video") == 0
    theirs.close(until=clock() + 60, reason="No such key.", problem="credentials")
    assert (mine.take_over("another collection"), mine.take_over("video")) == (0, 1)
    assert ledger.get(unsent.id).account == "new"
    assert ledger.get(sent.id).account == "account"


def test_a_submitter_does_not_wait_for_an_order_that_somebody_is_changing(
    ledger: Ledger, ledger_url: str
) -> None:
    """Two that lock several orders in different directions would wait for each other for ever."""
    if not ledger_url.startswith("postgresql"):
        pytest.skip("SQLite has one writer at a time")
    for name in ("a", "b"):
        ledger.place(request(name))
    impatient = Ledger(f"{ledger_url}&options=-c%20lock_timeout%3D2000", clock=ledger.clock)
    gate = Gate(impatient, "account")
    with ledger.writing() as connection:
        locked = sa.select(orders.c.id).where(orders.c.partition == "a").with_for_update()
        connection.execute(locked)
        admitted = gate.admit("video", NO_LIMITS, limit=5, lease_seconds=60).orders
        assert [order.partition for order in admitted] == ["b"]
    admitted = gate.admit("video", NO_LIMITS, limit=5, lease_seconds=60).orders
    assert [order.partition for order in admitted] == ["a"]
    impatient.close()
