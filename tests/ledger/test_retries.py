"""Tries at one video on the books: what follows what, decided once, counted together."""

from __future__ import annotations

from decimal import Decimal

from tests.support.ledger_orders import ACCOUNT, NO_LIMITS, PRICE, failed, request
from wiro_dagster.ledger import Gate, Ledger

OTHER = "minimax/text-to-video-hailuo-02"


def test_a_try_takes_the_place_of_the_one_that_failed(ledger: Ledger) -> None:
    """Billed or not, once only; the run that waits goes on waiting, and the costs add up."""
    first = failed(ledger, cost_usd=PRICE, next_models=(OTHER,), limit_usd=Decimal(1))
    assert first.awaits_next_try
    assert ledger.list_awaiting_next_try("video") == [first]
    ledger.register_waiter([first.id], "run", until=ledger.clock() + 60)
    first = ledger.get(first.id)
    second = ledger.try_again(first, request(model_slug=OTHER))
    assert second is not None
    assert (second.try_number, second.retry_of, second.earlier_usd) == (2, first.id, PRICE)
    assert (second.waiter_run_id, second.limit_usd) == ("run", Decimal(1))
    assert ledger.place(request(limit_usd=Decimal(1))).order.id == second.id
    assert ledger.try_again(first, request(model_slug=OTHER)) is None
    assert ledger.list_awaiting_next_try("video") == []
    assert [order.id for order in ledger.list_tries(second)] == [first.id, second.id]
    assert ledger.find_next_try(ledger.get(first.id)) == second


def test_a_video_that_the_user_ordered_again_needs_no_other_try(ledger: Ledger) -> None:
    """Its price was not known for a while, and the user did not wait for the decision."""
    first = failed(ledger, next_models=(OTHER,))
    again = ledger.place(request()).order
    assert ledger.try_again(ledger.get(first.id), request(model_slug=OTHER)) is None
    assert ledger.get(first.id).superseded_by == again.id
    assert ledger.list_awaiting_next_try("video") == []
    assert len(ledger.list_orders()) == 2


def test_an_order_keeps_to_its_own_limit_whoever_submits_it(ledger: Ledger) -> None:
    """With all that was tried before it."""
    first = failed(ledger, cost_usd=PRICE, next_models=(OTHER,), limit_usd=Decimal("0.50"))
    assert ledger.try_again(first, request(model_slug=OTHER)) is not None
    admission = Gate(ledger, ACCOUNT).admit("video", NO_LIMITS, limit=9, lease_seconds=60)
    assert (admission.orders, admission.held) == ((), 1)
    (held,) = ledger.list_held("video", limit=9)
    assert "and its earlier tries 0.28 USD: over the 0.5 USD limit" in str(held.hold)


def test_without_a_next_try_the_order_says_why_and_is_reported(ledger: Ledger) -> None:
    """Until then no one reports it as failed."""
    order = failed(ledger, next_models=(OTHER,))
    assert ledger.claim("video", ["failed"], limit=1, lease_seconds=60) == []
    ledger.end_tries(order, "It would not pass.")
    (reported,) = ledger.claim("video", ["failed"], limit=1, lease_seconds=60)
    assert reported.error == "no It would not pass."
    assert not reported.awaits_next_try


def test_only_the_orders_asked_for_are_submitted(ledger: Ledger) -> None:
    """A call in an asset of the user's own buys what it waits for, and nothing else."""
    orders = [ledger.place(request(key)).order.id for key in ("cat", "dog")]
    admission = Gate(ledger, ACCOUNT).admit(
        "video", NO_LIMITS, limit=9, lease_seconds=60, only=orders[1:]
    )
    assert [order.id for order in admission.orders] == orders[1:]
