"""What is in a file that was paid for: does it decode, what does it show, a small moving preview.

All decoding is done with PyAV. It is imported when a file is first opened, and at once only in a
process that does nothing but decode.
"""

from __future__ import annotations

from wiro_dagster.media.apart import inspect_apart, prepare_decoder
from wiro_dagster.media.boxes import count_missing_bytes
from wiro_dagster.media.facts import FrameMeasures, Inspection, MediaFacts, MediaKind
from wiro_dagster.media.inspection import Verify, aspect_ratio_of_image, inspect, probe_media
from wiro_dagster.media.pictures import preview_markdown

__all__ = [
    "FrameMeasures",
    "Inspection",
    "MediaFacts",
    "MediaKind",
    "Verify",
    "aspect_ratio_of_image",
    "count_missing_bytes",
    "inspect",
    "inspect_apart",
    "prepare_decoder",
    "preview_markdown",
    "probe_media",
]
