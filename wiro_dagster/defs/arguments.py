"""Check the arguments of our definitions when they are made, as Dagster does with its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from types import GenericAlias, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, InstanceOf, ValidationError, create_model

from wiro_dagster.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PLAIN = (str, int, float, bool, type(None), Any)
_CONFIG = ConfigDict(arbitrary_types_allowed=True, strict=True)


def refuse_wrong_arguments(made: DataclassInstance) -> None:
    """Refuse the values of a dataclass that do not fit their annotations.

    Raises:
        ConfigurationError: a value does not fit; the message names the argument.
    """
    model = _argument_model(type(made))
    try:
        model.model_validate({name: getattr(made, name) for name in model.model_fields})
    except ValidationError as error:
        raise ConfigurationError(_explain(made, error)) from None


@cache
def _argument_model(made: type[DataclassInstance]) -> type[BaseModel]:
    hints = get_type_hints(made)
    checked: dict[str, Any] = {
        field.name: (_by_instance(hints[field.name]), ...)
        for field in fields(made)
        if not _has_protocol(hints[field.name])
    }
    model: type[BaseModel] = create_model(made.__name__, __config__=_CONFIG, **checked)
    return model


def _by_instance(hint: Any) -> Any:
    """Return an annotation by which Dagster's and our own classes are checked, but not rebuilt."""
    origin: Any = get_origin(hint)
    inner = tuple(_by_instance(kind) for kind in get_args(hint))
    if origin in (Union, UnionType):
        return Union[inner]  # noqa: UP007, the members are computed
    if origin in (Sequence, Mapping):
        return GenericAlias(origin, inner)
    if isinstance(hint, type) and hint not in _PLAIN:
        return InstanceOf[hint]  # type: ignore[misc]
    return hint


def _has_protocol(hint: Any) -> bool:
    """Return whether only using a value shows that it fits."""
    return any(getattr(kind, "_is_protocol", False) for kind in get_args(hint) or (hint,))


def _explain(made: DataclassInstance, error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = str(problem["loc"][0])
    reason = problem["msg"][:1].lower() + problem["msg"][1:]
    return f"{name} is {getattr(made, name)!r}, which is not valid: {reason}."
