"""The checks that turn entries of a prompt file into prompts and problems."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wiro_dagster.catalogue import Catalogue, LocalFolders, ModelSchema, terminal_text
from wiro_dagster.catalogue.suggestions import did_you_mean, find_near, listing, shown
from wiro_dagster.catalogue.values import is_absent
from wiro_dagster.errors import InputError
from wiro_dagster.prompts.draft import Draft, FileModels, read_draft
from wiro_dagster.prompts.prompt import Prompt
from wiro_dagster.prompts.prompt_file import PromptFile, PromptProblem
from wiro_dagster.prompts.source import RawPrompts

_DEFAULT_KEYS = ("model", "inputs", "takes", "priority")
_TOP_KEYS = ("prompts", "defaults")
_TYPING_ERROR_LIKENESS = 0.85


def check_prompts(
    raw: RawPrompts, catalogue: Catalogue, folders: LocalFolders | None = None
) -> PromptFile:
    """Check all entries of a source, whatever is wrong with some of them.

    A default input applies to every model that has it. A model that does not have it leaves it
    out if another model in the file has it; if none has, it is taken for a mistake, and the
    prompts it was written for are refused.

    What is wrong with `defaults` itself, or in its spelling, changes what every prompt means: then
    none is taken.
    """
    top_problems, is_sound = _check_top(raw)
    models = FileModels(catalogue)
    drafts = [
        read_draft(number, entry, raw.defaults, models)
        for number, entry in enumerate(raw.entries, 1)
    ]
    _refuse_shared_ids(drafts)
    known = frozenset[str]().union(
        *(draft.schema.names for draft in drafts if draft.schema is not None)
    )
    column_notes = [f"{raw.source}, {note}" for note in _settle_columns(drafts, known)]
    inputs = _DefaultInputs(raw.defaults.get("inputs") or {}, known)
    prompts = [_finish(draft, inputs, models, folders) for draft in drafts]
    if not is_sound:
        for draft in drafts:
            if not draft.problems:
                draft.problems.append((None, "not taken until the file's defaults are corrected."))
    source = raw.source
    notes = (*models.notes(), *column_notes, *_list_notes(drafts, source))
    return PromptFile(
        {prompt.id: prompt for prompt in prompts if prompt is not None and is_sound},
        (*top_problems, *(p for draft in drafts for p in draft.located(source, draft.problems))),
        tuple(map(terminal_text, notes)),
        models.slugs,
    )


def _list_notes(drafts: list[Draft], source: str) -> list[str]:
    """The entries' notes; those on defaults only once."""
    notes: dict[str, None] = {}
    for draft in drafts:
        for note in draft.located(source, draft.notes):
            is_default = note.field is not None and note.field.startswith("defaults.")
            shown_note = PromptProblem(source, None, note.field, note.message)
            notes[str(shown_note if is_default else note)] = None
    return list(notes)


def _settle_columns(drafts: list[Draft], known: frozenset[str]) -> list[str]:
    """Take plain columns of a table for the inputs they name, and leave others out.

    People keep other things in their tables too. A column that looks like a misspelt input stays,
    so that its rows are refused: left out, it would buy the wrong videos.
    """
    notes: dict[str, None] = {}
    meanings: dict[tuple[str, str], str | None] = {}
    for draft in drafts:
        if draft.schema is None or not draft.schema.can_validate:
            continue
        for name in getattr(draft.entry, "columns", ()):
            if name in known:
                continue
            key = name, draft.schema.slug
            if key not in meanings:
                meanings[key] = _find_input(name, draft.schema.names, known)
            meant = meanings[key]
            if meant == name or meant in draft.own:
                continue
            value = draft.own.pop(name, None)
            if meant is None:
                notes[f"column {shown(name)}: no model here has such an input. It is ignored."] = (
                    None
                )
            else:
                draft.own[meant] = value
                notes[f"column {shown(name)}: it is taken for the input {meant!r}."] = None
    return list(notes)


