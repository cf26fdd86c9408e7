"""Entries of a prompt file on their way to being prompts: id, model and take."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wiro_dagster.catalogue import Catalogue, ModelSchema
from wiro_dagster.catalogue.bounds import MAX_PRIORITY, MAX_TAKE, MAX_TAKES, PRIORITIES
from wiro_dagster.catalogue.suggestions import did_you_mean, listing, shown
from wiro_dagster.catalogue.values import find_number, is_absent, wire_text
from wiro_dagster.errors import InputError, WiroError
from wiro_dagster.prompts.keys import find_key_problem
from wiro_dagster.prompts.prompt_file import PromptProblem, list_differences
from wiro_dagster.prompts.table import BadRow

_SHOWN_DIFFERENCES = 5
_ENTRY_KEYS = ("id", "prompt", "model", "inputs", "take", "takes", "priority")


@dataclass
class Draft:
    """An entry on its way to being a prompt.

    Args:
        number: its place in the file, from 1.
        entry: as it was written.
        line: where it starts; `None` if that is not known.
        id: the id, also a wrong one; `None` if there is none.
        schema: its model; `None` if there is no such model.
        take: which take it is.
        takes: how many are wanted, from that one on.
        priority: how urgent it is; `None` if it does not say.
        own: the inputs that it gives itself.
        problems: pairs of a field, or `None` for all of it, and a message.
        notes: the same for what is right but was written in another way than the model takes it.
    """

    number: int
    entry: Mapping[str, Any]
    line: int | None = None
    id: str | None = None
    schema: ModelSchema | None = None
    take: int = 1
    takes: int = 1
    priority: int | None = None
    own: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[str | None, str]] = field(default_factory=list)
    notes: list[tuple[str | None, str]] = field(default_factory=list)

    def located(
        self, source: str, remarks: list[tuple[str | None, str]]
    ) -> Iterator[PromptProblem]:
        """Yield its problems, or its notes, with their places."""
        name = f"{self.number} ({self.id})" if self.id else str(self.number)
        for where, message in remarks:
            yield PromptProblem(source, name, where, message, self.line, self.id)


class FileModels:
    """The models of one file, each looked up once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._found: dict[str, ModelSchema | str] = {}

    def find(self, slug: str) -> ModelSchema | str:
        """Return the schema of a model, or why it cannot be had."""
        if slug not in self._found:
            try:
                self._found[slug] = self._catalogue.get_schema(slug)
            except InputError as error:
                self._found[slug] = str(error)
            except WiroError as error:
                self._found[slug] = f"{slug} cannot be looked up now: {error} Try again later."
        return self._found[slug]

    def change_hint(self, slug: str) -> str:
        """Return a sentence about how the model has changed, or an empty text."""
        change = self._catalogue.find_change(slug)
        if change is None or change.is_stated:
            return ""
        day = dt.datetime.fromtimestamp(change.seen_at, dt.timezone.utc).date()
        found = list(list_differences(change.old, change.new))
        more = f" And {len(found) - _SHOWN_DIFFERENCES} more." if found[_SHOWN_DIFFERENCES:] else ""
        differences = " ".join(found[:_SHOWN_DIFFERENCES]) + more
        return f" Wiro has changed this model's inputs (seen {day}): {differences}"

    @property
    def slugs(self) -> tuple[str, ...]:
        """The models found."""
        return tuple(dict.fromkeys(schema.slug for schema in self._schemas()))

    def notes(self) -> tuple[str, ...]:
        """Return what users should know of the models found."""
        found = {schema.slug: schema for schema in self._schemas()}
        return tuple(f"{slug}: {note}" for slug, s in found.items() for note in s.notes)

    def _schemas(self) -> Iterator[ModelSchema]:
        return (found for found in self._found.values() if isinstance(found, ModelSchema))


