"""What was ordered: one reading for quotes and for the checks on videos."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from wiro_dagster.catalogue.ordered import OrderedResolution, ordered_resolution, ordered_seconds


@pytest.mark.parametrize("name", ["duration", "video_length", "videoSeconds", "Duration-Seconds"])
@pytest.mark.parametrize("given", [10, "10", 10.0, "10s", "10 secs", " 10 Seconds "])
def test_a_length_is_read_in_every_spelling(name: str, given: object) -> None:
    """Models name it in their own ways."""
    assert ordered_seconds({"prompt": "5", name: given}) == Decimal(10)


@pytest.mark.parametrize(
    "inputs", [{}, {"duration": "long"}, {"duration": [10]}, {"duration": "10p"}, {"fps": 24}]
)
def test_a_length_that_nothing_states_is_unknown(inputs: dict[str, Any]) -> None:
    """A guess would be checked and paid."""
    assert ordered_seconds(inputs) is None


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({"resolution": "768P"}, OrderedResolution("768P", lines=768)),
        ({"resolution": 1080}, OrderedResolution("1080", lines=1080)),
        ({"quality": "720p"}, OrderedResolution("720p", lines=720)),
        ({"quality": "high", "size": "2k"}, OrderedResolution("2k", lines=1440, kilo=2)),
        ({"videoSize": "1280 x 720"}, OrderedResolution("1280 x 720", sides=(1280, 720))),
        ({"image_size": "12K"}, OrderedResolution("12K", kilo=12)),
        ({"width": 640, "height": "480"}, OrderedResolution("640x480", sides=(640, 480))),
        ({"width": 640}, None),
        ({"quality": 100}, None),
        ({"size": "large"}, None),
        ({"resolution": "50"}, None),
        ({"resolution": {"a": 1}}, None),
    ],
)
def test_a_size_is_sides_lines_or_kilo(
    inputs: dict[str, Any], found: OrderedResolution | None
) -> None:
    """A bare number is lines under the name of a resolution only: a quality of 100 is none."""
    assert ordered_resolution(inputs) == found
