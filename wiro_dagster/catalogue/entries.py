"""Catalogue entries: schemas as YAML or JSON files, in the package and in a user's project.

slug: acme/slow-pan
output: video              # video, image, audio, text or file
prompt: prompt             # the input that carries the prompt; null if there is none
inputs:                    # null if they are not known
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
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from wiro_dagster.api.inputs import INPUT_TYPES
from wiro_dagster.catalogue.detail import settled_specs, unvalidated_note
from wiro_dagster.catalogue.plain_text import parse_json, parse_yaml, read_text_file
from wiro_dagster.catalogue.schema import ModelSchema, SchemaSource, find_prompt_input
from wiro_dagster.catalogue.suggestions import find_slug, listing, shown
from wiro_dagster.errors import InputError

_SUFFIXES = {".yaml", ".yml", ".json"}
_MESSAGES = {
    "missing": "this key is missing",
    "extra_forbidden": "there is no such key",
    "unexpected_keyword_argument": "there is no such key",
    "dataclass_type": "keys and values are needed here",
}


def schema_from_entry(entry: object, *, file: str, source: SchemaSource = "entry") -> ModelSchema:
    """Return the schema that an entry states.

    Args:
        entry: the entry as parsed, every value a text.
        file: its file, for messages.
        source: what the schema says of its origin.

    Raises:
        InputError: one line for each thing that is wrong.
    """
    given = entry
    if isinstance(entry, Mapping) and "prompt" not in entry:
        given = {**entry, "prompt": None}
    try:
        stated = _schemas().validate_python(given)
    except ValidationError as error:
        raise InputError(*(_problem(file, detail) for detail in error.errors())) from error
    if find_slug(stated.slug) != stated.slug:
        raise InputError(f"{file}: slug: {shown(stated.slug)} is not a lower-case owner/model.")
    problems = _unknown_types(stated)
    if problems:
        raise InputError(*(f"{file}: {problem}" for problem in problems))
    specs = None if stated.inputs is None else settled_specs(stated.inputs, problems)
    prompt = stated.prompt_input
    if given is not entry:
        prompt = "prompt" if specs is None else find_prompt_input(specs)
    notes = stated.notes or ((unvalidated_note(stated.slug),) if specs is None else ())
    schema = replace(stated, inputs=specs, prompt_input=prompt, notes=notes, source=source)
    problems += _unknown_names(schema)
    if problems:
        raise InputError(*(f"{file}: {problem}" for problem in problems))
    return schema


def entry_from_schema(schema: ModelSchema) -> dict[str, Any]:
    """Return a schema as an entry: plain values, without what is not stated."""
    specs = schema.inputs
    if specs is not None:
        specs = tuple(s if s.type in INPUT_TYPES else replace(s, type="any") for s in specs)
    entry: dict[str, Any] = _schemas().dump_python(
        replace(schema, inputs=specs), mode="json", by_alias=True, exclude_defaults=True
    )
    return entry


@lru_cache(maxsize=1)
def _schemas() -> TypeAdapter[ModelSchema]:
    return TypeAdapter(ModelSchema)


def load_entries(folder: Path) -> tuple[ModelSchema, ...]:
    """Return the schemas of all entries in a folder, by file name.

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
    """Return the schema of one entry file.

    Raises:
        InputError: it cannot be read, or is wrong.
    """
    parse = parse_json if path.suffix.lower() == ".json" else parse_yaml
    return schema_from_entry(parse(read_text_file(path), str(path)), file=str(path))


def save_entry(
    schema: ModelSchema, folder: Path, *, file_format: Literal["yaml", "json"] = "yaml"
) -> Path:
    """Write a schema as an entry file named after its model, over an older one of that name.

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
    """Return the schemas that come with the package."""
    return tuple(sorted(_builtin_schemas(), key=lambda schema: schema.slug))


def _builtin_schemas() -> Iterator[ModelSchema]:
    for file in resources.files("wiro_dagster.catalogue.models").iterdir():
        if file.name.endswith(".json"):
            entry = parse_json(file.read_text(encoding="utf-8"), file.name)
            yield schema_from_entry(entry, file=file.name, source="builtin")


def _problem(file: str, detail: Mapping[str, Any]) -> str:
    parts = (str(part + 1 if isinstance(part, int) else part) for part in detail["loc"])
    field = ".".join(parts) or "the whole file"
    message = _MESSAGES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    given = "" if isinstance(detail["input"], dict) else f" (given: {shown(detail['input'])})"
    return f"{file}: {field}: {message}{given}."


def _unknown_types(schema: ModelSchema) -> list[str]:
    return [
        f"inputs.{number}.type: write one of {listing(sorted(INPUT_TYPES))} "
        f"(given: {shown(spec.type)})."
        for number, spec in enumerate(schema.inputs or (), 1)
        if spec.type not in INPUT_TYPES
    ]


def _unknown_names(schema: ModelSchema) -> list[str]:
    if schema.inputs is None:
        return []
    known = {spec.id for spec in schema.inputs}
    pairs = [pair for rule in schema.rules for pair in (*rule.when, *rule.allow)]
    named = [("rules", name) for name, _ in pairs]
    if schema.prompt_input is not None:
        named.append(("prompt", schema.prompt_input))
    return [f"{key}: there is no input {shown(name)}." for key, name in named if name not in known]
