"""What one input of a model takes, and the rules between inputs.

The same frozen values are what the code works with and what a catalogue entry holds: a validator
or an alias here concerns the reading of entries only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainSerializer

from wiro_dagster.catalogue.suggestions import listing
from wiro_dagster.catalogue.values import number_text

FILE_TYPES = frozenset({"fileinput", "multifileinput", "combinefileinput"})
TEXT_TYPES = frozenset({"text", "textarea"})
INPUT_TYPES = FILE_TYPES | TEXT_TYPES | {"select", "range", "any"}
"""The parameter types that Wiro documents, and our `any`. Values of `any`, and of a type that is
not listed here, are sent unchecked."""

STRICT = ConfigDict(extra="forbid")


def _as_option(value: Any) -> Any:
    return {"value": value} if isinstance(value, str) else value


def _known_type(value: str) -> str:
    if value not in INPUT_TYPES:
        raise ValueError(f"write one of {listing(sorted(INPUT_TYPES))}")
    return value


def _as_pairs(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return [(name, [v] if isinstance(v, str) else v) for name, v in value.items()]


_Bound = Annotated[Decimal | None, PlainSerializer(number_text, when_used="unless-none")]
_Choices = Annotated[
    tuple[tuple[str, Annotated[tuple[str, ...], Field(min_length=1)]], ...],
    BeforeValidator(_as_pairs),
    Field(min_length=1),
    PlainSerializer(lambda pairs: {name: list(values) for name, values in pairs}),
]


@dataclass(frozen=True, slots=True)
class InputOption:
    """One value that a `select` takes."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    value: str
    label: str = ""


_Option = Annotated[
    InputOption,
    BeforeValidator(_as_option),
    PlainSerializer(
        lambda option: (
            option.value
            if option.label in {"", option.value}
            else {"value": option.value, "label": option.label}
        )
    ),
]


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
    type: Annotated[
        str,
        AfterValidator(_known_type),
        PlainSerializer(lambda kind: kind if kind in INPUT_TYPES else "any"),
    ]
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


@dataclass(frozen=True, slots=True)
class InputRule:
    """A rule between inputs: if all of `when` holds, all of `allow` must.

    Args:
        when: pairs of an input and the values for which the rule applies.
        allow: pairs of an input and the values it may still have.
        because: why, as a sentence without a full stop.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    when: _Choices
    allow: _Choices
    because: str = ""
