"""Which part of Wiro's list is read for the tasks that are due."""

from __future__ import annotations

from tests.system.campaigns.workshop import ACCOUNT, COLLECTION, MODEL
from wiro_dagster.ledger import Order
from wiro_dagster.orders.list_span import SLACK, Span, find_span

_MADE = 1000
"""Tasks that the account has; the newest is task 1,000."""


def _make_order(number: int) -> Order:
    return Order(
        id=number,
        collection=COLLECTION,
        partition=str(number),
        account=ACCOUNT,
        model_slug=MODEL,
        inputs={},
        fingerprint="f",
        take=1,
        state="running",
        created_at=float(number),
        claimed_at=float(number),
        task_id=str(number),
    )


def _find(*numbers: int, from_newest: bool = False) -> Span:
    due = [_make_order(number) for number in numbers]
    return find_span(due, lambda order: _MADE - order.id, from_newest=from_newest)


def test_few_tasks_that_are_much_older_are_read_one_by_one() -> None:
    """One that stands in the queue since 900 tasks costs one call, not ten pages at each sweep."""
    span = _find(*range(960, 1001), 100)
    assert (span.first, span.pages, [order.id for order in span.left_out]) == (0, 1, [100])


def test_many_tasks_are_read_by_the_list_however_old_they_are() -> None:
    """Five pages are fewer calls than 400 tasks."""
    span = _find(*range(580, 980))
    assert (span.first, span.pages, span.left_out) == (_MADE - 979 - SLACK, 5, ())


def test_very_few_tasks_are_read_one_by_one_only() -> None:
    """Two tasks that are ten pages apart are two calls."""
    assert _find(10, 1000).calls == 2


def test_now_and_then_the_newest_tasks_are_read_too() -> None:
    """Tasks that no order explains are among them."""
    assert _find(*range(700, 750), from_newest=True).first == 0
