"""One value of an input that takes no files, read as it goes over the wire."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from wiro_dagster.api.inputs import TEXT_TYPES, InputSpec
from wiro_dagster.catalogue.suggestions import did_you_mean, listing, shown
from wiro_dagster.catalogue.values import (
    find_amount,
    find_meant_option,
    find_number,
    find_option,
    number_text,
    plain_number,
    plain_wire_value,
    wire_text,
)


def read_value(spec: InputSpec, given: object) -> tuple[Any, str]:
    """Return a value as it goes over the wire, and a sentence if it was written otherwise.

    Raises:
        ValueError: the input does not take it; the message names the value and what is allowed.
    """
    if spec.type == "select" and spec.option_values:
        return _read_option(spec, given)
    if spec.type == "range":
        return _read_number(spec, given)
    read = wire_text if spec.type in TEXT_TYPES or spec.type == "select" else plain_wire_value
    try:
        return read(given), ""
    except ValueError as error:
        raise ValueError(f"{shown(given)} cannot be sent: {error}.") from error


def _read_option(spec: InputSpec, given: object) -> tuple[str, str]:
    options = spec.option_values
    try:
        found = find_option(given, options)
    except ValueError:
        found = None
    if found is not None:
        return found, ""
    meant = find_meant_option(given, options) if isinstance(given, str) else None
    if meant is not None:
        return meant, _taken_as(given, meant)
    near = did_you_mean(given, options) if isinstance(given, str) else ""
    raise ValueError(f"{shown(given)} is not allowed.{near} Allowed: {listing(options)}.")


def _read_number(spec: InputSpec, given: object) -> tuple[float, str]:
    number, note = find_number(given), ""
    amount = find_amount(given) if number is None and isinstance(given, str) else None
    if amount is not None and amount[1]:
        number, note = amount[0], _taken_as(given, number_text(amount[0]))
    if number is None or not _is_in_range(spec, number):
        raise ValueError(f"{shown(given)} is not allowed. {describe_range(spec)}")
    return plain_number(number), note


def _taken_as(given: object, meant: str) -> str:
    return f"{shown(given)} is taken as {meant!r}."


def _is_in_range(spec: InputSpec, number: Decimal) -> bool:
    if spec.minimum is not None and number < spec.minimum:
        return False
    if spec.maximum is not None and number > spec.maximum:
        return False
    if not spec.step or (spec.default is not None and number == find_number(spec.default)):
        return True  # a documented default is right even between the steps
    steps = (Fraction(number) - Fraction(spec.minimum or 0)) / Fraction(spec.step)
    return steps.denominator == 1


def describe_range(spec: InputSpec) -> str:
    """What a `range` takes, as a sentence."""
    low, high = (
        None if bound is None else number_text(bound) for bound in (spec.minimum, spec.maximum)
    )
    sentence = "Give a number"
    if low is not None and high is not None:
        sentence += f" from {low} to {high}"
    elif low is not None:
        sentence += f" of {low} or more"
    elif high is not None:
        sentence += f" of {high} or less"
    if spec.step:
        start = "" if low in {None, "0"} else f" counted from {low}"
        sentence += f" in steps of {number_text(spec.step)}{start}"
    return sentence + "."
