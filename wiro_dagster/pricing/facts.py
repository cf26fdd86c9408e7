"""What can be known of a run before it: read from its inputs, or stated by the caller."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from wiro_dagster.api.models import ModelDetail
from wiro_dagster.catalogue import FileInput, schema_from_model_detail
from wiro_dagster.catalogue.file_values import is_url
from wiro_dagster.catalogue.ordered import folded, list_texts, ordered_resolution, ordered_seconds
from wiro_dagster.catalogue.values import find_number, is_absent

Certainty = Literal["exact", "bound", "estimate", "unbounded"]
"""How sure a figure is: it is so; it is at most so; it is likely; it may be any number more."""

# Names are compared without case and punctuation: num_images, numImages and "num images" are one.
_COUNT_NAMES = frozenset(
    {"samples", "count", "n", "batchsize"}
    | {f"{word}{thing}" for word in ("num", "max", "numberof") for thing in ("images", "outputs")}
    | {f"{thing}count" for thing in ("image", "output", "images", "outputs")}
    | {"numsamples", "numvideos", "videocount", "maxvideos", "numberofvideos"}
)
_WIDEST = (21, 9)
# "2K" and the like name an area of about n times 1024 squared, give or take its rounding.
_KILO_SLACK = Decimal("1.1")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a caller knows of a run beside its inputs.

    Args:
        audio_seconds: the length of its input audio; `None` if that is not known.
        longest_run_seconds: when a run is stopped, so that it cannot be billed for more; `None` if
            nothing stops it.
    """

    audio_seconds: Decimal | None = None
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
        for name, text in list_texts(self.inputs, _COUNT_NAMES):
            number = find_number(text)
            if number is not None and number >= 1:
                return math.ceil(number), "bound" if folded(name).startswith("max") else "exact"
        if self.model.inputs is None or self._declares(_COUNT_NAMES):
            return 1, "unbounded"
        return 1, "estimate"

    @cached_property
    def output_pixels(self) -> tuple[int, Certainty] | None:
        """Width times height of one output; `None` if no input states it."""
        ordered = ordered_resolution(self.inputs)
        if ordered is None:
            return None
        if ordered.sides is not None:
            return ordered.sides[0] * ordered.sides[1], "exact"
        if ordered.kilo is not None:
            return math.ceil((ordered.kilo * 1024) ** 2 * _KILO_SLACK), "bound"
        short = ordered.lines or 0
        return short * math.ceil(short * Decimal(_WIDEST[0]) / _WIDEST[1]), "bound"

    @cached_property
    def output_seconds(self) -> Decimal | None:
        """The length of the video asked for."""
        return ordered_seconds(self.inputs)

    @cached_property
    def prompt(self) -> str | None:
        """The prompt's text; `None` if it is not known which input that is."""
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

    def _declares(self, names: frozenset[str]) -> bool:
        return any(folded(spec.id) in names for spec in self.model.inputs or ())

    def _file_names(self) -> set[str]:
        if self.model.inputs is None:
            return {
                name.removesuffix("Url")
                for name, value in self.inputs.items()
                if isinstance(value, (FileInput, tuple))
                or (isinstance(value, str) and is_url(value))
            }
        return {spec.id for spec in self.model.inputs if spec.is_file}


def _count(value: object) -> int:
    if is_absent(value):
        return 0
    return len(value) if isinstance(value, (tuple, list)) else 1
