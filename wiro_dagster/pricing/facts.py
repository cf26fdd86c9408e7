"""What can be known of a run before it: read from its inputs, or stated by the caller."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from wiro_dagster.api.types import ModelDetail
from wiro_dagster.catalogue import FileInput, schema_from_model_detail
from wiro_dagster.catalogue.file_values import is_url
from wiro_dagster.catalogue.values import find_number, is_absent, wire_text

Certainty = Literal["exact", "bound", "estimate", "unbounded"]
"""How sure a figure is: it is so; it is at most so; it is likely; it may be any number more."""

# Names are compared without case and punctuation: num_images, numImages and "num images" are one.
_COUNT_NAMES = frozenset(
    {"samples", "count", "n", "batchsize"}
    | {f"{word}{thing}" for word in ("num", "max", "numberof") for thing in ("images", "outputs")}
    | {f"{thing}count" for thing in ("image", "output", "images", "outputs")}
    | {"numsamples", "numvideos", "videocount", "maxvideos", "numberofvideos"}
)
_SECONDS_NAMES = frozenset(
    {"duration", "seconds", "durationseconds", "videoduration", "videolength", "videoseconds"}
)
_SIZE_NAMES = frozenset({"size", "imagesize", "outputsize", "resolution", "outputresolution"})

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(?:s|sec|secs|second|seconds)?", re.IGNORECASE)
_WIDTH_BY_HEIGHT = re.compile(r"(\d{2,5})\s*[x\u00d7*]\s*(\d{2,5})", re.IGNORECASE)
_LINES = re.compile(r"(\d{3,4})p", re.IGNORECASE)
_KILO = re.compile(r"([1-9]\d?)k", re.IGNORECASE)
_WIDEST = (21, 9)
# "2K" and the like name an area of about n times 1024 squared, give or take its rounding.
_KILO_SLACK = Decimal("1.1")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a caller knows of a run; `None` leaves it to the inputs.

    Args:
        output_count: how many files it makes.
        output_pixels: of one output, width times height.
        output_seconds: the length of its video.
        audio_seconds: the length of its input audio.
        token_limit: the most tokens it can read and write together.
        longest_run_seconds: when a run is stopped, so that it cannot be billed for more.
    """

    output_count: int | None = None
    output_pixels: int | None = None
    output_seconds: Decimal | None = None
    audio_seconds: Decimal | None = None
    token_limit: int | None = None
    longest_run_seconds: Decimal | None = None


@dataclass(frozen=True)
class RunSize:
    """The figures that prices multiply with.

    Args:
        model: the model.
        inputs: the run's inputs as they go over the wire.
        facts: what the caller knows.
    """

    model: ModelDetail
    inputs: Mapping[str, Any]
    facts: RunFacts

    @cached_property
    def output_count(self) -> tuple[int, Certainty]:
        """How many files the run makes."""
        if self.facts.output_count is not None:
            return self.facts.output_count, "exact"
        for name, value in self._scalars(_COUNT_NAMES):
            number = find_number(value)
            if number is not None and number >= 1:
                return math.ceil(number), "bound" if _folded(name).startswith("max") else "exact"
        if self.model.parameters is None or self._declares(_COUNT_NAMES):
            return 1, "unbounded"
        return 1, "estimate"

    @cached_property
    def output_pixels(self) -> tuple[int, Certainty] | None:
        """Width times height of one output; `None` where nothing says."""
        if self.facts.output_pixels is not None:
            return self.facts.output_pixels, "exact"
        sides = dict.fromkeys(("width", "height"), Decimal(0))
        for name, value in self._scalars(frozenset(sides)):
            sides[_folded(name)] = find_number(value) or Decimal(0)
        if all(side >= 1 for side in sides.values()):
            return math.ceil(sides["width"] * sides["height"]), "exact"
        for _, value in self._scalars(_SIZE_NAMES):
            pixels = _read_pixels(value)
            if pixels is not None:
                return pixels
        return None

    @cached_property
    def output_seconds(self) -> Decimal | None:
        """The length of the video asked for."""
        if self.facts.output_seconds is not None:
            return self.facts.output_seconds
        for _, value in self._scalars(_SECONDS_NAMES):
            if match := _SECONDS.fullmatch(value):
                return Decimal(match.group(1))
        return None

    @cached_property
    def prompt(self) -> str | None:
        """The prompt's text; `None` where it is not known which input that is."""
        name = schema_from_model_detail(self.model).prompt_input
        value = None if name is None else self.inputs.get(name)
        return value if isinstance(value, str) else None

    @cached_property
    def input_image_count(self) -> int:
        """How many input files may be images: all but those under names of sound or video."""
        names = self._file_names()
        images = (n for n in names if not re.search("audio|video|voice|music", n, re.IGNORECASE))
        return sum(self.count_files(name) for name in images)

    def count_files(self, name: str) -> int:
        """How many files and URLs an input has, those under its `…Url` name included."""
        count = _count(self.inputs.get(name))
        urls = self.inputs.get(f"{name}Url")
        if isinstance(urls, str):
            count += len([url for url in urls.split(",") if url.strip()])
        return count

    def text_of(self, name: str) -> str:
        """An input as its text on the wire; empty where it is not given or is no scalar."""
        try:
            value = self.inputs.get(name)
            return "" if is_absent(value) else wire_text(value)
        except ValueError:
            return ""

    def _scalars(self, names: frozenset[str]) -> Iterator[tuple[str, str]]:
        for name in self.inputs:
            text = self.text_of(name) if _folded(name) in names else ""
            if text:
                yield name, text

    def _declares(self, names: frozenset[str]) -> bool:
        groups = self.model.parameters or ()
        return any(_folded(item.id) in names for group in groups for item in group.items)

    def _file_names(self) -> set[str]:
        if self.model.parameters is None:
            return {
                name.removesuffix("Url")
                for name, value in self.inputs.items()
                if isinstance(value, (FileInput, tuple))
                or (isinstance(value, str) and is_url(value))
            }
        items = (item for group in self.model.parameters for item in group.items)
        return {item.id for item in items if item.type.endswith("fileinput")}


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _count(value: object) -> int:
    if is_absent(value):
        return 0
    return len(value) if isinstance(value, (tuple, list)) else 1


def _read_pixels(text: str) -> tuple[int, Certainty] | None:
    if sides := _WIDTH_BY_HEIGHT.fullmatch(text.strip()):
        return int(sides.group(1)) * int(sides.group(2)), "exact"
    if lines := _LINES.fullmatch(text.strip()):
        short = int(lines.group(1))
        return short * math.ceil(short * Decimal(_WIDEST[0]) / _WIDEST[1]), "bound"
    if kilo := _KILO.fullmatch(text.strip()):
        return math.ceil((int(kilo.group(1)) * 1024) ** 2 * _KILO_SLACK), "bound"
    return None
