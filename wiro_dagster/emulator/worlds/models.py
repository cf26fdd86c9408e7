"""The models as they are at a time: the catalogue, and what has been changed since the start."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from wiro_dagster.emulator.catalogue import Catalogue
from wiro_dagster.emulator.state import State

_PRICES = ("price", "priceExtra", "priceInput")
_CHANGES = ("price_times", "defaults", "added_inputs", "renamed_to", "shown")
_MOST_TIMES = 1_000_000
# Of the models in the worlds that change them all.
_NEWER_SUFFIX = "-v2"
MODEL_WORLDS = ("price_doubled", "defaults_changed", "models_renamed")
Entry = dict[str, Any]


class ModelsOverTime:
    """The catalogue at any time; its changes are kept in the state.

    Args:
        state: keeps them.
        catalogue: the models to begin with.
        holds: whether a world of the service holds at a time.
    """

    def __init__(
        self, state: State, catalogue: Catalogue, holds: Callable[[str, float], bool]
    ) -> None:
        self._state = state
        self._catalogue = catalogue
        self._holds = holds
        self._known: dict[str, Catalogue] = {}

    def at(self, now: float) -> Catalogue:
        """Return the models as they are now."""
        return self.under(self.edition(now))

    def edition(self, now: float) -> str:
        """Return what tells the present models from earlier and later ones."""
        worlds = [world for world in MODEL_WORLDS if self._holds(world, now)]
        return json.dumps([len(self._state.get("model_changes", [])), worlds])

    def under(self, edition: str) -> Catalogue:
        """Return the models of an edition, for tasks that were sent under it."""
        if edition not in self._known:
            changes, worlds = json.loads(edition)
            entries = _changed(
                self._catalogue, self._state.get("model_changes", [])[:changes], worlds
            )
            self._known[edition] = Catalogue(entries)
        return self._known[edition]

    def forget(self) -> None:
        """Begin as in an empty state."""
        self._known.clear()

    def change(self, slug: str, now: float, changes: Mapping[str, Any]) -> None:
        """Change a model from now on; runs that were sent before keep the old one.

        Raises:
            ValueError: the model or a change is unknown.
        """
        if self.at(now).find(slug) is None:
            raise ValueError(f"model {slug} does not exist")
        for name in changes:
            if name not in _CHANGES:
                raise ValueError(f"a model's {name} cannot change; choose from {_CHANGES}")
        if not 0 <= Decimal(str(changes.get("price_times", 1))) <= _MOST_TIMES:
            raise ValueError(f"price_times must be a number from 0 to {_MOST_TIMES}")
        if "/" not in str(changes.get("renamed_to") or "a/b"):
            raise ValueError("renamed_to must be a slug of the form owner/project")
        kept = self._state.get("model_changes", [])
        self._state.keep("model_changes", [*kept, {"slug": slug, **changes}])


def _changed(
    catalogue: Catalogue, changes: list[Mapping[str, Any]], worlds: list[str]
) -> list[Entry]:
    entries = {model.slug: copy.deepcopy(dict(model.entry)) for model in catalogue}
    for change in changes:
        entry = entries.pop(change["slug"])
        _multiply(entry, Decimal(str(change.get("price_times", 1))))
        _set_defaults(entry, change.get("defaults") or {})
        _add_inputs(entry, change.get("added_inputs") or [])
        entry["shown"] = {**entry.get("shown", {}), **(change.get("shown") or {})}
        entry["slug"] = change.get("renamed_to") or change["slug"]
        entries[entry["slug"]] = entry
    for entry in entries.values():
        if "price_doubled" in worlds:
            _multiply(entry, Decimal(2))
        if "defaults_changed" in worlds:
            _set_defaults(entry, _other_default(entry))
        if "models_renamed" in worlds:
            entry["slug"] += _NEWER_SUFFIX
    return list(entries.values())


def _other_default(entry: Entry) -> dict[str, Any]:
    items = [item for group in entry.get("parameters") or () for item in group["items"]]
    select = next((item for item in items if item.get("options") and item.get("default")), None)
    return {select["id"]: select["options"][-1]["value"]} if select else {}


def _add_inputs(entry: Entry, items: list[Any]) -> None:
    if items:
        entry["parameters"] = [*(entry.get("parameters") or ()), {"title": "", "items": items}]


def _multiply(entry: Entry, times: Decimal) -> None:
    prices = entry.get("dynamicprice")
    for price in prices if isinstance(prices, list) else ():
        for name in _PRICES:
            if price.get(name) is not None:
                price[name] = float(Decimal(str(price[name])) * times)
    if entry.get("cps") is not None:
        entry["cps"] = type(entry["cps"])(Decimal(str(entry["cps"])) * times)


def _set_defaults(entry: Entry, defaults: Mapping[str, Any]) -> None:
    for group in entry.get("parameters") or ():
        for item in group["items"]:
            if item["id"] in defaults:
                item["default"] = defaults[item["id"]]
