"""What a change of a model's inputs means for prompts that exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from wiro_dagster.catalogue import Catalogue, ModelSchema
from wiro_dagster.prompts.prompt import Prompt, fingerprint_of
from wiro_dagster.prompts.prompt_file import PromptFile
from wiro_dagster.prompts.schema_change import SchemaChange, list_differences


def list_changes(
    found: PromptFile, catalogue: Catalogue, load: Callable[[Catalogue], PromptFile]
) -> tuple[SchemaChange, ...]:
    """What Wiro's changes of models mean for prompts, wherever they come from.

    They are read once more with the models as they were: what was right then and is not now, or
    would be another video now, was changed by Wiro and not by a person.

    Args:
        found: the prompts, just read with this catalogue.
        catalogue: knows how models have changed.
        load: reads them with another catalogue.

    Returns:
        The changes that concern a prompt, by model.
    """
    changes = [change for slug in found.models if (change := catalogue.find_change(slug))]
    known = [change for change in changes if not change.is_stated]
    before = found
    if known:
        before = load(catalogue.with_schemas(change.old for change in known))
    described: list[SchemaChange] = []
    for change in changes:
        if change.is_stated:
            prompts = _taken_by(change.old, found.prompts.values())
            told = describe_change(change.old, change.new, prompts)
            # What is sent is what the catalogue states: no default of Wiro's is in it.
            described.append(replace(told, renewed=(), is_stated=True))
        else:
            described.append(describe_change(change.old, change.new, before.prompts.values()))
    return tuple(change for change in described if change.broken or change.renewed)


def _taken_by(schema: ModelSchema, prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    """Prompts that Wiro took by its own account; an entry may take others on purpose."""
    for prompt in prompts:
        if prompt.model_slug == schema.slug and not schema.validate(prompt.inputs)[1]:
            yield prompt


def describe_change(old: ModelSchema, new: ModelSchema, prompts: Iterable[Prompt]) -> SchemaChange:
    """Compares two schemas of one model, and holds existing prompts against the new one.

    Args:
        old: the schema that the prompts were checked with.
        new: the schema that counts now.
        prompts: those of other models are passed over.
    """
    broken: dict[str, tuple[str, ...]] = {}
    renewed: list[str] = []
    for prompt in prompts:
        if prompt.model_slug != new.slug:
            continue
        inputs, problems = new.validate(_without_old_defaults(prompt, old, new))
        if problems:
            broken[prompt.id] = problems
        elif fingerprint_of(new.slug, inputs, prompt.take) != prompt.fingerprint:
            renewed.append(prompt.id)
    return SchemaChange(new.slug, tuple(list_differences(old, new)), broken, tuple(renewed))


def _without_old_defaults(prompt: Prompt, old: ModelSchema, new: ModelSchema) -> dict[str, object]:
    """The prompt's inputs as a file would give them that leaves changed defaults out.

    A prompt does not say whether a value was written or was a default. Where the default is
    another now, the value is taken for the default: a warning too many costs nothing.
    """
    inputs = dict(prompt.inputs)
    for spec in old.inputs or ():
        was_default = spec.default is not None and str(inputs.get(spec.id)) == spec.default
        now = new.find_input(spec.id)
        if was_default and (now is None or now.default != spec.default):
            del inputs[spec.id]
    return inputs
