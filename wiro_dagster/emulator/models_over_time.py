"""The models as they are at a time: the catalogue, and what has been changed since the start."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from wiro_dagster.emulator.catalogue import Catalogue
from wiro_dagster.emulator.state import State

_PRICES = ("price", "priceExtra", "priceInput")
_CHANGES = ("price_times", "defaults", "renamed_to")
Entry = dict[str, Any]


class ModelsOverTime:
    """The catalogue at any time; its changes are kept in the state.

    Args:
        state: where they are kept.
        catalogue: the models to begin with.
        is_doubled: whether all prices are twice as high at a time.
    """

    def __init__(
        self, state: State, catalogue: Catalogue, is_doubled: Callable[[float], bool]
    ) -> None:
        self._state = state
        self._catalogue = catalogue
        self._is_doubled = is_doubled
        self._known: dict[str, Catalogue] = {}

    def at(self, at: float) -> Catalogue:
        """Return the models as they are at a time."""
        changes = [one for one in self._state.get("model_changes", []) if one["at"] <= at]
        is_doubled = self._is_doubled(at)
        if not changes and not is_doubled:
            return self._catalogue
        key = f"{changes} {is_doubled}"
        if key not in self._known:
            self._known[key] = Catalogue(_changed(self._catalogue, changes, is_doubled))
        return self._known[key]

    def change(self, slug: str, now: float, changes: Mapping[str, Any]) -> None:
        """Change a model from now on; runs that were sent before keep the old one.

        Raises:
            ValueError: there is no such model, or a change is unknown.
        """
        if self.at(now).find(slug) is None:
            raise ValueError(f"there is no model {slug}")
        for name in changes:
            if name not in _CHANGES:
                raise ValueError(f"a model's {name} cannot change; choose from {_CHANGES}")
        if "/" not in str(changes.get("renamed_to") or "a/b"):
            raise ValueError("renamed_to must be a slug of the form owner/project")
        kept = self._state.get("model_changes", [])
        self._state.keep("model_changes", [*kept, {"at": now, "slug": slug, **changes}])


def _changed(
    catalogue: Catalogue, changes: list[Mapping[str, Any]], is_doubled: bool
) -> list[Entry]:
    entries = {model.slug: copy.deepcopy(dict(model.entry)) for model in catalogue}
    for change in changes:
        entry = entries.pop(change["slug"])
        _multiply(entry, Decimal(str(change.get("price_times") or 1)))
        _set_defaults(entry, change.get("defaults") or {})
        entry["slug"] = change.get("renamed_to") or change["slug"]
        entries[entry["slug"]] = entry
    if is_doubled:
        for entry in entries.values():
            _multiply(entry, Decimal(2))
    return list(entries.values())


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
