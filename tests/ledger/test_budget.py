"""What may be spent: the verdict on one order, for any history."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiro_dagster.ledger.budget import Books, BudgetLimits, committed_amount, why_held

amounts = st.decimals(Decimal(0), Decimal(20), places=4)
maybe = st.none() | amounts


@given(
    prices=st.lists(amounts, max_size=30),
    daily=maybe,
    collection=maybe,
    total=maybe,
    video=maybe,
)
def test_what_is_admitted_never_passes_a_limit(
    prices: list[Decimal],
    daily: Decimal | None,
    collection: Decimal | None,
    total: Decimal | None,
    video: Decimal | None,
) -> None:
    """Spent plus committed stays within every limit, whatever is asked for."""
    limits = BudgetLimits(video, daily, collection, total)
    books = Books()
    for price in prices:
        if why_held(price, books, limits) is None:
            books = books.plus(price)
            assert video is None or price <= video
    used = ((books.daily_usd, daily), (books.collection_usd, collection), (books.total_usd, total))
    assert all(limit is None or spent <= limit for spent, limit in used)


@given(price=amounts)
def test_without_limits_every_known_price_passes(price: Decimal) -> None:
    """No limit means no limit."""
    assert why_held(price, Books(), BudgetLimits()) is None


def test_a_limit_may_be_used_up_to_its_last_cent() -> None:
    """A budget is what may be spent, not what must be left."""
    limits = BudgetLimits(daily_usd=Decimal(1))
    books = Books(daily_usd=Decimal("0.72"))
    assert why_held(Decimal("0.28"), books, limits) is None
    assert why_held(Decimal("0.280000000001"), books, limits) is not None


@pytest.mark.parametrize(
    ("policy", "expected"), [("refuse", None), ("allow", Decimal(0)), ("assume", Decimal(2))]
)
def test_an_unknown_price_counts_as_the_policy_says(policy: str, expected: Decimal | None) -> None:
    """Refused, uncounted until it is known, or counted at an assumption."""
    limits = BudgetLimits(unknown_price=policy, assumed_usd=Decimal(2))  # type: ignore[arg-type]
    assert committed_amount(None, limits) == expected
    assert (why_held(None, Books(), limits) is None) == (expected is not None)


def test_the_reason_names_the_figures_and_the_next_step() -> None:
    """A person can see what to raise."""
    limits = BudgetLimits(daily_usd=Decimal(5))
    reason = why_held(Decimal("0.58"), Books(daily_usd=Decimal("4.6")), limits)
    assert reason is not None
    assert all(part in reason for part in ("0.58 USD", "5 USD daily", "4.6 USD", "Raise", "UTC"))
