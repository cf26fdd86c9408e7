"""What may be spent: limits, the books they are compared with, and the verdict on one order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

UnknownPricePolicy = Literal["refuse", "allow", "assume"]
"""What to do with an order whose price cannot be known before it runs: hold it back, let it pass
uncounted until Wiro states its cost, or count it at `BudgetLimits.assumed_usd`."""


LOW_FROM_SHARE = Decimal("0.8")
"""From this share on, the check `within_budget` warns."""


@dataclass(frozen=True)
class BudgetLimits:
    """Limits in USD; `None` means no limit. Days are UTC days.

    Args:
        video_usd: the most that one video may cost.
        daily_usd: the most that an account may spend in one day, over all collections.
        collection_usd: the most that the order's collection may ever spend.
        total_usd: the most that an account may ever spend, over all collections.
        unknown_price: what to do if the price is not known.
        assumed_usd: the price that the policy "assume" uses for such an order.
    """

    video_usd: Decimal | None = None
    daily_usd: Decimal | None = None
    collection_usd: Decimal | None = None
    total_usd: Decimal | None = None
    unknown_price: UnknownPricePolicy = "refuse"
    assumed_usd: Decimal | None = None


@dataclass(frozen=True)
class Books:
    """Spent plus committed, in USD: known costs, and ceilings of what is under way."""

    daily_usd: Decimal = Decimal(0)
    collection_usd: Decimal = Decimal(0)
    total_usd: Decimal = Decimal(0)

    def plus(self, amount_usd: Decimal, *, is_of_collection: bool = True) -> Books:
        """The books after committing `amount_usd` more, for the collection or for another one."""
        return Books(
            self.daily_usd + amount_usd,
            self.collection_usd + (amount_usd if is_of_collection else 0),
            self.total_usd + amount_usd,
        )


@dataclass(frozen=True)
class BudgetUse:
    """How far one budget is used.

    Args:
        name: "daily", "collection" or "total".
        limit_usd: the budget.
        used_usd: what is spent or committed of it.
    """

    name: str
    limit_usd: Decimal
    used_usd: Decimal

    @property
    def left_usd(self) -> Decimal:
        """What may still be committed, never below zero."""
        return max(Decimal(0), self.limit_usd - self.used_usd)

    @property
    def is_low(self) -> bool:
        """Whether most of the budget is spent or committed."""
        return self.used_usd >= self.limit_usd * LOW_FROM_SHARE

    def describe(self) -> str:
        """Return one sentence."""
        return (
            f"{_usd(self.used_usd)} of the {_usd(self.limit_usd)} {self.name} budget are spent or "
            "committed."
        )


def list_uses(books: Books, limits: BudgetLimits) -> list[BudgetUse]:
    """Return how far each budget that is set is used."""
    rows = (
        ("daily", limits.daily_usd, books.daily_usd),
        ("collection", limits.collection_usd, books.collection_usd),
        ("total", limits.total_usd, books.total_usd),
    )
    return [BudgetUse(name, limit, used) for name, limit, used in rows if limit is not None]


def committed_amount(ceiling_usd: Decimal | None, limits: BudgetLimits) -> Decimal | None:
    """Return the amount to budget while the cost is not known; `None` if the policy forbids it."""
    if ceiling_usd is not None:
        return ceiling_usd
    if limits.unknown_price == "allow":
        return Decimal(0)
    if limits.unknown_price == "assume":
        return limits.assumed_usd
    return None


def why_never(
    ceiling_usd: Decimal | None,
    limits: BudgetLimits,
    *,
    earlier_usd: Decimal | None,
    limit_usd: Decimal | None,
) -> str | None:
    """Return why an order may never be submitted, or `None` if it may, now or later.

    Budgets may have room later; what one video may cost does not change by waiting.

    Args:
        ceiling_usd: as in `why_held`.
        limits: what may be spent.
        earlier_usd: as in `why_held`.
        limit_usd: as in `why_held`.
    """
    lasting = replace(limits, daily_usd=None, collection_usd=None, total_usd=None)
    return why_held(ceiling_usd, Books(), lasting, earlier_usd=earlier_usd, limit_usd=limit_usd)


def why_held(
    ceiling_usd: Decimal | None,
    books: Books,
    limits: BudgetLimits,
    *,
    earlier_usd: Decimal | None = None,
    limit_usd: Decimal | None = None,
) -> str | None:
    """Return why an order may not be submitted now, or `None` if it may.

    Args:
        ceiling_usd: the most the order may cost; `None` if its price is unknown.
        books: what is spent and committed already.
        limits: what may be spent.
        earlier_usd: what earlier tries at the same video cost, or may have cost.
        limit_usd: the most that this video may cost, as its caller said.
    """
    amount = committed_amount(ceiling_usd, limits)
    if amount is None:
        return (
            "its price is not known. Set a price policy (unknown_price) that allows or bounds it, "
            "or choose a model with a stated price."
        )
    earlier = earlier_usd or Decimal(0)
    for limit in (limits.video_usd, limit_usd):
        if limit is not None and earlier + amount > limit:
            tried = f", and its earlier tries {_usd(earlier)}" if earlier else ""
            return (
                f"it may cost {_usd(amount)}{tried}: over the {_usd(limit)} limit for one video. "
                "Raise that limit or choose cheaper inputs."
            )
    for use in list_uses(books, limits):
        if use.used_usd + amount > use.limit_usd:
            wait = " or wait for the next day (UTC)" if use.name == "daily" else ""
            return (
                f"{_usd(amount)} more would pass the {_usd(use.limit_usd)} {use.name} budget "
                f"({_usd(use.used_usd)} spent or committed). Raise the budget{wait}."
            )
    return None


def _usd(amount: Decimal) -> str:
    return f"{amount:.4f}".rstrip("0").rstrip(".") + " USD"
