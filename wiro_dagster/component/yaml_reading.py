"""Parts of a `defs.yaml` made from the classes that they fill.

A class has its fields, their types, defaults and descriptions in one place; what YAML takes, what
editors show and what `dg check yaml` refuses follow from it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints
from urllib.parse import urlsplit

import dagster as dg
from pydantic import BaseModel, Field, TypeAdapter, create_model

from wiro_dagster.errors import ConfigurationError

_ENV = re.compile(r"""\{\{\s*env(?:\.(\w+)|\(\s*["'](\w+)["']\s*\))\s*\}\}""")
_ARGUMENT = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)
_AMOUNT = r"^\s*\d+(\.\d+)?\s*$|\{\{"
_TEXT = {"type": "string"}
_NULL = {"type": "null"}
_TEMPLATE = {"type": "string", "pattern": r"\{\{"}


@dataclass(frozen=True)
class BareSecret:
    """A secret that stands in the file itself. Its value is not kept, so no error can show it.

    Args:
        setting: which one, such as `account.api_key`.
        place: file and line.
    """

    setting: str
    place: str


@dataclass(frozen=True)
class Setting:
    """One field of a part.

    Args:
        type: what YAML may hold for it.
        description: for editors.
        default: `...` where it must be given.
        pattern: what a text must look like.
    """

    type: Any
    description: str
    default: Any = ...
    pattern: str | None = None


@dataclass(frozen=True)
class Part:
    """A mapping in a `defs.yaml`, and what it becomes.

    Args:
        title: names it in the schema.
        settings: its fields.
        examples: one value for each field whose default says nothing.
        build: makes the value from the fields that are given.
        secrets: fields that must be names of environment variables.
        urls: fields that must be such names where the URL has a password.
    """

    title: str
    settings: Mapping[str, Setting]
    examples: Mapping[str, Any]
    build: Callable[..., Any]
    secrets: Collection[str] = ()
    urls: Collection[str] = ()

    @property
    def model(self) -> type[BaseModel]:
        """What YAML may hold: each field's own type, or a template."""
        made: dict[str, Any] = {}
        for name, setting in self.settings.items():
            field: Any = Field(
                default=setting.default,
                description=setting.description,
                examples=self._list_examples(name, setting),
                json_schema_extra=_pattern(setting.pattern),
            )
            made[name] = (setting.type | str, field)
        model: type[BaseModel] = create_model(self.title, __base__=dg.Model, **made)
        return model

    def resolver(
        self, description: str, *, examples: list[Any], pattern: str | None = None
    ) -> dg.Resolver:
        """How a component's field is read from this part.

        Args:
            description: for editors.
            examples: values of the whole part.
            pattern: what a text must look like where one can stand for the part; it is left as it
                is. Without it only a template can.
        """
        return dg.Resolver(
            self._resolve,
            model_field_type=self.model | None,
            description=description,
            examples=examples,
            json_schema_extra=_pattern(pattern),
        )

    def _resolve(self, context: dg.ResolutionContext, given: Any) -> Any:
        if given is None or isinstance(given, str):
            return given
        values: dict[str, Any] = {}
        for name in given.model_fields_set:
            value = self._resolve_field(context.at_path(name), name, getattr(given, name))
            if isinstance(value, BareSecret):
                return value
            values[name] = value
        return self.build(**values)

    def _resolve_field(self, context: dg.ResolutionContext, name: str, value: Any) -> Any:
        """A secret stays the name of its variable: Dagster's UI shows a resource's settings."""
        is_secret, is_url = name in self.secrets, name in self.urls
        if value is None or not (is_secret or is_url):
            return context.resolve_value(value)
        match = _ENV.fullmatch(value.strip())
        if match is not None:
            return dg.EnvVar(match[1] or match[2])
        path = ".".join(str(part) for part in context.path if part != "attributes")
        bare = BareSecret(path, find_place(context))
        if is_secret:
            return bare
        url = context.resolve_value(value)
        return bare if isinstance(url, str) and urlsplit(url).password else url

    def _list_examples(self, name: str, setting: Setting) -> list[Any]:
        if name in self.examples:
            return [self.examples[name]]
        choices = [choice for choice in get_args(setting.type) if isinstance(choice, str)]
        return choices or [setting.default]


def refuse_bare_secret(value: Any) -> None:
    """Refuses the value of a part that held a secret.

    Raises:
        ConfigurationError: it did; the message shows the field, not the value.
    """
    if isinstance(value, BareSecret):
        raise ConfigurationError(
            f"{value.place}: {value.setting} holds a secret, which Dagster's UI would show. Put it "
            'into an environment variable, and write the name of that: "{{ env.NAME }}".'
        )


def find_place(context: dg.ResolutionContext) -> str:
    """File and line of what is being read from YAML."""
    lines = context.source_position_tree
    found = None if lines is None else lines.lookup_closest_and_path(context.path, None)[0]
    return "defs.yaml" if found is None else str(found)


def resource_settings(resource: type[BaseModel], *skipped: str) -> dict[str, Setting]:
    """The fields of a `ConfigurableResource`; amounts of money may be numbers in YAML."""
    made: dict[str, Setting] = {}
    for name, field in resource.model_fields.items():
        if name not in skipped:
            kind: Any = field.annotation
            for constraint in field.metadata:
                kind = Annotated[kind, constraint]
            pattern = None
            if name.endswith("_usd"):
                kind, pattern = float | str | None, _AMOUNT
            default = ... if field.is_required() else field.get_default(call_default_factory=True)
            made[name] = Setting(kind, field.description or "", default, pattern)
    return made


def _pattern(pattern: str | None) -> dict[str, Any] | None:
    return None if pattern is None else {"pattern": pattern}


def dataclass_settings(made: type) -> dict[str, Setting]:
    """The fields of a dataclass, described by the arguments in its docstring."""
    described, types = argument_descriptions(made), get_type_hints(made)
    settings: dict[str, Setting] = {}
    for field in fields(made):
        default = ... if field.default is MISSING else field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        settings[field.name] = Setting(types[field.name], described.get(field.name, ""), default)
    return settings


def build_dataclass(made: type) -> Callable[..., Any]:
    """Makes a dataclass of what a part holds, with each value checked against its type."""
    adapter: TypeAdapter[Any] = TypeAdapter(made)

    def build(**values: Any) -> Any:
        return adapter.validate_python(values)

    return build


def argument_descriptions(made: type) -> dict[str, str]:
    """What a Google-style docstring says of each argument, as sentences."""
    text = (inspect.getdoc(made) or "").partition("Args:\n")[2]
    found: dict[str, str] = {}
    for name, words in _ARGUMENT.findall(text):
        sentence = " ".join(words.split())
        found[name] = sentence[0].upper() + sentence[1:]
    return found


@cache
def with_exact_schema(model: type[BaseModel]) -> type[BaseModel]:
    """A component's model with a JSON schema by which errors point at the very line.

    Dagster lets a text stand for every field, since it may be a template. A validator can then only
    say that a whole mapping fits nothing. Here a text must be a template unless the field is one
    itself, and everything else is held against the field's own type.
    """

    class Exact(model):  # type: ignore[misc, valid-type]
        @classmethod
        def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
            return _exact_table(super().model_json_schema(*args, **options))

    Exact.__name__ = model.__name__
    return Exact


def _exact_table(schema: dict[str, Any]) -> dict[str, Any]:
    tables = {name: _exact_table(table) for name, table in schema.get("$defs", {}).items()}
    properties = {name: _exact_field(field) for name, field in schema.get("properties", {}).items()}
    return {**schema, "properties": properties, **({"$defs": tables} if tables else {})}


def _exact_field(field: dict[str, Any]) -> dict[str, Any]:
    choices = field.get("anyOf", [])
    own = [choice for choice in choices if choice not in (_TEXT, _NULL)]
    if not own or _TEXT not in choices:
        return field
    simple = [_TEXT if "pattern" in field else _TEMPLATE, *(c for c in choices if c == _NULL)]
    rest = {name: value for name, value in field.items() if name != "anyOf"}
    return {**rest, "if": _any_of(simple), "else": _any_of(own)}


def _any_of(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return choices[0] if len(choices) == 1 else {"anyOf": choices}
