"""How two schemas of one model differ, and what that means for prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wiro_dagster.catalogue import InputSpec, ModelSchema
from wiro_dagster.catalogue.suggestions import listing
from wiro_dagster.catalogue.typed import describe_range


@dataclass(frozen=True)
class SchemaChange:
    """What became of a model's inputs, and of the prompts that use it.

    Args:
        slug: the model.
        differences: one sentence for each difference between the two schemas.
        broken: by prompt id, why the model would now refuse it.
        renewed: ids of prompts that stay right but get other inputs, because a default is new or
            another, and with them a new fingerprint: they would be made, and paid for, again.
        is_stated: whether the package or the project states the model's inputs itself. Then
            prompts are not held up by what Wiro says now; Wiro refuses them, and bills nothing.
    """

    slug: str
    differences: tuple[str, ...]
    broken: Mapping[str, tuple[str, ...]]
    renewed: tuple[str, ...]
    is_stated: bool = False

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
        if self.is_stated:
            lines.append(
                "- its catalogue entry still counts here, so those prompts would be sent, and be "
                "refused by Wiro. Correct them, or the entry."
            )
        return "\n".join(lines)


def list_differences(old: ModelSchema, new: ModelSchema) -> Iterator[str]:
    """One sentence for each difference between two schemas of a model."""
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
