"""What is in a file that was paid for: does it decode, what does it show, a small moving preview.

All decoding is done with PyAV, which is imported when a file is first opened, not before.
"""

from __future__ import annotations

from wiro_dagster.media.facts import MediaFacts, MediaKind
from wiro_dagster.media.inspection import VideoInspection, aspect_ratio_of_image, inspect_video
from wiro_dagster.media.preview import make_poster, make_preview, preview_markdown
from wiro_dagster.media.probe import probe_media

__all__ = [
    "MediaFacts",
    "MediaKind",
    "VideoInspection",
    "aspect_ratio_of_image",
    "inspect_video",
    "make_poster",
    "make_preview",
    "preview_markdown",
    "probe_media",
]
