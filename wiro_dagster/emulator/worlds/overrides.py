"""What the API shows of a task instead of the truth: the one place that alters its answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from wiro_dagster.emulator.worlds.rewrites import REWRITES, Truth

ShowingCall = Literal["detail", "list"]
Calls = Literal["both", "detail", "list", "run"]
Since = Literal["run", "end"]
Hides = Literal["no", "not_found", "empty"]


@dataclass(frozen=True)
class Override:
    """A difference between one task and what the API shows of it, for a while or for ever.

    Args:
        fields: raw JSON values by field. A dot leads into objects and lists, and ``*`` means
            every entry: ``{"totalcost": None, "outputs.*.size": "0"}``.
        without: fields to leave out, with the same notation.
        rewrites: named changes that depend on the task, from REWRITES.
        hides: whether the call does not know the task. Task/Detail answers with code 1
            ("not_found") or an empty list ("empty"); Task/List leaves the task out.
        behind_seconds: show the task as it was this long ago.
        calls: "detail" (with the answers of Cancel and Kill, and callbacks), "list", or "both" of
            them; "run" for the answer to the Run, which has no task to rewrite.
        since: what the seconds count from; "end" is the end that the task really has.
        from_seconds: when the override begins.
        until_seconds: when it stops; None for never.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    hides: Hides = "no"
    behind_seconds: float = 0.0
    calls: Calls = "both"
    since: Since = "run"
    from_seconds: float = 0.0
    until_seconds: float | None = None

    def holds(
        self, call: ShowingCall, now: float, *, created_at: float, ends_at: float | None
    ) -> bool:
        """Return whether it changes this call's answer now."""
        begin = created_at if self.since == "run" else ends_at
        if begin is None or self.calls not in ("both", call):
            return False
        if now < begin + self.from_seconds:
            return False
        return self.until_seconds is None or now < begin + self.until_seconds

    def to_json(self) -> dict[str, Any]:
        """Return the fields that differ from the defaults."""
        return {
            item.name: value
            for item in dataclasses.fields(self)
            if (value := getattr(self, item.name)) != getattr(_NOTHING, item.name)
        }


_NOTHING = Override()


def override_from_json(values: Any) -> Override:
    """Read an override.

    Raises:
        ValueError: a name is unknown, or a value is not of its kind.
    """
    if isinstance(values, Override):
        return values
    if not isinstance(values, Mapping):
        raise ValueError("an override must be an object such as {'fields': {'totalcost': null}}")
    known = {item.name for item in dataclasses.fields(Override)}
    for name in values:
        if name not in known:
            raise ValueError(f"an override has no {name}; choose from {', '.join(sorted(known))}")
    plain = dict(values)
    for name in ("without", "rewrites"):
        plain[name] = _names(name, plain.get(name, ()))
    override = Override(**plain)
    _check(override)
    return override


def apply_fields(shown: Mapping[str, Any], override: Override) -> dict[str, Any]:
    """Return an object with the override's fields set and left out."""
    altered: dict[str, Any] = _copy(shown)
    for path, value in override.fields.items():
        _set(altered, path.split("."), value)
    for path in override.without:
        _remove(altered, path.split("."))
    return altered


def _check(override: Override) -> None:
    if not isinstance(override.fields, Mapping):
        raise ValueError("fields must be an object")
    for name in override.rewrites:
        if name not in REWRITES:
            raise ValueError(f"unknown rewrite {name}; choose from {', '.join(REWRITES)}")
    choices = {"hides": get_args(Hides), "calls": get_args(Calls), "since": get_args(Since)}
    for name, allowed in choices.items():
        if getattr(override, name) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}")
    for name in ("behind_seconds", "from_seconds", "until_seconds"):
        value = getattr(override, name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number and not (name == "until_seconds" and value is None):
            raise ValueError(f"{name} must be a number of seconds")


def _names(name: str, values: Any) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a list of names")
    return tuple(str(value) for value in values)


def apply_overrides(
    shown: Mapping[str, Any], overrides: Iterable[Override], truth: Truth
) -> dict[str, Any]:
    """Return the task as these overrides show it."""
    altered = dict(shown)
    for override in overrides:
        for name in override.rewrites:
            altered.update(REWRITES[name](altered, truth))
        altered = apply_fields(altered, override)
    return altered


def _copy(value: Any) -> Any:
    """Return a JSON value that can be altered alone; `copy.deepcopy` takes ten times as long."""
    if isinstance(value, Mapping):
        return {name: _copy(inner) for name, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _set(place: Any, path: list[str], value: Any) -> None:
    *way, last = path
    for inner in _reach(place, way):
        for key in _keys(inner, last):
            inner[key] = _copy(value)


def _remove(place: Any, path: list[str]) -> None:
    *way, last = path
    for inner in _reach(place, way):
        for key in reversed(_keys(inner, last)):
            if isinstance(inner, list) or key in inner:
                del inner[key]


def _reach(place: Any, way: list[str]) -> list[Any]:
    """Return the objects and lists that a path leads to; it may lead nowhere."""
    places = [place]
    for name in way:
        places = [
            inner[key]
            for inner in places
            for key in _keys(inner, name)
            if isinstance(inner, list) or key in inner
        ]
    return places


def _keys(place: Any, name: str) -> list[Any]:
    """Return the keys that one part of a path means here; none in a plain value."""
    if isinstance(place, dict):
        return list(place) if name == "*" else [name]
    if isinstance(place, list):
        if name == "*":
            return list(range(len(place)))
        return [int(name)] if name.isdecimal() and int(name) < len(place) else []
    return []
