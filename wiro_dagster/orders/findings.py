"""What a delivered video shows, measured once while the file is at hand.

The findings are kept with the order, so that a check costs a look into the ledger and no decoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wiro_dagster.catalogue import LocalFileInput, check_unchanged
from wiro_dagster.errors import InputError, MediaError
from wiro_dagster.media import VideoInspection, aspect_ratio_of_image, inspect_video
from wiro_dagster.prompts import inputs_from_json

_PICTURE_NAME = re.compile(r"image|frame|photo|picture", re.IGNORECASE)
_NO_FIRST_PICTURE_NAME = re.compile(r"last|end|tail|mask|style|reference", re.IGNORECASE)


@dataclass(frozen=True)
class Findings:
    """What was measured on one video. What could not be measured is `None`."""

    inspection: VideoInspection | None = None
    problem: str | None = None
    """Why there is no inspection."""
    ratio: float | None = None
    """Width by height as shown."""
    image_ratio: float | None = None
    """The same of the first image that was sent along."""

    def to_json(self) -> dict[str, Any]:
        """As plain values, for the ledger."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Findings:
        """The reverse of `to_json`; keys of a later version are ignored."""
        measured = values.get("inspection")
        return cls(
            inspection=None if measured is None else _inspection_from(measured),
            problem=values.get("problem"),
            ratio=values.get("ratio"),
            image_ratio=values.get("image_ratio"),
        )


def inspect_delivery(path: Path, inputs: Mapping[str, Any]) -> Findings:
    """Measures a video that was delivered. Never raises: what is paid for is owned in any case.

    Args:
        path: the video.
        inputs: the order's, plain JSON.
    """
    try:
        inspection, ratio = inspect_video(path), aspect_ratio_of_image(path)
    except Exception as error:  # also what a decoder does with a file that nobody foresaw
        return Findings(problem=str(error) or type(error).__name__)
    return Findings(inspection=inspection, ratio=ratio, image_ratio=_measure_first_image(inputs))


def _measure_first_image(inputs: Mapping[str, Any]) -> float | None:
    """Its ratio; `None` where there is none, it is a URL, or is not any more what was sent."""
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


def _inspection_from(values: Mapping[str, Any]) -> VideoInspection:
    names = VideoInspection.__dataclass_fields__
    return VideoInspection(**{name: values[name] for name in names})
