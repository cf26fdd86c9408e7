"""Prompt files as text: their entries and defaults, before anything in them is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wiro_dagster.catalogue.bounds import MAX_PROMPTS
from wiro_dagster.catalogue.plain_text import parse_json, parse_yaml
from wiro_dagster.catalogue.suggestions import find_near, shown
from wiro_dagster.errors import InputError
from wiro_dagster.prompts.table import entries_from_rows, rows_from_csv

SUFFIXES = (".yaml", ".yml", ".json", ".csv")
_SHAPE = "Write the prompts as a list under 'prompts:', with 'defaults:' for model and inputs."


@dataclass(frozen=True)
class RawPrompts:
    """What a source holds.

    Args:
        source: its name, for messages.
        entries: in their order, of any shape.
        defaults: the mapping under `defaults`.
        others: top-level keys that are neither.

    Raises:
        InputError: there are too many entries.
    """

    source: str
    entries: tuple[object, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no sensor tick could bring in."""
        if len(self.entries) > MAX_PROMPTS:
            raise InputError(
                f"{self.source} has {len(self.entries)} prompts; {MAX_PROMPTS} are allowed. Divide "
                "it, and make a collection of each part."
            )


def raw_prompts_from_text(text: str, suffix: str, source: str) -> RawPrompts:
    """Divide a prompt file's text into entries and defaults.

    Args:
        text: the file's text.
        suffix: `.yaml`, `.yml`, `.json` or `.csv`.
        source: the file's name, for messages.

    Raises:
        InputError: it cannot be parsed, or does not have the shape of a prompt file.
    """
    kind = suffix.lower()
    if kind not in SUFFIXES:
        raise InputError(
            f"{source}: {suffix or 'no suffix'} is not a kind of prompt file. "
            "Name it .yaml, .yml, .json or .csv."
        )
    if kind == ".csv":
        return raw_prompts_from_rows(rows_from_csv(text, source), source)
    parsed = parse_json(text, source) if kind == ".json" else _parse_yaml_or_json(text, source)
    if not isinstance(parsed, Mapping):
        found = "is empty" if parsed is None else f"holds {shown(parsed)}"
        raise InputError(f"{source} {found}. {_SHAPE}")
    if "prompts" not in parsed:
        near = find_near("prompts", parsed)
        hint = f" Did you mean that by {near!r}?" if near else ""
        raise InputError(f"{source} has no 'prompts'.{hint} {_SHAPE}")
    _refuse_repeated(parsed, source)
    entries, defaults = parsed["prompts"], parsed.get("defaults")
    if not isinstance(entries, (list, type(None))):
        raise InputError(f"{source}: prompts is {shown(entries)}, not a list. {_SHAPE}")
    if not isinstance(defaults, (Mapping, type(None))):
        raise InputError(f"{source}: defaults is {shown(defaults)}, not a mapping. {_SHAPE}")
    _refuse_repeated(defaults, f"{source}, defaults")
    return RawPrompts(
        source,
        tuple(entries or ()),
        defaults or {},
        tuple(key for key in parsed if key not in {"prompts", "defaults"}),
    )


def _parse_yaml_or_json(text: str, source: str) -> Any:
    """YAML is a superset of JSON but for its escapes: it refuses the two halves of an emoji."""
    if text.lstrip().startswith("{"):
        try:
            return parse_json(text, source)
        except InputError:
            pass  # YAML's own braces
    return parse_yaml(text, source)


def _refuse_repeated(found: object, where: str) -> None:
    for key in getattr(found, "repeated", ()):
        raise InputError(f"{where}: {shown(key)} is written twice. Keep one of them.")


def raw_prompts_from_rows(
    rows: Iterable[object], source: str, defaults: Mapping[str, Any] | None = None
) -> RawPrompts:
    """Rows of a table as entries; see `entries_from_rows`."""
    return RawPrompts(source, tuple(entries_from_rows(rows)), defaults or {})
