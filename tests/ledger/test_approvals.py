"""Approval: what a person has not approved is not bought, and what was approved is on record."""

from __future__ import annotations

from decimal import Decimal

from tests.conftest import Clock
from tests.support.ledger_orders import ACCOUNT, ALL_LIMITS, PRICE, place_proposed, request
from wiro_dagster.ledger import Gate, Ledger, Order, Proposal


def admit(ledger: Ledger, *, needs_approval: bool = True) -> tuple[Order, ...]:
    gate = Gate(ledger, ACCOUNT)
    return gate.admit(
        "video", ALL_LIMITS, limit=9, lease_seconds=60, needs_approval=needs_approval
    ).orders


def test_a_proposed_order_is_not_submitted_and_commits_no_money(ledger: Ledger) -> None:
    """Also by a submitter that knows nothing of approval."""
    order = place_proposed(ledger)
    assert (order.state, order.due_at) == ("proposed", None)
    assert admit(ledger) == admit(ledger, needs_approval=False) == ()
    with ledger.reading() as connection:
        books = Gate(ledger, ACCOUNT).books(connection, "video", ALL_LIMITS)
    assert books.total_usd == 0


def test_an_approved_order_is_submitted_and_says_who_approved_it(
    ledger: Ledger, clock: Clock
) -> None:
    """Who, when, and the most that was approved."""
    order = place_proposed(ledger)
    clock.advance(3600)
    assert ledger.approve([order], by="anna") == [order.id]
    assert ledger.approve([order], by="bert") == []
    (sent,) = admit(ledger)
    assert (sent.approved_by, sent.approved_at, sent.approved_usd) == ("anna", clock(), PRICE)


def test_only_the_price_that_was_shown_is_approved(ledger: Ledger) -> None:
    """A price that came in between is looked at again."""
    shown = place_proposed(ledger, quote_usd=None, ceiling_usd=None)
    ledger.apply(shown, "quote", ceiling_usd=PRICE, quote_usd=PRICE)
    assert ledger.approve([shown], by="anna") == []
    assert ledger.approve([ledger.get(shown.id)], by="anna") == [shown.id]


def test_a_declined_order_costs_nothing_and_can_be_proposed_again(ledger: Ledger) -> None:
    """Whoever declined it is on record; what was approved meanwhile goes on."""
    order, other = place_proposed(ledger), place_proposed(ledger, "dog")
    ledger.approve([other], by="anna")
    assert ledger.decline([order, other], by="bert") == [order.id]
    declined = ledger.get(order.id)
    assert (declined.state, declined.error) == ("cancelled", "Declined by bert.")
    assert declined.live_key is None
    assert place_proposed(ledger).id != order.id


def test_abandoning_a_proposed_order_drops_it_at_once(ledger: Ledger) -> None:
    """Nothing was sent, so there is nothing to wait for."""
    order = place_proposed(ledger)
    assert ledger.request_stop(order.id, state="cancelled", reason="enough")
    assert ledger.get(order.id).state == "cancelled"


def test_asking_twice_proposes_once(ledger: Ledger) -> None:
    """A proposed order is the live one of its video."""
    first = ledger.place(request(), needs_approval=True)
    second = ledger.place(request(), needs_approval=True)
    assert (first.outcome, second.outcome) == ("placed", "under_way")
    assert first.order == second.order


def test_a_changed_prompt_drops_what_was_proposed(ledger: Ledger) -> None:
    """Only the newest wish waits for approval."""
    old = place_proposed(ledger)
    new = place_proposed(ledger, fingerprint="f2")
    assert [order.id for order in ledger.list_orders(states=["proposed"])] == [new.id]
    assert ledger.get(old.id).state == "cancelled"


def test_proposals_are_added_up(ledger: Ledger) -> None:
    """Unknown prices are counted, not taken for nothing."""
    orders = [place_proposed(ledger, name) for name in ("cat", "dog")]
    orders.append(place_proposed(ledger, "odd", quote_usd=None, ceiling_usd=None))
    proposal = ledger.add_up_proposed("video")
    assert proposal == Proposal.of(orders) == Proposal(3, 2 * PRICE, 2 * PRICE, 1)
    assert proposal.describe() == "3 orders, 0.56 USD together, 1 of them of unknown price"
    assert ledger.add_up_proposed("ads/video") == Proposal(0, Decimal(0), Decimal(0), 0)


def test_a_collection_that_begins_to_ask_proposes_what_was_not_sent(ledger: Ledger) -> None:
    """And one that no longer asks takes up what was proposed, when it is asked for again."""
    order = ledger.place(request()).order
    assert admit(ledger) == ()
    assert ledger.propose_unapproved("video") == 1
    assert ledger.get(order.id).state == "proposed"
    again = ledger.place(request()).order
    assert (again.id, again.state) == (order.id, "ordered")
    assert "settings" in str(again.approved_by)
    assert ledger.propose_unapproved("video") == 0
