"""What one input of a model may be, and the rules between inputs. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

FILE_TYPES = frozenset({"fileinput", "multifileinput", "combinefileinput"})
TEXT_TYPES = frozenset({"text", "textarea"})
INPUT_TYPES = FILE_TYPES | TEXT_TYPES | {"select", "range", "any"}
"""The parameter types that Wiro documents, and our `any`. Values of `any`, and of a type that is
not listed here, are sent without a look at them."""


@dataclass(frozen=True, slots=True)
class InputOption:
    """One value that a `select` takes."""

    value: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a model.

    Args:
        id: the input's name on the wire.
        type: Wiro's parameter type.
        required: whether a run without it is refused.
        default: what is sent where nothing is given; never set for files.
        options: the values of a `select`; empty where Wiro lists none, so that any text passes.
        minimum: the smallest number of a `range`.
        maximum: the largest number of a `range`.
        step: the distance between the numbers of a `range`, counted from `minimum`.
        label: Wiro's label.
        note: Wiro's explanation.
    """

    id: str
    type: str
    required: bool = False
    default: str | None = None
    options: tuple[InputOption, ...] = ()
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    step: Decimal | None = None
    label: str = ""
    note: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it takes files and URLs of files."""
        return self.type in FILE_TYPES

    @property
    def url_id(self) -> str | None:
        """The wire name for URLs where they have one of their own; `None` where they do not."""
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
    """A rule between inputs: where all of `when` holds, `input` must be one of `allowed`.

    Args:
        when: pairs of an input and the values for which the rule applies.
        input: the input that is limited then.
        allowed: the values it may still have.
        because: why, as a sentence without a full stop.
    """

    when: tuple[tuple[str, tuple[str, ...]], ...]
    input: str
    allowed: tuple[str, ...]
    because: str = ""
