"""Rules between the inputs of a model. Validators and serializers concern catalogue entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer

from wiro_dagster.api.inputs import STRICT


def _as_pairs(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return [(name, [v] if isinstance(v, str) else v) for name, v in value.items()]


_Choices = Annotated[
    tuple[tuple[str, Annotated[tuple[str, ...], Field(min_length=1)]], ...],
    BeforeValidator(_as_pairs),
    Field(min_length=1),
    PlainSerializer(lambda pairs: {name: list(values) for name, values in pairs}),
]


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
