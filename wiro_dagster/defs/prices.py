"""What prompts would cost, before anything is ordered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import dagster as dg
from pydantic import Field

from wiro_dagster.catalogue.bounds import MAX_PRIORITY, MAX_TAKES
from wiro_dagster.errors import ApiError, InputError
from wiro_dagster.ledger import OrderRequest
from wiro_dagster.orders import OrderContext, OrderDesk
from wiro_dagster.prompts import Prompt, inputs_to_json


class OrderConfig(dg.Config):
    """What the launch dialog offers for `video_order`."""

    approve: bool = Field(
        default=False,
        description=(
            "Approve the orders of this run, also those that wait for approval already. Only for "
            "a collection that needs approval."
        ),
    )
    takes: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TAKES,
        description="Order so many takes of each prompt, whatever the prompt file says.",
    )
    priority: int | None = Field(
        default=None,
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description=(
            "How urgent the orders of this run are; 10 is urgent. By default the run's tag "
            "dagster/priority, else what the prompt or the collection says."
        ),
    )
    dry_run: bool = Field(
        default=False, description="Log what the orders would cost, and order nothing."
    )
    max_usd: float | None = Field(
        default=None,
        ge=0,
        description=(
            "The most that the new orders of this run may cost together, in USD. What does not "
            "fit is not ordered."
        ),
    )


class VideoConfig(dg.Config):
    """What the launch dialog offers for `video`."""

    take: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Show this take of each partition from now on. It must be in the video store already; "
            "nothing is ordered, and it costs nothing."
        ),
    )


@dataclass(frozen=True)
class Price:
    """What ordering a prompt would cost now.

    Args:
        prompt: which.
        new: how many takes have no order yet, or one that waits for approval.
        quote_usd: the expected cost of these; `None` if it is unknown.
        ceiling_usd: their highest cost; `None` if it is unknown.
        problem: why there is no price.
    """

    prompt: Prompt
    new: int = 1
    quote_usd: Decimal | None = None
    ceiling_usd: Decimal | None = None
    problem: str = ""

    @property
    def is_ordered(self) -> bool:
        """Whether nothing new would be bought."""
        return not self.new

    def describe(self) -> str:
        """Return one line for logs."""
        takes = f", {self.new} takes" if self.new > 1 else ""
        name = f'"{self.prompt.id}": {self.prompt.model_slug}{takes}'
        if self.is_ordered:
            return f"{name}, already ordered; nothing new would be bought."
        if self.ceiling_usd is None and self.quote_usd is None:
            return f"{name}, unknown price. {self.problem}".rstrip()
        return f"{name}, quote {_amount(self.quote_usd)}, at most {_amount(self.ceiling_usd)}."


def find_price(desk: OrderDesk, prompt: Prompt) -> Price:
    """Return what ordering a prompt would cost now. Nothing is ordered.

    Args:
        desk: of the collection.
        prompt: which.
    """
    context = desk.context
    inputs = inputs_to_json(prompt.inputs)
    new = sum(not _is_ordered(context, take, inputs) for take in prompt.list_takes())
    try:
        quote = context.quoter(prompt.model_slug, inputs)
    except (ApiError, InputError) as error:
        return Price(prompt, new, problem=str(error))
    return Price(prompt, new, _times(quote.amount_usd, new), _times(quote.ceiling_usd, new))


def _is_ordered(context: OrderContext, take: Prompt, inputs: Mapping[str, Any]) -> bool:
    live = context.ledger.find_live(
        OrderRequest(
            collection=context.collection,
            partition=take.id,
            account=context.account,
            model_slug=take.model_slug,
            inputs=inputs,
            fingerprint=take.fingerprint,
        )
    )
    # What waits for approval is not bought yet.
    return live is not None and live.state != "proposed"


def _times(amount_usd: Decimal | None, count: int) -> Decimal | None:
    return None if amount_usd is None else amount_usd * count


def find_quote(desk: OrderDesk, prompt: Prompt) -> Decimal | None:
    """Return the expected cost of a prompt; `None` if it is unknown."""
    try:
        quote = desk.context.quoter(prompt.model_slug, inputs_to_json(prompt.inputs))
    except (ApiError, InputError):
        return None
    return _times(quote.amount_usd, prompt.takes)


def describe_prices(prices: Sequence[Price]) -> str:
    """Return a line for each price, and their sum."""
    new = [price for price in prices if not price.is_ordered]
    total = sum((price.quote_usd or Decimal(0) for price in new), Decimal(0))
    unknown = sum(price.quote_usd is None for price in new)
    more = f", and {unknown} of unknown price" if unknown else ""
    lines = [price.describe() for price in prices]
    count = sum(price.new for price in prices)
    return "\n".join([*lines, f"{count} new orders: {total:f} USD{more}. Nothing was ordered."])


def select_affordable(
    desk: OrderDesk, prompts: Iterable[Prompt], max_usd: float
) -> tuple[list[Prompt], dict[str, str]]:
    """Select the prompts whose new orders fit into an amount, in their order.

    Args:
        desk: of the collection.
        prompts: what is to be ordered.
        max_usd: the most that they may cost together.

    Returns:
        The prompts that fit, and by prompt id why another does not.
    """
    left = Decimal(str(max_usd))
    chosen: list[Prompt] = []
    refused: dict[str, str] = {}
    for prompt in prompts:
        price = find_price(desk, prompt)
        if price.is_ordered:
            chosen.append(prompt)
        elif price.ceiling_usd is None:
            refused[prompt.id] = f"{price.describe()} max_usd covers known prices only."
        elif price.ceiling_usd > left:
            refused[prompt.id] = (
                f"It may cost {price.ceiling_usd:f} USD, but only {left:f} of max_usd "
                f"({max_usd:g}) are left."
            )
        else:
            left -= price.ceiling_usd
            chosen.append(prompt)
    return chosen, refused


def _amount(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:f} USD"