def _find_input(column: str, names: frozenset[str], known: frozenset[str]) -> str | None:
    """The input that a column means; itself if it may be a typing error; `None` for any other."""
    same = [name for name in names if _folded(name) == _folded(column)]
    if len(same) == 1:
        return same[0]
    return column if find_near(column, known, _TYPING_ERROR_LIKENESS) else None


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _check_top(raw: RawPrompts) -> tuple[list[PromptProblem], bool]:
    problems, is_sound = [], True
    for key in raw.others:
        is_sound = is_sound and find_near(key, _TOP_KEYS) != "defaults"
        message = (
            f"there is no such key.{did_you_mean(key, _TOP_KEYS)} "
            f"A prompt file takes {listing(_TOP_KEYS)}."
        )
        problems.append(PromptProblem(raw.source, None, key, message))
    for key in raw.defaults:
        if key not in _DEFAULT_KEYS:
            is_sound = False
            message = (
                f"there is no such default.{did_you_mean(key, _DEFAULT_KEYS)} A default for an "
                "input is written under defaults.inputs."
            )
            problems.append(PromptProblem(raw.source, None, f"defaults.{key}", message))
    inputs = raw.defaults.get("inputs")
    if not isinstance(inputs, (Mapping, type(None))):
        raise InputError(
            f"{raw.source}: defaults.inputs is {shown(inputs)}. Write inputs as 'name: value'."
        )
    for name in getattr(inputs, "repeated", ()):
        raise InputError(f"{raw.source}: defaults.inputs.{name} is written twice. Keep one.")
    return problems, is_sound


def _refuse_shared_ids(drafts: list[Draft]) -> None:
    by_id: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        if draft.id is not None:
            by_id[draft.id].append(draft)
    for sharing in by_id.values():
        if len(sharing) > 1:
            numbers = ", ".join(str(draft.number) for draft in sharing)
            message = f"entries {numbers} share this id, and none is taken. Give each its own."
            for draft in sharing:
                draft.problems.append(("id", message))


@dataclass(frozen=True)
class _DefaultInputs:
    """The inputs under `defaults`, and every name that a model of the file knows."""

    inputs: Mapping[str, Any]
    known: frozenset[str]

    def for_model(self, schema: ModelSchema, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the defaults that count for a prompt with inputs of its own."""
        taken = set(own)
        for name in own:
            spec = schema.find_input(name)
            taken.update(spec.names if spec else ())  # a URL stands in for a default's file
        return {
            name: value
            for name, value in self.inputs.items()
            if name not in taken
            and (not schema.can_validate or name in schema.names or name not in self.known)
        }


def _finish(
    draft: Draft, defaults: _DefaultInputs, models: FileModels, folders: LocalFolders | None
) -> Prompt | None:
    if draft.schema is None:
        return None
    _add_prompt(draft, draft.schema)
    default = defaults.for_model(draft.schema, draft.own)
    checked = draft.schema.check({**default, **draft.own}, folders=folders)
    hint = models.change_hint(draft.schema.slug) if checked.problems else ""
    for problem in checked.problems:
        where = _field_name(draft.schema, problem.field, default)
        draft.problems.append((where, problem.message + hint))
    for note in checked.notes:
        draft.notes.append((_field_name(draft.schema, note.field, default), note.message))
    if draft.problems or draft.id is None:
        return None
    return Prompt(
        id=draft.id,
        model_slug=draft.schema.slug,
        inputs=checked.inputs,
        take=draft.take,
        takes=draft.takes,
        priority=draft.priority,
        prompt_input=draft.schema.prompt_input,
        wiro_defaults=checked.filled if draft.schema.source == "wiro" else frozenset(),
    )


def _add_prompt(draft: Draft, schema: ModelSchema) -> None:
    text, name = draft.entry.get("prompt"), schema.prompt_input
    if is_absent(text):
        return
    if name is None:
        message = (
            f"{schema.slug} takes no prompt. Remove it; its inputs are {listing(schema.names)}."
        )
        draft.problems.append(("prompt", message))
    elif not is_absent(draft.own.get(name)):
        draft.problems.append(("prompt", f"it is given as inputs.{name} too. Keep one of them."))
    else:
        draft.own[name] = text


def _field_name(schema: ModelSchema, name: str, default: Mapping[str, Any]) -> str:
    if name in default:
        return f"defaults.inputs.{name}"
    return "prompt" if name == schema.prompt_input else f"inputs.{name}"
