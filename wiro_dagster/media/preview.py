"""A moving picture small enough to be kept inside a record: animated WebP as a data URI."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from wiro_dagster.errors import MediaError
from wiro_dagster.media.sampling import sample_frames, shrink, spread

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.stream import VideoStream

_FRAMES_PER_SECOND = 6
_MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]<>()#!|~&$])")
_ALT_CHARACTERS = 200


class _Setting(NamedTuple):
    longest_side: int
    frames: int
    quality: int


# From good to poor; the first that fits is taken.
_MOVING = (
    _Setting(160, 20, 70),
    _Setting(160, 16, 60),
    _Setting(160, 12, 50),
    _Setting(160, 12, 35),
    _Setting(160, 10, 25),
    _Setting(128, 10, 25),
    _Setting(128, 8, 15),
    _Setting(96, 8, 15),
    _Setting(96, 6, 5),
    _Setting(64, 6, 5),
    _Setting(48, 4, 0),
)
_STILL = (
    _Setting(480, 1, 80),
    _Setting(480, 1, 60),
    _Setting(320, 1, 60),
    _Setting(240, 1, 50),
    _Setting(160, 1, 40),
    _Setting(96, 1, 25),
    _Setting(64, 1, 10),
    _Setting(32, 1, 0),
)


def make_preview(path: Path, *, max_bytes: int = 24_000) -> bytes:
    """A short animated WebP that runs through the whole film for ever; a still for an image.

    The same file gives the same bytes. Size and quality fall until the result fits.

    Args:
        path: a film or an image.
        max_bytes: the most the result may take. As a data URI it takes a third more.

    Raises:
        MediaError: the file does not decode, has no pictures, or `max_bytes` is too little.
    """
    frames = sample_frames(path, most=2 * _MOVING[0].frames, longest_side=_MOVING[0].longest_side)
    if len(frames) == 1:
        return make_poster(path, max_bytes=max_bytes)
    return _first_that_fits(frames, _MOVING, max_bytes)


def make_poster(path: Path, *, max_bytes: int = 24_000) -> bytes:
    """A still WebP from the middle of a film, or of an image.

    Raises:
        MediaError: the file does not decode, has no pictures, or `max_bytes` is too little.
    """
    frames = sample_frames(path, most=16, longest_side=_STILL[0].longest_side)
    return _first_that_fits([frames[len(frames) // 2]], _STILL, max_bytes)


def preview_markdown(webp: bytes, alt: str) -> str:
    """Markdown that shows a WebP picture without fetching anything.

    Args:
        webp: the picture.
        alt: what it shows, any text.
    """
    line = " ".join(alt.split())[:_ALT_CHARACTERS]
    encoded = base64.b64encode(webp).decode("ascii")
    return f"![{_MARKDOWN_SIGNS.sub(_BACKSLASHED, line)}](data:image/webp;base64,{encoded})"


_BACKSLASHED = r"\\\1"


def _first_that_fits(
    frames: list[VideoFrame], settings: Sequence[_Setting], max_bytes: int
) -> bytes:
    webp = b""
    for setting in settings:
        chosen = [shrink(frame, setting.longest_side) for frame in spread(frames, setting.frames)]
        webp = _encode(chosen, setting.quality)
        if len(webp) <= max_bytes:
            return webp
    raise MediaError(f"Its smallest picture takes {len(webp)} bytes; {max_bytes} are allowed.")


def _encode(frames: Sequence[VideoFrame], quality: int) -> bytes:
    import av

    buffer = io.BytesIO()
    rate = Fraction(_FRAMES_PER_SECOND)
    encoder = "libwebp_anim" if len(frames) > 1 else "libwebp"
    with av.open(buffer, "w", format="webp", options={"loop": "0"}) as output:
        stream = cast("VideoStream", output.add_stream(encoder, rate=rate))
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = frames[0].format.name
        stream.options = {"quality": str(quality), "compression_level": "5"}
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()
