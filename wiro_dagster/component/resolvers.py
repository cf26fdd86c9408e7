"""How the fields of a `defs.yaml` are resolved; secrets without reading them.

Dagster's UI shows the settings of resources. A secret must therefore stay the name of its
environment variable: `"{{ env.WIRO_API_KEY }}"` becomes `dg.EnvVar("WIRO_API_KEY")`. That takes a
resolver of the whole part, because Dagster hands the resolver of a single field the rendered value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import dagster as dg
from pydantic import BaseModel, create_model

from wiro_dagster.errors import ConfigurationError

_ENV = re.compile(r"""\{\{\s*env(?:\.(\w+)|\(\s*["'](\w+)["']\s*\))\s*\}\}""")


@dataclass(frozen=True)
class BareSecret:
    """A secret that the file contains. Its value is not kept, so that no error can show it.

    Args:
        setting: which one, such as `account.api_key`.
        place: file and line.
    """

    setting: str
    place: str


def resource_model(title: str, *resources: type[BaseModel], **changed: Any) -> type[BaseModel]:
    """Derive what YAML may contain from the fields of resources, with their descriptions.

    Args:
        title: names the part in the schema.
        resources: whose fields.
        changed: annotation and default of fields that differ in YAML; `None` leaves a field out.
    """
    fields: dict[str, Any] = {}
    for resource in resources:
        for name, field in resource.model_fields.items():
            kind: Any = field.annotation
            for constraint in field.metadata:
                kind = Annotated[kind, constraint]
            fields[name] = (kind | str, field)
    fields = {name: field for name, field in (fields | changed).items() if field is not None}
    model: type[BaseModel] = create_model(title, __base__=dg.Model, **fields)
    return model


def described(text: str, *examples: Any, by: dg.Resolver | None = None) -> dg.Resolver:
    """Build the resolver of a field, with what editors show.

    Args:
        text: description of the field.
        examples: values of the field.
        by: resolves the field; Dagster does it by default.
    """
    shown: dg.Resolver = dg.Resolver.default(description=text, examples=list(examples) or None)
    return shown if by is None else cast("dg.Resolver", by.with_outer_resolver(shown))


def part_resolver(
    model: type[BaseModel],
    build: Callable[..., Any],
    *,
    secrets: Collection[str] = (),
    urls: Collection[str] = (),
) -> dg.Resolver:
    """Build the resolver of a part that holds secrets.

    Args:
        model: what YAML may contain.
        build: makes the value from the given fields.
        secrets: fields that must name an environment variable.
        urls: fields that must name one if the URL has a password.
    """
    return dg.Resolver(
        partial(_resolve_part, build=build, secrets=secrets, urls=urls),
        model_field_type=model | None,
    )


def _resolve_part(
    context: dg.ResolutionContext,
    given: Any,
    *,
    build: Callable[..., Any],
    secrets: Collection[str],
    urls: Collection[str],
) -> Any:
    if given is None or isinstance(given, str):
        return given
    values: dict[str, Any] = {}
    for name in given.model_fields_set:
        here, value = context.at_path(name), getattr(given, name)
        is_secret = value is not None and name in secrets
        is_url = isinstance(value, str) and name in urls
        if is_secret or is_url:
            values[name] = _resolve_secret(here, value, is_url=is_url)
            if isinstance(values[name], BareSecret):
                return values[name]
        else:
            values[name] = here.resolve_value(value)
    return build(**values)


def _resolve_secret(context: dg.ResolutionContext, value: str, *, is_url: bool) -> Any:
    match = _ENV.fullmatch(value.strip())
    if match is not None:
        return dg.EnvVar(match[1] or match[2])
    setting = ".".join(str(part) for part in context.path if part != "attributes")
    bare = BareSecret(setting, find_place(context))
    if not is_url:
        return bare
    url = context.resolve_value(value)
    return bare if isinstance(url, str) and urlsplit(url).password else url


def refuse_bare_secret(value: object) -> None:
    """Refuse a part that held a secret.

    Raises:
        ConfigurationError: it did; the message names the field, not the value.
    """
    if isinstance(value, BareSecret):
        raise ConfigurationError(
            f"{value.place}: {value.setting} holds a secret, which Dagster's UI would show. Put it "
            'into an environment variable, and write the name of that: "{{ env.NAME }}".'
        )


def find_place(context: dg.ResolutionContext) -> str:
    """Return file and line of what is being read from YAML."""
    lines = context.source_position_tree
    found = None if lines is None else lines.lookup_closest_and_path(context.path, None)[0]
    return "defs.yaml" if found is None else str(found)
