"""Wiro's models, their parameters and price lists, translated."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from wiro_dagster.api.types import (
    ModelDetail,
    ModelSummary,
    Parameter,
    ParameterGroup,
    ParameterOption,
    PriceEntry,
)
from wiro_dagster.api.wire import (
    find_decimal,
    find_list,
    find_name,
    find_object,
    find_seconds,
    find_text,
    find_truth,
    parse_json,
    read_objects,
    read_slug,
    read_text,
    read_words,
)


def read_model(slug: str, fields: Mapping[str, Any]) -> ModelDetail:
    """Return a model from its wire form; the slug is the one that was asked for."""
    prices, price_problem = _read_price_list(fields.get("dynamicprice"))
    return ModelDetail(
        slug=slug,
        title=_find_title(fields),
        parameters=read_parameters(fields.get("parameters")),
        prices=prices,
        price_problem=price_problem,
        cost_per_second_usd=find_decimal(fields.get("cps")),
        approximate_cost_usd=find_decimal(fields.get("approximatelycost")),
        computing_seconds=find_seconds(fields.get("computingtime")),
        categories=read_words(fields.get("categories")),
    )


def find_summary(fields: Mapping[str, Any]) -> ModelSummary | None:
    """Return one entry of a model list; None where it has no slug."""
    slug = read_slug(fields.get("slugowner"), fields.get("slugproject"))
    if slug is None:
        return None
    return ModelSummary(
        slug=slug,
        title=_find_title(fields),
        description=read_text(fields.get("description")),
        categories=read_words(fields.get("categories")),
    )


def _find_title(fields: Mapping[str, Any]) -> str | None:
    return find_name(fields.get("title")) or find_name(fields.get("name"))


def read_parameters(value: Any) -> tuple[ParameterGroup, ...] | None:
    """Return the groups of inputs that a model declares.

    Returns:
        None where Wiro has null or something that is no list of groups: nothing can be validated.
    """
    if find_list(value) is None:
        return None
    groups = read_objects(value)
    if groups and not any("items" in group for group in groups):
        # Inputs without a group around them.
        return (ParameterGroup(title="", items=_read_items(groups)),)
    return tuple(
        ParameterGroup(
            title=read_text(group.get("title")), items=_read_items(read_objects(group.get("items")))
        )
        for group in groups
    )


def _read_items(items: list[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    parameters = (_find_parameter(item) for item in items)
    return tuple(parameter for parameter in parameters if parameter is not None)


def _find_parameter(fields: Mapping[str, Any]) -> Parameter | None:
    parameter_id = find_name(fields.get("id"))
    if parameter_id is None:
        return None
    return Parameter(
        id=parameter_id,
        type=read_text(fields.get("type")).strip().lower(),
        label=read_text(fields.get("label")),
        required=find_truth(fields.get("required")) or False,
        default=find_text(fields.get("default")),
        options=_read_options(fields.get("options")),
        minimum=find_decimal(fields.get("min")),
        maximum=find_decimal(fields.get("max")),
        step=find_decimal(fields.get("step")),
        note=read_text(fields.get("note")),
        placeholder=read_text(fields.get("placeholder")),
    )


def _read_options(value: Any) -> tuple[ParameterOption, ...]:
    options = (_find_option(item) for item in find_list(value) or ())
    return tuple(option for option in options if option is not None)


def _find_option(item: Any) -> ParameterOption | None:
    fields = item if isinstance(item, dict) else {"value": item}
    value = find_text(fields.get("value"))
    if value is None:
        return None
    return ParameterOption(label=find_name(fields.get("label")) or value, value=value)


def _read_price_list(value: Any) -> tuple[tuple[PriceEntry, ...] | None, str | None]:
    """Return the entries and no problem, or None and what is wrong; None twice where absent."""
    if value is None or value in ("", [], {}):
        return None, None
    try:
        return read_prices(value) or None, None
    except ValueError as error:
        return None, str(error)


def read_prices(value: Any) -> tuple[PriceEntry, ...]:
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
    if not isinstance(entry, dict):
        raise ValueError(f"price entry {position} is not an object")
    price = _read_amount(position, entry, "price")
    method = find_name(entry.get("priceMethod"))
    if price is None or method is None:
        raise ValueError(f"price entry {position} lacks its price or priceMethod")
    return PriceEntry(
        inputs=_read_conditions(position, entry.get("inputs")),
        price=price,
        method=method,
        price_extra=_read_amount(position, entry, "priceExtra"),
        price_input=_read_amount(position, entry, "priceInput"),
    )


def _read_amount(position: int, entry: Mapping[str, Any], name: str) -> Decimal | None:
    value = entry.get(name)
    if value is None or value == "":
        return None
    amount = find_decimal(value)
    if amount is None or amount < 0:
        raise ValueError(f"price entry {position}: {name} is not an amount")
    return amount


def _read_conditions(position: int, value: Any) -> dict[str, str]:
    if not value:
        return {}
    conditions = find_object(value)
    texts = {name: find_text(item) for name, item in (conditions or {}).items()}
    known = {name: text for name, text in texts.items() if text is not None}
    if conditions is None or len(known) != len(texts):
        raise ValueError(f"price entry {position}: its inputs are not plain values")
    return known
