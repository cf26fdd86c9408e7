"""A few small pictures from all along a film, in one pass and little memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wiro_dagster.errors import MediaError
from wiro_dagster.media.container import read_frames

if TYPE_CHECKING:
    from av import VideoFrame


def sample_frames(path: Path, *, most: int, longest_side: int) -> list[VideoFrame]:
    """Up to `most` pictures, evenly spread from the first on, shrunk to `longest_side` pixels.

    The length need not be known: whenever `most` are kept, every second one is dropped, and from
    then on half as many are taken.

    Raises:
        MediaError: the file does not decode, or has no pictures.
    """
    kept: list[VideoFrame] = []
    stride = 1
    for index, frame in enumerate(read_frames(path)):
        if index % stride:
            continue
        if len(kept) == most:
            kept = kept[::2]
            stride *= 2
            if index % stride:
                continue
        kept.append(shrink(frame, longest_side))
    if not kept:
        raise MediaError("It has no pictures.")
    return kept


def spread(frames: list[VideoFrame], count: int) -> list[VideoFrame]:
    """`count` of the frames, or all if there are fewer, evenly spread; the first is among them."""
    if count >= len(frames):
        return frames
    return [frames[index * len(frames) // count] for index in range(count)]


def shrink(frame: VideoFrame, longest_side: int) -> VideoFrame:
    """A picture at most `longest_side` pixels long, in the shape in which it is shown.

    Never enlarges. Keeps transparency.
    """
    ratio = display_ratio(frame)
    width, height = float(frame.width), frame.width / ratio
    scale = min(1.0, longest_side / max(width, height))
    transparent = any(part.is_alpha for part in frame.format.components)
    return frame.reformat(
        width=_even(width * scale),
        height=_even(height * scale),
        format="yuva420p" if transparent else "yuv420p",
        interpolation="AREA",
    )


def display_ratio(frame: VideoFrame) -> float:
    """Width by height as shown: pixels need not be square."""
    pixel = getattr(frame, "sample_aspect_ratio", None)
    return frame.width / frame.height * float(pixel or 1)


def _even(length: float) -> int:
    # Colour is kept at half the resolution.
    return max(2, round(length / 2) * 2)
