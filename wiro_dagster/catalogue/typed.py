"""A model's inputs as pydantic types: options as `Literal`, ranges as bounded numbers."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache, partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)

from wiro_dagster.catalogue.spec import TEXT_TYPES, InputSpec
from wiro_dagster.catalogue.suggestions import did_you_mean, listing, shown
from wiro_dagster.catalogue.upstream_file import FileInput
from wiro_dagster.catalogue.values import (
    find_number,
    find_option,
    number_text,
    plain_number,
    plain_wire_value,
    wire_text,
)


def annotation_for(spec: InputSpec) -> Any:
    """The pydantic type of one input's value."""
    if spec.type == "select" and spec.option_values:
        pick = partial(_pick_option, spec.option_values)
        return Annotated[Literal[spec.option_values], BeforeValidator(pick)]
    if spec.type == "range":
        low, high = (n if n is None else plain_number(n) for n in (spec.minimum, spec.maximum))
        return Annotated[
            int | float,
            BeforeValidator(_read_number),
            Field(ge=low, le=high),
            AfterValidator(partial(_check_step, spec)),
        ]
    if spec.is_file:
        one = FileInput | str
        return one if spec.takes_one_file else tuple[one, ...] | one
    if spec.type in TEXT_TYPES or spec.type == "select":
        return Annotated[str, BeforeValidator(wire_text)]
    return Annotated[Any, BeforeValidator(plain_wire_value)]


@lru_cache(maxsize=4096)
def _adapter_for(spec: InputSpec) -> TypeAdapter[Any]:
    return TypeAdapter(annotation_for(spec))


def read_value(spec: InputSpec, given: object) -> Any:
    """A value of an input that takes no files, as it goes over the wire.

    Raises:
        ValueError: the input does not take it; the message names the value and what is allowed.
    """
    try:
        return _adapter_for(spec).validate_python(given)
    except ValidationError as error:
        raise ValueError(_explanation(spec, given, error)) from error


def _pick_option(options: tuple[str, ...], given: object) -> object:
    option = find_option(given, options)
    return given if option is None else option


def _read_number(given: object) -> object:
    number = find_number(given)
    if number is None:
        raise ValueError("a number is needed")
    return plain_number(number)


def _check_step(spec: InputSpec, value: float) -> float:
    number = find_number(value) or Decimal(0)
    if not spec.step or (spec.default is not None and number == find_number(spec.default)):
        return value  # a documented default is right even between the steps
    steps = (Fraction(number) - Fraction(spec.minimum or 0)) / Fraction(spec.step)
    if steps.denominator != 1:
        raise ValueError("between the steps")
    return value


def _explanation(spec: InputSpec, given: object, error: ValidationError) -> str:
    if spec.type == "select" and spec.option_values:
        near = did_you_mean(given, spec.option_values) if isinstance(given, str) else ""
        return f"{shown(given)} is not allowed.{near} Allowed: {listing(spec.option_values)}."
    if spec.type == "range":
        return f"{shown(given)} is not allowed. {describe_range(spec)}"
    reason = error.errors(include_url=False)[0]
    return f"{shown(given)} cannot be sent: {reason.get('ctx', {}).get('error', reason['msg'])}."


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


def build_input_model(
    slug: str, specs: tuple[InputSpec, ...], check: Callable[[Any], Any]
) -> type[BaseModel]:
    """A pydantic class with one field for each input, by its wire name.

    An input whose name cannot be a Python attribute gets a field `input_N` with that alias.

    Args:
        slug: the model; the class is named after it.
        specs: the model's inputs.
        check: called with the values given, by wire name, before the fields are read; it returns
            the values to read, or raises ValueError.
    """

    class Inputs(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

        @model_validator(mode="before")
        @classmethod
        def check_all(cls, given: Any) -> Any:
            return check(given)

    fields: dict[str, Any] = {}
    for spec in specs:
        for name in spec.names:
            value_type: Any = str if name == spec.url_id else annotation_for(spec)
            is_needed = spec.required and not spec.is_file and spec.default is None
            fields[name if _is_attribute(name) else f"input_{len(fields) + 1}"] = (
                value_type if is_needed else value_type | None,
                Field(
                    default=... if is_needed else None,
                    alias=name,
                    title=spec.label or None,
                    description=spec.note or None,
                ),
            )
    words = re.findall(r"[a-zA-Z0-9]+", slug)
    name = "".join(word.capitalize() for word in words) + "Inputs"
    return create_model(name, __base__=Inputs, __doc__=f"The inputs of {slug}.", **fields)


def _is_attribute(name: str) -> bool:
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and not name.startswith(("_", "model_"))
        and not hasattr(BaseModel, name)
    )
