"""The quote of a run: which prices apply, and what they come to together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wiro_dagster.api.models import ModelDetail, PriceEntry
from wiro_dagster.catalogue.ordered import text_of
from wiro_dagster.catalogue.values import find_number
from wiro_dagster.pricing.facts import RunFacts, RunSize
from wiro_dagster.pricing.methods import Price, QuoteKind, per_second, price_of, unknown

_QUANTITY = "QUANTITY:"
_NOTHING_STATED = RunFacts()


@dataclass(frozen=True, slots=True)
class Quote:
    """What a run is expected to cost.

    Args:
        amount_usd: the expected cost; under "bound" the most it can be; `None` if it is unknown.
        ceiling_usd: what a budget must have room for: no price that applies comes out higher.
            `None` if nothing bounds the cost. Never under `amount_usd`.
        kind: "exact" = by the price list; "estimate" = includes a guess; "bound" = at most
            this; "unknown" = cannot be known before the run.
        method: Wiro's name of the price method; `None` if there is no price list.
        note: how it was found, as a sentence.
    """

    amount_usd: Decimal | None
    ceiling_usd: Decimal | None
    kind: QuoteKind
    method: str | None
    note: str


def quote(
    model: ModelDetail, inputs: Mapping[str, Any], facts: RunFacts = _NOTHING_STATED
) -> Quote:
    """Price a run before it is ordered.

    The most specific entry that applies gives the amount, the highest one the ceiling. Only
    successful runs are billed, so a run may also cost nothing.

    Args:
        model: with its prices, from Tool/Detail.
        inputs: as they go over the wire, defaults included; a `Prompt`'s inputs.
        facts: what is known beside the inputs.
    """
    if model.price_problem is not None:
        note = f"The price list of {model.slug} cannot be read: {model.price_problem}."
        return Quote(None, None, "unknown", None, note)
    size = RunSize(model, inputs, facts)
    applying = [entry for entry in model.prices or () if _applies(entry, size)]
    if not applying:
        return _quote_without_entry(model, size)
    priced = [(entry, price_of(entry, size)) for entry in applying]
    entry, price = max(priced, key=_rank)
    ceilings = [other.ceiling_usd for _, other in priced]
    bounded = [ceiling for ceiling in ceilings if ceiling is not None]
    ceiling = max(bounded) if len(bounded) == len(ceilings) else None
    kind, note = price.kind, price.note
    if ceiling != price.ceiling_usd:
        kind = "estimate" if kind == "exact" else kind
        note += "; another price that applies is higher or not bounded"
    if kind == "unknown" and model.approximate_cost_usd:
        note += f"; Wiro's guess for a run is {model.approximate_cost_usd} USD"
    return Quote(price.amount_usd, ceiling, kind, entry.method, f"{note}.")


def _quote_without_entry(model: ModelDetail, size: RunSize) -> Quote:
    rate = model.cost_per_second_usd
    price = unknown(f"{model.slug} states no price for these inputs")
    if rate:
        price = per_second(rate, size)
    elif model.approximate_cost_usd:
        amount = model.approximate_cost_usd
        price = Price(
            "estimate", amount, None, "Wiro's own guess; there is no price for these inputs"
        )
    return Quote(
        price.amount_usd, price.ceiling_usd, price.kind, "cps" if rate else None, f"{price.note}."
    )


def _rank(priced: tuple[PriceEntry, Price]) -> tuple[int, bool, Decimal]:
    # Of equally specific entries the dearest counts, or one that is unknown.
    entry, price = priced
    return len(entry.inputs), price.amount_usd is None, price.amount_usd or Decimal(0)


def _applies(entry: PriceEntry, size: RunSize) -> bool:
    return all(_is_met(name, wanted, size) for name, wanted in entry.inputs.items())


def _is_met(name: str, wanted: str, size: RunSize) -> bool:
    if wanted.startswith(_QUANTITY):
        return find_number(wanted.removeprefix(_QUANTITY)) == size.count_files(name)
    given = text_of(size.inputs, name)
    if given == wanted:
        return True
    number = find_number(wanted)
    return number is not None and number == find_number(given)
