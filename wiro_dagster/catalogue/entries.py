"""Catalogue entries: schemas as YAML or JSON files, in the package and in a user's project.

slug: acme/slow-pan
output: video              # video, image, audio, text or file
prompt: prompt             # the input that carries the prompt; null where there is none
inputs:                    # null where they are not known
  - {id: prompt, type: textarea, required: true}
  - {id: image, type: fileinput}
  - {id: resolution, type: select, default: 768P, options: [768P, 1080P]}
  - {id: duration, type: select, default: 6, options: [6, 10]}
  - {id: speed, type: range, min: 0.5, max: 2, step: 0.5}
rules:
  - {when: {resolution: 1080P}, allow: {duration: 6}, because: 1080P makes short videos only}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from wiro_dagster.catalogue.detail import settled_specs, unvalidated_note
from wiro_dagster.catalogue.plain_text_file import parse_json, parse_yaml, read_text_file
from wiro_dagster.catalogue.schema import (
    ModelSchema,
    OutputKind,
    SchemaSource,
    find_prompt_input,
)
from wiro_dagster.catalogue.slugs import find_slug
from wiro_dagster.catalogue.spec import INPUT_TYPES, InputOption, InputRule, InputSpec
from wiro_dagster.catalogue.suggestions import shown
from wiro_dagster.catalogue.values import number_text
from wiro_dagster.errors import InputError

_SUFFIXES = {".yaml", ".yml", ".json"}
_MESSAGES = {
    "missing": "this key is missing",
    "extra_forbidden": "there is no such key",
    "model_type": "keys and values are needed here",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Option(_Strict):
    value: str
    label: str = ""


def _as_option(value: Any) -> Any:
    return {"value": value} if isinstance(value, str) else value


class _Input(_Strict):
    id: str = Field(min_length=1)
    type: Literal[
        "text",
        "textarea",
        "select",
        "range",
        "fileinput",
        "multifileinput",
        "combinefileinput",
        "any",
    ]
    required: bool = False
    default: str | None = None
    options: tuple[Annotated[_Option, BeforeValidator(_as_option)], ...] = ()
    minimum: Decimal | None = Field(None, alias="min")
    maximum: Decimal | None = Field(None, alias="max")
    step: Decimal | None = None
    label: str = ""
    note: str = ""


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_Values = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class _Rule(_Strict):
    when: dict[str, _Values] = Field(min_length=1)
    allow: dict[str, _Values] = Field(min_length=1)
    because: str = ""


class _Entry(_Strict):
    slug: str
    title: str | None = None
    output: OutputKind | None = None
    prompt: str | None = None
    inputs: tuple[_Input, ...] | None
    rules: tuple[_Rule, ...] = ()
    notes: tuple[str, ...] = ()


def schema_from_entry(entry: object, *, file: str, source: SchemaSource = "entry") -> ModelSchema:
    """The schema that an entry states.

    Args:
        entry: the entry as parsed, every value a text.
        file: its file, for messages.
        source: what the schema says of its origin.

    Raises:
        InputError: one line for each thing that is wrong.
    """
    try:
        stated = _Entry.model_validate(entry)
    except ValidationError as error:
        raise InputError(*(_problem(file, detail) for detail in error.errors())) from error
    slug = find_slug(stated.slug)
    if slug is None or slug != stated.slug:
        raise InputError(f"{file}: slug: {shown(stated.slug)} is not a lower-case owner/model.")
    problems: list[str] = []
    specs = None
    if stated.inputs is not None:
        specs = settled_specs(map(_spec_from, stated.inputs), problems)
    rules = tuple(rule for stated_rule in stated.rules for rule in _rules_from(stated_rule))
    prompt = stated.prompt
    if "prompt" not in stated.model_fields_set:
        prompt = "prompt" if specs is None else find_prompt_input(specs)
    problems += _unknown_names(specs, rules, prompt)
    if problems:
        raise InputError(*(f"{file}: {problem}" for problem in problems))
    return ModelSchema(
        slug=slug,
        inputs=specs,
        prompt_input=prompt,
        rules=rules,
        title=stated.title,
        output_kind=stated.output,
        notes=stated.notes or ((unvalidated_note(slug),) if specs is None else ()),
        source=source,
    )


def entry_from_schema(schema: ModelSchema) -> dict[str, Any]:
    """A schema as an entry: plain values, what is unstated left out."""
    entry: dict[str, Any] = {"slug": schema.slug}
    if schema.title:
        entry["title"] = schema.title
    if schema.output_kind:
        entry["output"] = schema.output_kind
    entry["prompt"] = schema.prompt_input
    entry["inputs"] = None if schema.inputs is None else [_spec_entry(s) for s in schema.inputs]
    if schema.rules:
        entry["rules"] = [
            {
                "when": {name: list(values) for name, values in rule.when},
                "allow": {rule.input: list(rule.allowed)},
                "because": rule.because,
            }
            for rule in schema.rules
        ]
    if schema.notes:
        entry["notes"] = list(schema.notes)
    return entry


def load_entries(folder: Path) -> tuple[ModelSchema, ...]:
    """The schemas of all entries in a folder, by file name.

    Raises:
        InputError: the folder is missing, an entry is wrong, or two are for one model.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}. Make it, or correct the path.")
    schemas: dict[str, ModelSchema] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _SUFFIXES:
            continue
        schema = load_entry(path)
        if schema.slug in schemas:
            raise InputError(f"{path}: another file here is for {schema.slug} too. Keep one.")
        schemas[schema.slug] = schema
    return tuple(schemas.values())


