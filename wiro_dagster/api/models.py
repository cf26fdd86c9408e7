"""Wiro's models, their inputs and price lists, translated once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from wiro_dagster.api.bounds import MaybeMoney, find_money
from wiro_dagster.api.inputs import InputSpec, read_inputs
from wiro_dagster.api.types import WireModel, find_model
from wiro_dagster.api.wire import (
    find_name,
    find_object,
    find_seconds,
    find_text,
    parse_json,
    read_slug,
    read_text,
    read_words,
)
from wiro_dagster.errors import NotFound

_Text = Annotated[str, BeforeValidator(read_text)]
_Name = Annotated[str, BeforeValidator(find_name)]
_MaybeName = Annotated[str | None, BeforeValidator(find_name)]
_Words = Annotated[tuple[str, ...], BeforeValidator(read_words)]


def _read_amount(value: Any) -> Decimal:
    amount = find_money(value)
    if amount is None:
        raise ValueError("is not an amount")
    return amount


def _find_amount(value: Any) -> Decimal | None:
    return None if value is None or value == "" else _read_amount(value)


def _read_conditions(value: Any) -> Mapping[str, str]:
    conditions = find_object(value) if value else {}
    texts = {name: find_text(item) for name, item in (conditions or {}).items()}
    known = {name: text for name, text in texts.items() if text is not None}
    if conditions is None or len(known) != len(texts):
        raise ValueError("are not plain values")
    return known


class PriceEntry(WireModel):
    """One line of a model's price list."""

    inputs: Annotated[Mapping[str, str], BeforeValidator(_read_conditions)] = {}
    """The entry applies if all of these equal the run's inputs; none = it always applies."""
    price: Annotated[Decimal, BeforeValidator(_read_amount)]
    method: _Name = Field(validation_alias="priceMethod")
    """Wiro's `priceMethod`, for example `cpr` (per run)."""
    price_extra: Annotated[Decimal | None, BeforeValidator(_find_amount)] = Field(
        default=None, validation_alias="priceExtra"
    )
    price_input: Annotated[Decimal | None, BeforeValidator(_find_amount)] = Field(
        default=None, validation_alias="priceInput"
    )


class ModelSummary(WireModel):
    """One model as Tool/List shows it."""

    slug: str
    """`owner/project`."""
    title: _MaybeName = None
    description: _Text = ""
    categories: _Words = ()


def find_summary(fields: Mapping[str, Any]) -> ModelSummary | None:
    """Return one entry of a model list; None if it has no slug."""
    slug = read_slug(fields.get("slugowner"), fields.get("slugproject"))
    return find_model(ModelSummary, {**fields, "slug": slug, "title": _find_title(fields)})


class ModelDetail(WireModel):
    """One model as Tool/Detail shows it. See `read_model`."""

    slug: str
    """`owner/project`."""
    title: str | None
    inputs: tuple[InputSpec, ...] | None
    """None if Wiro declares none: inputs cannot be validated."""
    prices: tuple[PriceEntry, ...] | None
    """None if the price list is missing or cannot be read."""
    price_problem: str | None
    """Why the price list cannot be read; None if it can, or is missing."""
    cost_per_second_usd: MaybeMoney
    approximate_cost_usd: MaybeMoney
    """Wiro's own guess for one run."""
    computing_seconds: Annotated[float | None, BeforeValidator(find_seconds)]
    """Wiro's own guess for one run."""
    categories: _Words


def choose_model(slug: str, tools: Sequence[Mapping[str, Any]]) -> ModelDetail:
    """Return the model of that slug among those of an answer.

    Raises:
        NotFound: the answer holds no model.
    """
    if not tools:
        raise NotFound(f"Wiro does not know the model {slug}. Check the slug on its page.")
    named = (
        tool for tool in tools if read_slug(tool.get("slugowner"), tool.get("slugproject")) == slug
    )
    # A single model is the one we asked for, even if its slug is spelled in another way.
    return read_model(slug, next(named, tools[0]))


def read_model(slug: str, fields: Mapping[str, Any]) -> ModelDetail:
    """Return a model from its wire form; the slug is the one that was asked for."""
    prices, price_problem = _read_price_list(fields.get("dynamicprice"))
    return ModelDetail(
        slug=slug,
        title=_find_title(fields),
        inputs=read_inputs(fields.get("parameters")),
        prices=prices,
        price_problem=price_problem,
        cost_per_second_usd=fields.get("cps"),
        approximate_cost_usd=fields.get("approximatelycost"),
        computing_seconds=fields.get("computingtime"),
        categories=read_words(fields.get("categories")),
    )


def _find_title(fields: Mapping[str, Any]) -> str | None:
    return find_name(fields.get("title")) or find_name(fields.get("name"))


def _read_price_list(value: Any) -> tuple[tuple[PriceEntry, ...] | None, str | None]:
    """Return the entries and no problem, or None and what is wrong; None twice if absent."""
    if value is None or value in ("", [], {}):
        return None, None
    try:
        return _read_prices(value) or None, None
    except ValueError as error:
        return None, str(error)


def _read_prices(value: Any) -> tuple[PriceEntry, ...]:
    """Return the entries of a price list, given as JSON text or as a list.

    Raises:
        ValueError: any part of it cannot be read. One lost entry could be the dearest, so a list
            that is only partly readable counts as unreadable.
    """
    entries = parse_json(value, exact_numbers=True) if isinstance(value, str) else value
    if entries is None:
        return ()
    if isinstance(entries, dict):
        entries = [entries]
    if not isinstance(entries, list):
        raise ValueError("the price list is not a list")
    return tuple(_read_price(position, entry) for position, entry in enumerate(entries, 1))


def _read_price(position: int, entry: Any) -> PriceEntry:
    try:
        return PriceEntry.model_validate(entry)
    except ValidationError as error:
        problem = error.errors()[0]
    if not problem["loc"]:
        raise ValueError(f"price entry {position} is not an object")
    reason = problem.get("ctx", {}).get("error", "is missing")
    raise ValueError(f"price entry {position}: {problem['loc'][0]} {reason}")
