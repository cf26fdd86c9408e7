"""The models that the emulator offers: package data, plus a file of the user's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

# The marketplace writes "true", 1 and true for a required input.
_TRUE_SPELLINGS = (True, 1, "1", "true", "True")


@dataclass(frozen=True)
class Input:
    """One input of a model, read from an item of its ``parameters``."""

    item: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The name it is sent under."""
        return str(self.item["id"])

    @property
    def type(self) -> str:
        """One of the seven parameter types."""
        return str(self.item["type"])

    @property
    def is_required(self) -> bool:
        """Whether a run without it is refused; true in any of its spellings."""
        return self.item.get("required") in _TRUE_SPELLINGS

    @property
    def default(self) -> Any:
        """What the service uses if nothing is sent."""
        return self.item.get("default")

    @property
    def options(self) -> tuple[str, ...]:
        """The values a select may take; empty if anything goes."""
        return tuple(str(option["value"]) for option in self.item.get("options") or ())

    def bound(self, name: str) -> Decimal | None:
        """Return the `min` or `max` of a range."""
        value = self.item.get(name)
        return None if value in (None, "") else Decimal(str(value))


@dataclass(frozen=True)
class Model:
    """One model, from its entry in ``models.json``."""

    entry: Mapping[str, Any]

    @property
    def slug(self) -> str:
        """``owner/project``."""
        return str(self.entry["slug"])

    @property
    def owner(self) -> str:
        """The part of the slug before the stroke."""
        return self.slug.split("/")[0]

    @property
    def project(self) -> str:
        """The part of the slug behind the stroke."""
        return self.slug.split("/")[1]

    @property
    def title(self) -> str:
        """The name that people see."""
        return str(self.entry.get("title") or self.slug)

    @property
    def number(self) -> str:
        """A stable id made from the slug."""
        return str(1000 + sum(ord(letter) * place for place, letter in enumerate(self.slug, 1)))

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories it can be found under."""
        return tuple(self.entry.get("categories") or ())

    @property
    def output(self) -> Mapping[str, Any]:
        """What kind of files a run makes, and which inputs shape them."""
        output: Mapping[str, Any] = self.entry["output"]
        return output

    @cached_property
    def inputs(self) -> tuple[Input, ...] | None:
        """All inputs of all groups; None if the service has no schema."""
        groups = self.entry.get("parameters")
        if groups is None:
            return None
        return tuple(Input(item) for group in groups for item in group["items"])

    @cached_property
    def prices(self) -> tuple[Mapping[str, Any], ...]:
        """The entries of ``dynamicprice``; empty if it is absent or cannot be parsed."""
        found = self.entry.get("dynamicprice")
        if not isinstance(found, list):
            return ()
        return tuple(found)

    @property
    def cost_per_second_usd(self) -> Decimal | None:
        """``cps`` of the model itself."""
        value = self.entry.get("cps")
        return None if value is None else Decimal(str(value))

    @property
    def text_input(self) -> str | None:
        """The input that holds the prompt, if the model has one."""
        value = self.output.get("text")
        return None if value is None else str(value)

    @property
    def file_inputs(self) -> tuple[str, ...]:
        """The ids of inputs that take files."""
        return tuple(item.id for item in self.inputs or () if item.type.endswith("fileinput"))


class Catalogue:
    """All models by slug."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self._models = {entry["slug"]: Model(entry) for entry in entries}

    @classmethod
    def load(cls, *extra_files: Path) -> Catalogue:
        """Return the built-in models, and those of further files, which may replace built-in ones.

        Raises:
            ValueError: a file is not a JSON list of models with slug and output.
        """
        built_in = resources.files("wiro_dagster.emulator").joinpath("models.json")
        entries = list(json.loads(built_in.read_text(encoding="utf-8")))
        for path in extra_files:
            entries.extend(_read_models(path))
        return cls(entries)

    def find(self, slug: str) -> Model | None:
        """Return the model with exactly this slug: lower case, hyphens."""
        return self._models.get(slug)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def search(self, wanted: Mapping[str, Any]) -> list[Model]:
        """Return the models that a Tool/List request asks for, in the catalogue's order."""
        text = str(wanted.get("search") or "").lower()
        owner = str(wanted.get("slugowner") or "").lower()
        categories = wanted.get("categories") or []
        hides_workflows = wanted.get("hideworkflows") in _TRUE_SPELLINGS
        return [
            model
            for model in self
            if text in f"{model.slug} {model.title} {model.entry.get('description', '')}".lower()
            and owner in ("", model.owner)
            and all(category in model.categories for category in categories)
            and not (hides_workflows and model.entry.get("is_workflow"))
        ]


def _read_models(path: Path) -> list[Mapping[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path}: must be a list of models")
    for entry in entries:
        if not isinstance(entry, dict) or "/" not in str(entry.get("slug")):
            raise ValueError(f"{path}: every model needs a slug of the form owner/project")
        if not isinstance(entry.get("output"), dict) or "kind" not in entry["output"]:
            raise ValueError(f"{path}: {entry['slug']}: needs an output with a kind")
    return entries