def load_entry(path: Path) -> ModelSchema:
    """The schema of one entry file.

    Raises:
        InputError: it cannot be read, or is wrong.
    """
    parse = parse_json if path.suffix.lower() == ".json" else parse_yaml
    return schema_from_entry(parse(read_text_file(path), str(path)), file=str(path))


def save_entry(
    schema: ModelSchema, folder: Path, *, file_format: Literal["yaml", "json"] = "yaml"
) -> Path:
    """Writes a schema as an entry file named after its model, over an older one of that name.

    Returns:
        The file written.
    """
    entry = entry_from_schema(schema)
    if file_format == "json":
        text = json.dumps(entry, indent=2, ensure_ascii=False) + "\n"
    else:
        text = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=100)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{schema.slug.replace('/', '__')}.{file_format}"
    staged = path.with_suffix(".tmp")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)
    return path


@lru_cache(maxsize=1)
def load_builtin_entries() -> tuple[ModelSchema, ...]:
    """The schemas that the package brings with it."""
    return tuple(sorted(_builtin_schemas(), key=lambda schema: schema.slug))


def _builtin_schemas() -> Iterator[ModelSchema]:
    for file in resources.files("wiro_dagster.catalogue.models").iterdir():
        if file.name.endswith(".json"):
            entry = parse_json(file.read_text(encoding="utf-8"), file.name)
            yield schema_from_entry(entry, file=file.name, source="builtin")


def _problem(file: str, detail: Mapping[str, Any]) -> str:
    parts = (str(part + 1 if isinstance(part, int) else part) for part in detail["loc"])
    field = ".".join(parts) or "the whole file"
    message = _MESSAGES.get(detail["type"], detail["msg"])
    given = "" if isinstance(detail["input"], dict) else f" (given: {shown(detail['input'])})"
    return f"{file}: {field}: {message}{given}."


def _spec_from(stated: _Input) -> InputSpec:
    options = tuple(InputOption(option.value, option.label) for option in stated.options)
    return InputSpec(**{**dict(stated), "options": options})


def _spec_entry(spec: InputSpec) -> dict[str, Any]:
    kind = spec.type if spec.type in INPUT_TYPES else "any"
    entry: dict[str, Any] = {"id": spec.id, "type": kind}
    if spec.required:
        entry["required"] = True
    if spec.default is not None:
        entry["default"] = spec.default
    if spec.options:
        entry["options"] = [
            option.value
            if option.label in {"", option.value}
            else {"value": option.value, "label": option.label}
            for option in spec.options
        ]
    bounds = {"min": spec.minimum, "max": spec.maximum, "step": spec.step}
    entry |= {name: number_text(bound) for name, bound in bounds.items() if bound is not None}
    return entry | {key: text for key in ("label", "note") if (text := getattr(spec, key))}


def _rules_from(stated: _Rule) -> Iterator[InputRule]:
    for name, allowed in stated.allow.items():
        yield InputRule(tuple(stated.when.items()), name, allowed, stated.because)


def _unknown_names(
    specs: tuple[InputSpec, ...] | None, rules: tuple[InputRule, ...], prompt: str | None
) -> list[str]:
    if specs is None:
        return []
    known = {spec.id for spec in specs}
    named = [("rules", name) for rule in rules for name in (rule.input, *dict(rule.when))]
    if prompt is not None:
        named.append(("prompt", prompt))
    return [f"{key}: there is no input {shown(name)}." for key, name in named if name not in known]