def read_draft(
    number: int, entry: object, defaults: Mapping[str, Any], models: FileModels
) -> Draft:
    """Read all of an entry but its inputs, which depend on the other entries' models."""
    if isinstance(entry, BadRow):
        return Draft(number, {}, entry.line, entry.id, problems=[(None, entry.message)])
    if not isinstance(entry, Mapping):
        message = f"{shown(entry)} is not a prompt. Write it as 'id: …' and 'prompt: …'."
        return Draft(number, {}, problems=[(None, message)])
    draft = Draft(number, entry, getattr(entry, "line", None))
    _read_id(draft)
    given = entry.get("model")
    _read_model(draft, defaults.get("model") if is_absent(given) else given, models)
    draft.take = _read_count(draft, "take", None, MAX_TAKE, "Leave it out for the first take.")
    draft.takes = _read_count(
        draft, "takes", defaults.get("takes"), MAX_TAKES, "Leave it out for one video."
    )
    _read_priority(draft, defaults.get("priority"))
    for key in getattr(entry, "repeated", ()):
        draft.problems.append((str(key), "it is written twice. Keep one of them."))
    for key in entry:
        if key not in _ENTRY_KEYS:
            draft.problems.append((str(key), _unknown_key(str(key), draft.schema)))
    _read_own_inputs(draft)
    return draft


def _read_id(draft: Draft) -> None:
    given = draft.entry.get("id")
    try:
        key = "" if is_absent(given) else wire_text(given)
    except ValueError as error:
        draft.problems.append(("id", f"{shown(given)}: {error}. Write the id as one plain text."))
        return
    # A Mac writes an accent as a character of its own; it is the same id.
    key = unicodedata.normalize("NFC", key)
    draft.id = key or None
    problem = find_key_problem(key)
    if problem is not None:
        draft.problems.append(("id", problem))


def _read_model(draft: Draft, given: object, models: FileModels) -> None:
    if is_absent(given):
        message = "no model is given. Write it here, or as defaults.model for the whole file."
        draft.problems.append(("model", message))
        return
    if not isinstance(given, str):
        draft.problems.append(("model", f"{shown(given)} is not a model. Write owner/model."))
        return
    found = models.find(given)
    if isinstance(found, str):
        draft.problems.append(("model", found))
    else:
        draft.schema = found


def _read_count(draft: Draft, name: str, default: object, most: int, hint: str) -> int:
    given = draft.entry.get(name)
    given = default if is_absent(given) else given
    if is_absent(given):
        return 1
    number = find_number(given)
    if number is None or not 1 <= number <= most or number != number.to_integral_value():
        message = f"{shown(given)} is not a whole number from 1 to {most}. {hint}"
        draft.problems.append((name, message))
        return 1
    return int(number)


def _read_priority(draft: Draft, default: object) -> None:
    given = draft.entry.get("priority")
    given = default if is_absent(given) else given
    if is_absent(given):
        return
    number = find_number(PRIORITIES.get(str(given).strip().lower(), given))
    if number is None or abs(number) > MAX_PRIORITY or number != number.to_integral_value():
        message = (
            f"{shown(given)} is not a priority. Write urgent, normal, low, or a whole number from "
            f"-{MAX_PRIORITY} to {MAX_PRIORITY}."
        )
        draft.problems.append(("priority", message))
    else:
        draft.priority = int(number)


def _read_own_inputs(draft: Draft) -> None:
    own = draft.entry.get("inputs")
    if own is not None and not isinstance(own, Mapping):
        draft.problems.append(("inputs", f"{shown(own)}: write inputs as 'name: value'."))
        return
    for name in getattr(own, "repeated", ()):
        draft.problems.append((f"inputs.{name}", "it is written twice. Keep one of them."))
    draft.own = {str(name): value for name, value in (own or {}).items()}


def _unknown_key(key: str, schema: ModelSchema | None) -> str:
    if schema is not None and key in schema.names:
        return f"it is an input of {schema.slug}. Write it under 'inputs:'."
    return (
        f"there is no such key.{did_you_mean(key, _ENTRY_KEYS)} "
        f"An entry takes {listing(_ENTRY_KEYS)}."
    )
