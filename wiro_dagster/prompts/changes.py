"""What a change of a model's inputs means for prompts that exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from wiro_dagster.catalogue import Catalogue, ModelSchema
from wiro_dagster.prompts.prompt import Prompt
from wiro_dagster.prompts.prompt_file import PromptFile, SchemaChange, list_differences


def list_changes(
    found: PromptFile, catalogue: Catalogue, load: Callable[[Catalogue], PromptFile]
) -> tuple[SchemaChange, ...]:
    """List what Wiro's changes of models mean for prompts, wherever they come from.

    The prompts are read once more with the models as they were: what was right then and is wrong
    now, or would be sent with other inputs now, was changed by Wiro and not in the file.

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
            change_of_entry = describe_change(change.old, change.new, prompts)
            # What is sent is what the catalogue states: no default of Wiro's is in it.
            described.append(replace(change_of_entry, altered=(), is_stated=True))
        else:
            described.append(describe_change(change.old, change.new, before.prompts.values()))
    return tuple(change for change in described if change.broken or change.altered)


def _taken_by(schema: ModelSchema, prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    """The prompts that fit what Wiro stated; an entry may allow others on purpose."""
    for prompt in prompts:
        if prompt.model_slug == schema.slug and not schema.validate(prompt.inputs)[1]:
            yield prompt


def describe_change(old: ModelSchema, new: ModelSchema, prompts: Iterable[Prompt]) -> SchemaChange:
    """Compare two schemas of one model, and check existing prompts with the new one.

    Args:
        old: the schema that the prompts were checked with.
        new: the schema that counts now.
        prompts: those of other models are left out.
    """
    broken: dict[str, tuple[str, ...]] = {}
    altered: list[str] = []
    for prompt in prompts:
        if prompt.model_slug != new.slug:
            continue
        given = {n: v for n, v in prompt.inputs.items() if n not in prompt.wiro_defaults}
        inputs, problems = new.validate(given)
        if problems:
            broken[prompt.id] = problems
        elif inputs != prompt.inputs:
            altered.append(prompt.id)
    return SchemaChange(new.slug, tuple(list_differences(old, new)), broken, tuple(altered))
