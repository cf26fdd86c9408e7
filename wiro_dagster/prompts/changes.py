"""What a change of a model's inputs means for prompts that exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wiro_dagster.catalogue import Catalogue, InputSpec, ModelSchema, SeenChange
from wiro_dagster.catalogue.near import listing
from wiro_dagster.catalogue.plain_text_file import read_text_file
from wiro_dagster.catalogue.typed import describe_range
from wiro_dagster.errors import WiroError
from wiro_dagster.prompts.check import check_prompts
from wiro_dagster.prompts.prompt import Prompt, fingerprint_of
from wiro_dagster.prompts.source import RawPrompts, raw_prompts_from_text


@dataclass(frozen=True)
class SchemaChange:
    """What became of a model's inputs, and of the prompts that use it.

    Args:
        slug: the model.
        differences: one sentence for each difference between the two schemas.
        broken: by prompt id, why the model would now refuse it.
        renewed: ids of prompts that stay right but get other inputs, because a default is new or
            another, and with them a new fingerprint: they would be made, and paid for, again.
    """

    slug: str
    differences: tuple[str, ...]
    broken: Mapping[str, tuple[str, ...]]
    renewed: tuple[str, ...]

    def __str__(self) -> str:
        """Everything, one line each."""
        lines = [f"{self.slug} has changed:", *(f"- {line}" for line in self.differences)]
        for prompt_id, problems in self.broken.items():
            lines += [f"- breaks {prompt_id}: {problem}" for problem in problems]
        if self.renewed:
            lines.append(
                f"- gives {listing(self.renewed)} other inputs, so that new videos would be paid "
                "for. State the inputs in the prompt file to keep what they were."
            )
        return "\n".join(lines)


def list_changes(path: Path, catalogue: Catalogue) -> tuple[SchemaChange, ...]:
    """What Wiro's changes of models mean for the prompts of a file.

    The file is read once more with the models as they were: what was right then and is not now,
    or would be another video now, was changed by Wiro and not by a person.

    Args:
        path: the prompt file.
        catalogue: knows how models have changed; asks Wiro where what it knows is old.

    Returns:
        The changes that concern a prompt, by model.

    Raises:
        InputError: the file cannot be read or parsed.
    """
    raw = raw_prompts_from_text(read_text_file(path), path.suffix, str(path))
    changes = list(_seen_changes(raw, catalogue))
    if not changes:
        return ()
    before = catalogue.with_schemas(change.old for change in changes)
    prompts = check_prompts(raw, before, base_folder=path.parent).prompts.values()
    described = (describe_change(change.old, change.new, prompts) for change in changes)
    return tuple(change for change in described if change.broken or change.renewed)


def _seen_changes(raw: RawPrompts, catalogue: Catalogue) -> Iterator[SeenChange]:
    default = raw.defaults.get("model")
    named = (entry.get("model") or default for entry in raw.entries if isinstance(entry, Mapping))
    for slug in sorted({model for model in named if isinstance(model, str)}):
        with suppress(WiroError):
            catalogue.find_schema(slug)  # Wiro is asked where the last answer is old
        change = catalogue.find_change(slug)
        if change is not None:
            yield change


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
    return SchemaChange(new.slug, tuple(_differences(old, new)), broken, tuple(renewed))


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


def _differences(old: ModelSchema, new: ModelSchema) -> Iterator[str]:
    if old.can_validate != new.can_validate:
        yield (
            "its inputs can be validated now."
            if new.can_validate
            else "its inputs can no longer be validated."
        )
        return
    before = {spec.id: spec for spec in old.inputs or ()}
    after = {spec.id: spec for spec in new.inputs or ()}
    for name in before:
        if name not in after:
            yield f"{name} is gone."
    for name, spec in after.items():
        if name not in before:
            yield f"{name} is new{' and required' if spec.required else ''}."
        else:
            yield from (f"{name}: {text}" for text in _spec_differences(before[name], spec))
    if old.rules != new.rules:
        yield "its rules between inputs are others."


def _spec_differences(old: InputSpec, new: InputSpec) -> Iterator[str]:
    if old.type != new.type:
        yield f"its type was {old.type} and is {new.type}."
    if old.required != new.required:
        yield "it is required now." if new.required else "it is optional now."
    if old.default != new.default:
        yield f"its default was {old.default!r} and is {new.default!r}."
    lost = [value for value in old.option_values if value not in new.option_values]
    if lost:
        yield f"{listing(lost)} can no longer be chosen."
    added = [value for value in new.option_values if value not in old.option_values]
    if added:
        yield f"{listing(added)} can be chosen now."
    if (old.minimum, old.maximum, old.step) != (new.minimum, new.maximum, new.step):
        yield f"its range is another. {describe_range(new)}"
