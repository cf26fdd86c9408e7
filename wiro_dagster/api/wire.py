"""Wiro's loosely typed JSON, read value by value.

A number may arrive as a string, a truth as `1`, a list as a JSON string. A value that cannot be
read becomes None, so that one odd field never costs a whole answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

_TRUE_WORDS = frozenset({"true", "1", "yes", "on", "required"})
_FALSE_WORDS = frozenset({"false", "0", "no", "off", ""})
_LARGEST_EXPONENT = 30
"""A plausible number stays under 10**30; more would cost memory when it is printed."""

_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(
    r"(\d{1,9}(?:\.\d+)?)(?!\d)\s*"
    r"(?:(s)(?:ecs?|econds?)?|(m)(?:ins?|inutes?)?|(h)(?:rs?|ours?)?)?(?![a-z])[\s.]*"
)
_RANGE = re.compile(r"(?<=[\w.])\s*(?:-|\u2013|\bto\b)\s*")

_PROGRESS_CHARACTERS = 4000
_BAR = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?)\s*%\s*\|")
_STEPS = re.compile(r"\bsteps?\s*:?\s*(\d{1,9})\s*(?:/|of)\s*(\d{1,9})\b", re.IGNORECASE)


def parse_json(source: bytes | str, *, exact_numbers: bool = False) -> Any:
    """Return what a JSON text holds.

    Args:
        source: the text; bytes are UTF-8, UTF-16 or UTF-32.
        exact_numbers: read fractions as `Decimal`, as money needs it.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return json.loads(
            source,
            parse_float=Decimal if exact_numbers else None,
            parse_constant=lambda _: None,
        )
    except (ValueError, InvalidOperation):
        # The parser's own error holds the whole text, and the text may hold a token.
        raise ValueError("not JSON") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def find_text(value: Any) -> str | None:
    """Return a scalar as text; None for null, and for lists and objects."""
    if isinstance(value, str):
        # Lone surrogates can be neither stored nor sent.
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        number = find_decimal(value)
        return None if number is None else format(number, "f")
    if isinstance(value, (int, float)):
        return str(value)
    return None


def read_text(value: Any) -> str:
    """Return a scalar as text, or an empty text."""
    return find_text(value) or ""


def find_name(value: Any) -> str | None:
    """Return a scalar as text without the space around it; None if nothing is left."""
    return read_text(value).strip() or None


def find_decimal(value: Any) -> Decimal | None:
    """Return a finite number, given as a number or as text; None for anything else."""
    if isinstance(value, (str, int, float, Decimal)) and not isinstance(value, bool):
        try:
            # Decimal accepts underscores in numbers, JSON does not.
            number = Decimal(str(value).strip().replace("_", "x"))
        except (InvalidOperation, ValueError):
            return None
        if number.is_finite() and abs(number.adjusted()) <= _LARGEST_EXPONENT:
            return number
    return None


def find_whole(value: Any) -> int | None:
    """Return a whole number of zero or more; None for anything else."""
    number = find_decimal(value)
    if number is None or number < 0 or number != number.to_integral_value():
        return None
    return int(number)


def find_seconds(value: Any) -> float | None:
    """Return a length of time: `60`, "60 seconds", "1 minute", "1-2 min" (its longer end).

    Returns:
        Seconds; None for zero, and for anything that is not a length of time.
    """
    text = read_text(value).strip().lower().lstrip("~≈ ")
    rest = _RANGE.split(text)[-1]
    seconds = 0.0
    while rest:
        part = _DURATION.match(rest)
        if part is None:
            return None
        seconds += float(part[1]) * _UNIT_SECONDS[part[2] or part[3] or part[4] or ""]
        rest = rest[part.end() :]
    return seconds or None


def find_truth(value: Any) -> bool | None:
    """Return a truth in any of its spellings; None if it is neither true nor false."""
    text = find_text(value)
    word = None if text is None else text.strip().lower()
    if word in _TRUE_WORDS:
        return True
    return False if word in _FALSE_WORDS else None


def find_object(value: Any) -> Mapping[str, Any] | None:
    """Return an object, also one inside a JSON string; None for anything else."""
    unpacked = _unpack(value)
    return unpacked if isinstance(unpacked, dict) else None


def find_list(value: Any) -> Sequence[Any] | None:
    """Return a list, also one inside a JSON string; None for anything else."""
    unpacked = _unpack(value)
    return unpacked if isinstance(unpacked, (list, tuple)) else None


def read_objects(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects of a list, without whatever else is in it."""
    return [item for item in find_list(value) or () if isinstance(item, dict)]


def read_words(value: Any) -> tuple[str, ...]:
    """Return a list of words: a list, a JSON string of one, or text with commas."""
    items = find_list(value)
    if items is None:
        items = read_text(value).split(",")
    words = (find_name(item) for item in items)
    return tuple(word for word in words if word is not None)


def read_slug(owner: Any, project: Any) -> str | None:
    """Return `owner/project`; None if either half is missing."""
    owner_name, project_name = find_name(owner), find_name(project)
    if owner_name is None or project_name is None:
        return None
    return f"{owner_name}/{project_name}"


def read_percentage(value: Any) -> float | None:
    """Return a percentage, moved into 0 to 100; None for anything that is not a number."""
    number = find_decimal(value)
    return None if number is None else float(min(max(number, Decimal(0)), Decimal(100)))


def find_percentage(output: str) -> float | None:
    """Return how far a task is by the newest line of its output that says so; None if none does.

    Wiro states a percentage on its WebSocket only. A model's output may hold the same messages as
    JSON, a progress bar, or a count of steps. A bare `83 %` says nothing: it may be the load of a
    machine.
    """
    # A progress bar writes over itself, so carriage returns end lines, too.
    for line in reversed(re.split(r"[\r\n]+", output[-_PROGRESS_CHARACTERS:])):
        percentage = _read_progress_line(line)
        if percentage is not None:
            return percentage
    return None


def _read_progress_line(line: str) -> float | None:
    message = find_object(line) if "percentage" in line else None
    if message is not None:
        return read_percentage(message.get("percentage"))
    if bars := _BAR.findall(line):
        return read_percentage(bars[-1])
    if steps := _STEPS.findall(line):
        done, total = map(int, steps[-1])
        return None if total == 0 else read_percentage(100 * done / total)
    return None


def _unpack(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError:
        return None
