"""What reading a prompt file gives: all prompts that are right, and everything that is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wiro_dagster.prompts.prompt import Prompt
from wiro_dagster.prompts.schema_change import SchemaChange


@dataclass(frozen=True)
class PromptProblem:
    """One thing that is wrong in a prompt file.

    Args:
        file: the file, or the name of another source.
        entry: the entry's number and id, like `3 (sunrise)`; `None` for the file as a whole.
        field: the field, like `inputs.duration`; `None` for the entry as a whole.
        message: what is wrong and what to do.
        line: where the entry starts, from 1; `None` where that is not known.
        id: the entry's id, where it has one.
    """

    file: str
    entry: str | None
    field: str | None
    message: str
    line: int | None = None
    id: str | None = None

    def __str__(self) -> str:
        """One line: where, and what."""
        line = None if self.line is None else f"line {self.line}"
        entry = None if self.entry is None else f"entry {self.entry}"
        where = ", ".join(part for part in (self.file, line, entry, self.field) if part)
        return f"{where}: {self.message}"


@dataclass(frozen=True)
class PromptFile:
    """The content of a prompt file.

    Args:
        prompts: by id, in the file's order; only those that are right.
        problems: everything that is wrong, in the file's order.
        notes: what a person should know of the models, without anything being wrong.
        models: slugs of the models that entries name, those of wrong entries among them.
        changes: what Wiro has changed of them that breaks prompts, or would have them paid again.
    """

    prompts: Mapping[str, Prompt]
    problems: tuple[PromptProblem, ...]
    notes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    changes: tuple[SchemaChange, ...] = ()
