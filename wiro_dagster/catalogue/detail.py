"""A model as Wiro describes it in Tool/Detail, as a schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from wiro_dagster.api.inputs import FILE_TYPES, INPUT_TYPES, InputSpec
from wiro_dagster.api.models import ModelDetail
from wiro_dagster.catalogue.reading import read_value
from wiro_dagster.catalogue.schema import ModelSchema, OutputKind, find_prompt_input
from wiro_dagster.catalogue.suggestions import shown

_KIND_WORDS: tuple[tuple[str, OutputKind], ...] = (
    ("video", "video"),
    ("image", "image"),
    ("speech", "audio"),
    ("audio", "audio"),
    ("music", "audio"),
    ("voice", "audio"),
    ("song", "audio"),
    ("text", "text"),
    ("llm", "text"),
    ("chat", "text"),
)


def schema_from_model_detail(detail: ModelDetail) -> ModelSchema:
    """Return the schema of a model from Tool/Detail.

    What Wiro states wrongly is left out and named in the schema's notes: a second input of the
    same name, a default that the input itself would refuse, a minimum above its maximum.
    """
    kind = find_output_kind(detail.categories)
    if detail.inputs is None:
        return ModelSchema(
            slug=detail.slug,
            inputs=None,
            prompt_input="prompt",
            title=detail.title,
            output_kind=kind,
            notes=(unvalidated_note(detail.slug),),
        )
    notes: list[str] = []
    specs = settled_specs(detail.inputs, notes)
    return ModelSchema(
        slug=detail.slug,
        inputs=specs,
        prompt_input=find_prompt_input(specs),
        title=detail.title,
        output_kind=kind,
        notes=tuple(notes),
    )


def unvalidated_note(slug: str) -> str:
    """Return what users must know of a model whose inputs Wiro does not list."""
    return (
        f"the inputs of {slug} cannot be validated, because Wiro does not list them. They are sent "
        "as they are written; find their names on the model's page."
    )


def find_output_kind(categories: Iterable[str]) -> OutputKind | None:
    """Return what a model makes by its categories, if they say so."""
    words = [category.strip().lower() for category in categories]
    made = [word.rpartition("-to-")[2] for word in words if "-to-" in word]
    for candidates in (made, words):
        for word, kind in _KIND_WORDS:
            if any(word in candidate for candidate in candidates):
                return kind
    return None


def settled_specs(found: Iterable[InputSpec], notes: list[str]) -> tuple[InputSpec, ...]:
    """Return specs without what contradicts itself, which is added to `notes`."""
    specs: dict[str, InputSpec] = {}
    for spec in found:
        if spec.id in specs:
            notes.append(f"{spec.id} is listed twice; the first counts.")
            continue
        specs[spec.id] = _settled(spec, notes)
    twins = {spec.url_id for spec in specs.values()} - {None}
    return tuple(spec for spec in specs.values() if spec.id not in twins)


def _settled(spec: InputSpec, notes: list[str]) -> InputSpec:
    if spec.type not in INPUT_TYPES:
        notes.append(f"{spec.id} has the unknown type {shown(spec.type)} and is not validated.")
    if spec.minimum is not None and spec.maximum is not None and spec.minimum > spec.maximum:
        notes.append(f"{spec.id} has a minimum above its maximum; neither is validated.")
        spec = replace(spec, minimum=None, maximum=None)
    if spec.step is not None and spec.step <= 0:
        spec = replace(spec, step=None)
    if spec.default is None or not spec.default.strip():
        return replace(spec, default=None)
    if spec.type in FILE_TYPES:
        return replace(spec, default=None)  # only an example file
    try:
        read_value(spec, spec.default)
    except ValueError:
        notes.append(f"{spec.id} has the default {shown(spec.default)}, which it does not take.")
        return replace(spec, default=None)
    return spec
