"""What was ordered, read from a run's inputs: the length and the size of its output.

Quotes and the checks on delivered videos read the same table, so that what is paid for is checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wiro_dagster.catalogue.values import find_amount, find_number, is_absent, wire_text

# Names are compared without case and punctuation: video_length and videoLength are one.
_SECONDS_NAMES = frozenset(
    {"duration", "seconds", "durationseconds", "videoduration", "videolength", "videoseconds"}
)
_LINES_NAMES = frozenset({"resolution", "videoresolution", "outputresolution"})
_SIZE_NAMES = _LINES_NAMES | {"quality", "size", "videosize", "imagesize", "outputsize"}
_SIDES = re.compile(r"(\d{2,5})\s*[x\u00d7*]\s*(\d{2,5})", re.IGNORECASE)
_KILO = re.compile(r"([1-9]\d?)k", re.IGNORECASE)
_FEWEST_LINES, _MOST_LINES = 100, 9999
_LINES_OF_KILO = {2: 1440, 4: 2160, 8: 4320}


@dataclass(frozen=True, slots=True)
class OrderedResolution:
    """The size of an output as it was ordered.

    Args:
        text: as it was written.
        sides: width and height, if both are stated.
        lines: the shorter side of a video, if only that is stated.
        kilo: the number before the K of "2K", which names an area of about that many times 1024,
            squared.
    """

    text: str
    sides: tuple[int, int] | None = None
    lines: int | None = None
    kilo: int | None = None


def ordered_seconds(inputs: Mapping[str, Any]) -> Decimal | None:
    """Return the length that a run was asked for; `None` if no input states it."""
    for _, text in list_texts(inputs, _SECONDS_NAMES):
        amount = find_amount(text)
        if amount is not None and amount[1] in {"", "s"}:
            return amount[0]
    return None


def ordered_resolution(inputs: Mapping[str, Any]) -> OrderedResolution | None:
    """Return the size that a run was asked for; `None` if no input states it."""
    numbers = {folded(n): find_number(t) for n, t in list_texts(inputs, {"width", "height"})}
    width, height = numbers.get("width"), numbers.get("height")
    if width and height and min(width, height) >= 1:
        sides = math.ceil(width), math.ceil(height)
        return OrderedResolution(f"{sides[0]}x{sides[1]}", sides)
    found = (
        _read_resolution(text, is_bare_allowed=folded(name) in _LINES_NAMES)
        for name, text in list_texts(inputs, _SIZE_NAMES)
    )
    return next((resolution for resolution in found if resolution is not None), None)


def _read_resolution(text: str, *, is_bare_allowed: bool) -> OrderedResolution | None:
    if sides := _SIDES.fullmatch(text):
        return OrderedResolution(text, (int(sides[1]), int(sides[2])))
    if kilo := _KILO.fullmatch(text):
        thousands = int(kilo[1])
        return OrderedResolution(text, lines=_LINES_OF_KILO.get(thousands), kilo=thousands)
    number, unit = find_amount(text) or (Decimal(0), "")
    is_lines = unit == "p" or (is_bare_allowed and not unit)
    if is_lines and number == int(number) and _FEWEST_LINES <= number <= _MOST_LINES:
        return OrderedResolution(text, lines=int(number))
    return None


def list_texts(
    inputs: Mapping[str, Any], names: frozenset[str] | set[str]
) -> Iterator[tuple[str, str]]:
    """Yield the inputs whose folded names are among these, as text on the wire."""
    for name in inputs:
        text = text_of(inputs, name) if folded(name) in names else ""
        if text:
            yield name, text


def text_of(inputs: Mapping[str, Any], name: str) -> str:
    """Return an input as its text on the wire; empty if it is not given or not a scalar."""
    try:
        value = inputs.get(name)
        return "" if is_absent(value) else wire_text(value)
    except ValueError:
        return ""


def folded(name: str) -> str:
    """Return a name without case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())
