"""Which prompts have no video yet, and what the missing videos would cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from wiro_dagster.catalogue.suggestions import counted
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.prices import find_quote
from wiro_dagster.ledger import Ledger, OrderState
from wiro_dagster.ledger.order import Standing
from wiro_dagster.orders import OrderDesk
from wiro_dagster.prompts import Prompt

_LOOKED_UP_AT_ONCE = 500
_WORTH_ANOTHER_TRY: tuple[OrderState, ...] = ("failed", "uncollected")


@dataclass(frozen=True)
class Missing:
    """How many videos are missing, and what they would cost.

    Args:
        count: prompts without a video and without an order under way.
        quote_usd: what the videos of known price would cost together.
        unpriced: how many have no known price.
        left_usd: what is left of the tightest budget; `None` if there is no budget.
    """

    count: int
    quote_usd: Decimal
    unpriced: int
    left_usd: Decimal | None

    def describe(self) -> str:
        """Return one sentence."""
        if not self.count:
            return "No video is missing."
        videos = f"{counted(self.count, 'video')} {'is' if self.count == 1 else 'are'} missing"
        unpriced = f" and {self.unpriced} of unknown price" if self.unpriced else ""
        left = "" if self.left_usd is None else f"; budget left: {self.left_usd:f} USD"
        return f"{videos}, {self.quote_usd:f} USD{unpriced}{left}."


def add_up_missing(
    desk: OrderDesk, collection: VideoCollection, prompts: Iterable[Prompt]
) -> Missing:
    """Add up what the missing videos of a collection would cost now. Nothing is ordered."""
    missing = list_missing(desk.ledger, collection, prompts)
    quotes = [find_quote(desk, prompt) for prompt in missing]
    uses = desk.context.gate.list_uses(desk.context.collection, desk.context.limits)
    return Missing(
        count=len(missing),
        quote_usd=sum((quote for quote in quotes if quote is not None), Decimal(0)),
        unpriced=quotes.count(None),
        left_usd=min((use.left_usd for use in uses), default=None),
    )


def list_wanted(
    ledger: Ledger, collection: VideoCollection, prompts: Iterable[Prompt]
) -> list[Prompt]:
    """Return the prompts that the collection's `auto_order` wants to order."""
    if collection.auto_order == "never":
        return []
    takes_changed = collection.auto_order == "new_and_changed"
    return [
        prompt
        for prompt, placed in _with_orders(ledger, collection, prompts)
        if not placed or (takes_changed and _lacks_takes(placed, prompt))
    ]


def _lacks_takes(placed: Sequence[Standing], prompt: Prompt) -> bool:
    """Whether the prompt has changed, or more takes of it are wanted than were ever ordered."""
    known = {order.fingerprint for order in placed}
    takes = {take.fingerprint for take in prompt.list_takes()}
    return _find_current(placed, prompt) is None or not takes <= known


def list_missing(
    ledger: Ledger, collection: VideoCollection, prompts: Iterable[Prompt]
) -> list[Prompt]:
    """Return the prompts that have no video and no order under way.

    Failed orders are among them, cancelled ones are not.
    """
    missing: list[Prompt] = []
    for prompt, placed in _with_orders(ledger, collection, prompts):
        order = _find_current(placed, prompt)
        if order is None or order.state in _WORTH_ANOTHER_TRY:
            missing.append(prompt)
    return missing


def _with_orders(
    ledger: Ledger, collection: VideoCollection, prompts: Iterable[Prompt]
) -> Iterator[tuple[Prompt, list[Standing]]]:
    every = list(prompts)
    for start in range(0, len(every), _LOOKED_UP_AT_ONCE):
        some = every[start : start + _LOOKED_UP_AT_ONCE]
        placed = ledger.list_standings(collection.ledger_name, [prompt.id for prompt in some])
        yield from ((prompt, placed[prompt.id]) for prompt in some)


def _find_current(orders: Sequence[Standing], prompt: Prompt) -> Standing | None:
    """Return the newest order for the prompt as it is now."""
    fitting = [
        order
        for order in orders
        if order.superseded_by is None and order.prompt_version == prompt.fingerprint
    ]
    return fitting[-1] if fitting else None
