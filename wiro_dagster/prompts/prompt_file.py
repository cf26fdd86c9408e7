"""What reading a prompt file gives: all prompts that are right, and everything that is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wiro_dagster.catalogue import InputSpec, ModelSchema, markdown_text, terminal_text
from wiro_dagster.catalogue.reading import describe_range
from wiro_dagster.catalogue.suggestions import listing
from wiro_dagster.prompts.prompt import Prompt


@dataclass(frozen=True)
class PromptProblem:
    """One thing that is wrong in a prompt file.

    Args:
        file: the file, or the name of the source.
        entry: the entry's number and id, like `3 (sunrise)`; `None` for the file as a whole.
        field: the field, like `inputs.duration`; `None` for the entry as a whole.
        message: what is wrong and what to do.
        line: where the entry starts, from 1; `None` if that is not known.
        id: the entry's id, if it has one.
    """

    file: str
    entry: str | None
    field: str | None
    message: str
    line: int | None = None
    id: str | None = None

    def __str__(self) -> str:
        """Return one line for a log or a terminal: where, and what."""
        line = None if self.line is None else f"line {self.line}"
        entry = None if self.entry is None else f"entry {self.entry}"
        where = ", ".join(part for part in (self.file, line, entry, self.field) if part)
        return " ".join(terminal_text(f"{where}: {self.message}").split("\n"))


@dataclass(frozen=True)
class SchemaChange:
    """How a model's inputs changed, and what that means for the prompts that use it.

    Args:
        slug: the model.
        differences: one sentence for each difference between the two schemas.
        broken: by prompt id, why the model would now refuse it.
        altered: ids of prompts that stay right but would be sent with other inputs, because a
            default changed. Their fingerprints stay: nothing is ordered again.
        is_stated: whether the package or the project states the model's inputs itself. Then
            prompts are not refused for what Wiro says now; Wiro refuses them, and bills nothing.
    """

    slug: str
    differences: tuple[str, ...]
    broken: Mapping[str, tuple[str, ...]]
    altered: tuple[str, ...]
    is_stated: bool = False

    def __str__(self) -> str:
        """Return everything as Markdown, one line each."""
        lines = [
            f"{markdown_text(self.slug)} has changed:",
            *(f"- {markdown_text(line)}" for line in self.differences),
        ]
        for prompt_id, problems in self.broken.items():
            broken = (f"breaks {prompt_id}: {problem}" for problem in problems)
            lines += [f"- {markdown_text(line)}" for line in broken]
        if self.altered:
            altered = markdown_text(listing(self.altered))
            lines.append(
                f"- gives {altered} other inputs when they are ordered next. Videos that you own "
                "stay as they are. To order with the old inputs, state them; that is a change of "
                "the prompt."
            )
        if self.is_stated:
            lines.append(
                "- its catalogue entry still counts here, so those prompts would be sent, and "
                "Wiro would refuse them. Correct them, or the entry."
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class PromptFile:
    """The content of a prompt file.

    Args:
        prompts: by id, in the file's order; only those that are right.
        problems: everything that is wrong, in the file's order.
        notes: what users should know although nothing is wrong, one line each: values that were
            taken for what they mean, columns that are ignored, models that cannot be checked.
        models: slugs of the models that entries name, those of wrong entries among them.
        changes: what Wiro has changed of them that breaks prompts, or alters their inputs.
    """

    prompts: Mapping[str, Prompt]
    problems: tuple[PromptProblem, ...]
    notes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    changes: tuple[SchemaChange, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all entries, those of wrong ones among them."""
        return frozenset(self.prompts) | {p.id for p in self.problems if p.id is not None}


def list_differences(old: ModelSchema, new: ModelSchema) -> Iterator[str]:
    """Describe each difference between two schemas of a model in a sentence."""
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
        yield "its rules between inputs have changed."


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
        yield f"its range has changed. {describe_range(new)}"
