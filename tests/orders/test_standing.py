"""Standing still is news: which orders, for how long, why, and what helps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Clock
from tests.orders.conftest import OpenContext
from tests.support.ledger_orders import (
    failed,
    finished,
    lost,
    request,
    running,
    stored,
    submitting,
)
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.orders.standing import LIMIT_SECONDS, describe_standing, list_standing

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


def ordered(ledger: Ledger) -> Order:
    return ledger.place(request()).order


def settling(ledger: Ledger) -> Order:
    order = running(ledger)
    ledger.apply(order, "end", due_at=ledger.clock())
    return ledger.get(order.id)


@pytest.mark.parametrize(
    ("make", "help_text"),
    [
        (ordered, "orders abandon"),
        (submitting, "dagster sensor list"),
        (lost, "orders resend"),
        (running, "wiro-dagster orders abandon 1"),
        (settling, "wiro-dagster orders abandon 1"),
        (finished, "wiro-dagster orders recover 1"),
        (stored, "dagster sensor list"),
    ],
)
def test_an_order_that_has_stood_for_too_long_is_told_with_what_helps(
    ledger: Ledger,
    clock: Clock,
    open_context: OpenContext,
    make: Callable[[Ledger], Order],
    help_text: str,
) -> None:
    """Each state has its own time, and its own next step."""
    order = make(ledger)
    context = open_context(ledger)
    clock.advance(LIMIT_SECONDS[order.state])
    assert list_standing(context, [context.collection]) == []
    clock.advance(1)
    (found,) = list_standing(context, [context.collection])
    words = describe_standing(found, clock())
    assert f"{order.name} has been {order.state} for" in words
    assert help_text in words


def test_the_reason_is_told_if_one_is_known(ledger: Ledger, clock: Clock) -> None:
    """What the order waits for comes before what went wrong."""
    order = running(ledger)
    assert "no reason is known" in describe_standing(order, clock())
    ledger.apply(order, "observe", error="odd", hold="Wiro is slow.")
    assert "Wiro is slow." in describe_standing(ledger.get(order.id), clock())


def test_an_order_that_has_ended_stands_for_nothing(
    ledger: Ledger, clock: Clock, open_context: OpenContext
) -> None:
    """Nothing is left to do for it."""
    failed(ledger)
    clock.advance(1e6)
    assert list_standing(open_context(ledger), ["video"]) == []
