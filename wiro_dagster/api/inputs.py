"""What one input of a model takes: one shape for Wiro's answers, the cache and catalogue entries.

`read_inputs` translates Wiro's loose JSON. The aliases and serializers on the fields say how the
cache and the catalogue entries write the same values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer

from wiro_dagster.api.wire import (
    find_decimal,
    find_list,
    find_name,
    find_text,
    find_truth,
    read_objects,
    read_text,
)

FILE_TYPES = frozenset({"fileinput", "multifileinput", "combinefileinput"})
TEXT_TYPES = frozenset({"text", "textarea"})
INPUT_TYPES = FILE_TYPES | TEXT_TYPES | {"select", "range", "any"}
"""The parameter types that Wiro documents, and our `any`. Values of `any`, and of a type that is
not listed here, are sent unchecked."""

STRICT = ConfigDict(extra="forbid")


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


_Bound = Annotated[Decimal | None, PlainSerializer(_plain, when_used="unless-none")]


@dataclass(frozen=True, slots=True)
class InputOption:
    """One value that a `select` takes; without a label it is shown as it is."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    value: str
    label: str = ""


def _as_option(value: Any) -> Any:
    return {"value": value} if isinstance(value, str) else value


def _written(option: InputOption) -> str | dict[str, str]:
    if option.label in {"", option.value}:
        return option.value
    return {"value": option.value, "label": option.label}


_Option = Annotated[InputOption, BeforeValidator(_as_option), PlainSerializer(_written)]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a model.

    Args:
        id: the input's name on the wire.
        type: Wiro's parameter type.
        required: whether a run without it is refused.
        default: what is sent if nothing is given; never set for files.
        options: the values of a `select`; empty if Wiro lists none, so that any text passes.
        minimum: the smallest number of a `range`.
        maximum: the largest number of a `range`.
        step: the distance between the numbers of a `range`, counted from `minimum`.
        label: Wiro's label.
        note: Wiro's explanation.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: Annotated[str, Field(min_length=1)]
    type: str
    required: bool = False
    default: str | None = None
    options: tuple[_Option, ...] = ()
    minimum: Annotated[_Bound, Field(alias="min")] = None
    maximum: Annotated[_Bound, Field(alias="max")] = None
    step: _Bound = None
    label: str = ""
    note: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it takes files and URLs of files."""
        return self.type in FILE_TYPES

    @property
    def url_id(self) -> str | None:
        """The wire name for URLs if they have one of their own."""
        return f"{self.id}Url" if self.type in {"fileinput", "multifileinput"} else None

    @property
    def takes_one_file(self) -> bool:
        """Whether one file, or one URL, is the most it takes."""
        return self.type == "fileinput"

    @property
    def option_values(self) -> tuple[str, ...]:
        """The values of its options, without the empty one, which means "leave it out"."""
        return tuple(option.value for option in self.options if option.value)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which a value may be given."""
        return (self.id,) if self.url_id is None else (self.id, self.url_id)


def read_inputs(parameters: Any) -> tuple[InputSpec, ...] | None:
    """Return the inputs that a model's `parameters` declare; None if Wiro declares none.

    Args:
        parameters: groups of inputs, each under `items`, or inputs without groups around them.
    """
    if find_list(parameters) is None:
        return None
    groups = read_objects(parameters)
    if not any("items" in group for group in groups):
        groups = [{"items": groups}]
    items = (item for group in groups for item in read_objects(group.get("items")))
    specs = (_find_input(item) for item in items)
    return tuple(spec for spec in specs if spec is not None)


def _find_input(fields: Mapping[str, Any]) -> InputSpec | None:
    """Return one input; None if it has no name."""
    name = find_name(fields.get("id"))
    if name is None:
        return None
    return InputSpec(
        id=name,
        type=read_text(fields.get("type")).strip().lower(),
        required=find_truth(fields.get("required")) or False,
        default=find_text(fields.get("default")),
        options=tuple(_read_options(fields.get("options"))),
        minimum=find_decimal(fields.get("min")),
        maximum=find_decimal(fields.get("max")),
        step=find_decimal(fields.get("step")),
        label=read_text(fields.get("label")),
        note=read_text(fields.get("note")),
    )


def _read_options(options: Any) -> Iterator[InputOption]:
    for item in find_list(options) or ():
        fields = item if isinstance(item, Mapping) else {"value": item}
        value = find_text(fields.get("value"))
        if value is not None:
            label = find_name(fields.get("label")) or ""
            yield InputOption(value, "" if label == value else label)
