"""Make small pictures of frames: in the shape in which they are shown, in colours that any take."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import VideoFrame

# What swscale converts. Frames of other colour spaces (ICtCp, YCgCo, BT.2020 with constant
# luminance) are taken for BT.709: their small pictures are a little off in colour.
_KNOWN_COLOUR_SPACES = frozenset({1, 2, 4, 5, 6, 7, 9})
_BT709 = 1

_FIRST_WITH_THREADS = 17

_TIME_BASE = Fraction(1, 1000)
_TURNS = {
    1: [("transpose", "cclock")],
    2: [("hflip", ""), ("vflip", "")],
    3: [("transpose", "clock")],
}
"""Filters by quarter turns anticlockwise."""


class Scaler:
    """Shrinks frames. It keeps what swscale prepared, so use one for each size that is wanted."""

    def gray(self, frame: VideoFrame, width: int, height: int) -> bytes:
        """Return a frame's brightness, a byte for each place, row by row."""
        small = self._scale(frame, width, height, "gray")
        plane = small.planes[0]
        rows, line_bytes = bytes(plane), plane.line_size
        if line_bytes == width:
            return rows[: width * height]
        return b"".join(rows[at * line_bytes : at * line_bytes + width] for at in range(height))

    def shrink(self, frame: VideoFrame, most_width: int, most_height: int) -> VideoFrame:
        """Return a frame that fits into a box, with square pixels, as stored (not turned).

        Never enlarges. Keeps transparency.
        """
        width, height = float(frame.width), frame.width / display_ratio(frame)
        scale = min(1.0, most_width / width, most_height / height)
        transparent = any(part.is_alpha for part in frame.format.components)
        pixels = "yuva420p" if transparent else "yuv420p"
        return self._scale(frame, _even(width * scale), _even(height * scale), pixels)

    def _scale(self, frame: VideoFrame, width: int, height: int, pixels: str) -> VideoFrame:
        if int(frame.colorspace) not in _KNOWN_COLOUR_SPACES:
            frame.colorspace = _BT709
        small: VideoFrame = self._reformatter.reformat(
            frame, width=width, height=height, format=pixels, interpolation="AREA", **_one_thread()
        )
        return small

    @cached_property
    def _reformatter(self) -> Any:
        from av.video.reformatter import VideoReformatter

        return VideoReformatter()


@cache
def _one_thread() -> dict[str, int]:
    """Return what keeps swscale from waking threads for a small picture; PyAV 17 began to."""
    import av

    return {"threads": 1} if int(av.__version__.partition(".")[0]) >= _FIRST_WITH_THREADS else {}


class Duration:
    """Reads how long frames of one stream are shown. Fractions are slow, so their unit is kept."""

    def __init__(self) -> None:
        self._unit: Fraction | None = None

    def of(self, frame: VideoFrame) -> float:
        """Return seconds; 0 if the frame does not say."""
        ticks = frame.duration or 0
        if not ticks:
            return 0.0
        self._unit = self._unit or frame.time_base
        return 0.0 if self._unit is None else ticks * self._unit.numerator / self._unit.denominator


def display_ratio(frame: VideoFrame) -> float:
    """Return width by height without turning the frame: pixels need not be square."""
    pixel = getattr(frame, "sample_aspect_ratio", None)
    return frame.width / frame.height * float(pixel or 1)


@dataclass(frozen=True)
class Shape:
    """How a picture is shown: turned, and with pixels that need not be square."""

    width: int
    height: int
    ratio: float
    """Width by height."""


def shape_of(frame: VideoFrame) -> Shape:
    """Return how a frame is shown."""
    ratio = display_ratio(frame)
    if is_turned(frame):
        return Shape(frame.height, frame.width, 1 / ratio)
    return Shape(frame.width, frame.height, ratio)


def is_turned(frame: VideoFrame) -> bool:
    """Tell whether a player turns a frame so that its width becomes its height."""
    return round(frame.rotation / 90) % 2 == 1


def upright(frame: VideoFrame, rotation: int) -> VideoFrame:
    """Return a small frame turned as a player turns it, by degrees anticlockwise."""
    import av

    turn = _TURNS.get(round(rotation / 90) % 4)
    if turn is None:
        return frame
    graph = av.filter.Graph()
    # The time base only has to be one.
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=_TIME_BASE
    )
    steps = [source, *(graph.add(name, options) for name, options in turn), graph.add("buffersink")]
    for earlier, later in pairwise(steps):
        earlier.link_to(later)
    graph.configure()
    graph.push(frame)
    turned = graph.pull()
    assert isinstance(turned, av.VideoFrame)
    return turned


def _even(length: float) -> int:
    # Colour is kept at half the resolution.
    return max(2, round(length / 2) * 2)
