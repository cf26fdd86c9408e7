"""What a delivered file shows, measured once while it is at hand.

The findings are kept with the order, so that a check costs a look into the ledger and no decoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wiro_dagster.catalogue import LocalFileInput, check_unchanged
from wiro_dagster.errors import InputError, MediaError
from wiro_dagster.media import FrameMeasures, Inspection, aspect_ratio_of_image
from wiro_dagster.prompts import inputs_from_json

_PICTURE_NAME = re.compile(r"image|frame|photo|picture", re.IGNORECASE)
_NO_FIRST_PICTURE_NAME = re.compile(r"last|end|tail|mask|style|reference", re.IGNORECASE)


@dataclass(frozen=True)
class Findings:
    """What was seen of one file. What could not be measured is `None`."""

    measures: FrameMeasures | None = None
    """Of a video."""
    problem: str | None = None
    """What is wrong with the file."""
    unseen: str | None = None
    """Why it, or the rest of it, was not looked at."""
    unheard: str | None = None
    """Why the sound of a film was not looked at."""
    ratio: float | None = None
    """Width by height as shown."""
    image_ratio: float | None = None
    """The same of the first image that was sent along."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for the ledger."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Findings:
        """Reverse `to_json`; keys of a later version are ignored."""
        measured = values.get("measures")
        return cls(
            measures=None if measured is None else FrameMeasures.from_json(measured),
            problem=values.get("problem"),
            unseen=values.get("unseen"),
            unheard=values.get("unheard"),
            ratio=values.get("ratio"),
            image_ratio=values.get("image_ratio"),
        )


def find_out(seen: Inspection, inputs: Mapping[str, Any]) -> Findings:
    """Return what the checks need of a delivered file.

    Args:
        seen: what looking at it has shown.
        inputs: the order's, plain JSON.
    """
    is_video = seen.facts.kind == "video"
    return Findings(
        measures=seen.measures,
        problem=seen.problem,
        unseen=seen.unseen,
        unheard=seen.unheard,
        ratio=seen.ratio if is_video else None,
        image_ratio=_measure_first_image(inputs) if is_video and seen.ratio else None,
    )


def _measure_first_image(inputs: Mapping[str, Any]) -> float | None:
    """Return its ratio; `None` if the image is missing, a URL, or changed since."""
    image = next(_list_first_images(inputs_from_json(inputs)), None)
    if image is None:
        return None
    try:
        check_unchanged(image)
        return aspect_ratio_of_image(image.path)
    except (InputError, MediaError, OSError):
        return None


def _list_first_images(inputs: Mapping[str, Any]) -> Iterator[LocalFileInput]:
    for name, value in inputs.items():
        if not _PICTURE_NAME.search(name) or _NO_FIRST_PICTURE_NAME.search(name):
            continue
        first = value[0] if isinstance(value, tuple) and value else value
        if isinstance(first, LocalFileInput):
            yield first
