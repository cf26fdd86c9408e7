"""Pictures small enough for a record: a moving preview and a still poster, both WebP."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from wiro_dagster.media.scaling import Scaler, is_turned, upright
from wiro_dagster.media.webp import animate

if TYPE_CHECKING:
    from av import VideoFrame

PREVIEW_BYTES = 18_000
"""As a data URI a third more: the 24 KB that an event may carry."""
POSTER_BYTES = 12_000
"""A gallery carries one for each video."""

_TIME_BASE = Fraction(1, 1000)
_MOST_KEPT = 16
_KEPT_WIDTH = 480
_MOST_HEIGHT = 640
_FRAME_SECONDS = 1 / 4
_ENCODER_EFFORT = "1"  # a sixth of the time of libwebp's own choice, for a tenth more bytes
_HOPEFUL_SHARE = 0.9
"""What an estimate may take of the room, so that few encodings turn out too large."""
_MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]<>()#!|~&$])")
_BACKSLASHED = r"\\\1"
_ALT_CHARACTERS = 200


class _Setting(NamedTuple):
    width: int
    frames: int
    quality: int

    def weigh(self, frames: Sequence[VideoFrame]) -> float:
        """Return what a setting costs in bytes, roughly, in relation to other settings."""
        width = min(self.width, frames[0].width)
        return float(width**1.7 * min(self.frames, len(frames)) * (12 + self.quality))


# From good to poor; the first that fits is taken.
_MOVING = (
    _Setting(320, 12, 60),
    _Setting(320, 12, 40),
    _Setting(320, 10, 30),
    _Setting(320, 8, 25),
    _Setting(320, 8, 15),
    _Setting(320, 7, 10),
    _Setting(320, 6, 5),
    _Setting(320, 5, 3),
    _Setting(320, 4, 2),
    _Setting(320, 3, 0),
    _Setting(320, 2, 0),
    _Setting(224, 4, 0),
    _Setting(160, 4, 0),
    _Setting(112, 4, 0),
    _Setting(64, 3, 0),
    _Setting(32, 2, 0),
)
_STILL = (
    _Setting(480, 1, 75),
    _Setting(480, 1, 50),
    _Setting(480, 1, 30),
    _Setting(320, 1, 50),
    _Setting(320, 1, 25),
    _Setting(320, 1, 5),
    _Setting(240, 1, 5),
    _Setting(160, 1, 5),
    _Setting(96, 1, 5),
    _Setting(64, 1, 0),
    _Setting(32, 1, 0),
)


class Album:
    """Keeps a few small frames from all along a film, in little memory.

    The length need not be known: whenever the album is full, every second frame is dropped, and
    from then on half as many are taken.

    Args:
        expected_frames: how many frames may come, 0 if that is not known. Only a hint.
    """

    def __init__(self, expected_frames: int = 0) -> None:
        self._kept: list[VideoFrame] = []
        self._stride = max(1, expected_frames // _MOST_KEPT)
        self._seen = 0
        self._scaler = Scaler()
        self._bytes_per_weight = 0.0
        """As the newest picture has shown."""

    def see(self, frame: VideoFrame) -> None:
        """Keep a frame, if it is one of those that stand for the film."""
        index = self._seen
        self._seen += 1
        if index % self._stride:
            return
        if len(self._kept) == _MOST_KEPT:
            self._kept = self._kept[::2]
            self._stride *= 2
            if index % self._stride:
                return
        width, height = _KEPT_WIDTH, _MOST_HEIGHT
        if is_turned(frame):
            width, height = height, width
        self._kept.append(upright(self._scaler.shrink(frame, width, height), frame.rotation))

    def preview(self, max_bytes: int = PREVIEW_BYTES) -> bytes | None:
        """Return a short animated WebP that runs through the whole film again and again.

        Of a single frame a still. The same frames give the same bytes. Quality, the number of
        frames and at last the size fall until the result fits.

        Returns:
            None if there are no frames, or nothing fits.
        """
        if len(self._kept) < 2:  # noqa: PLR2004 - two frames make a film
            return self.poster(max_bytes)
        return self._first_that_fits(self._kept, _MOVING, max_bytes)

    def poster(self, max_bytes: int = POSTER_BYTES) -> bytes | None:
        """Return a still WebP from the middle of the film; None as `preview` does."""
        middle = self._kept[len(self._kept) // 2 :][:1]
        return self._first_that_fits(middle, _STILL, max_bytes)

    def _first_that_fits(
        self, frames: Sequence[VideoFrame], settings: Sequence[_Setting], max_bytes: int
    ) -> bytes | None:
        passed_over: list[_Setting] = []
        found: bytes | None = None
        for setting in settings if frames else ():
            # Encoding takes most of the time, so what can hardly fit is not tried. At the lowest
            # quality it is: a preview must not get narrow because of an estimate.
            if setting.quality > 0 and not self._may_fit(frames, setting, max_bytes):
                passed_over.append(setting)
                continue
            found = self._encode_within(frames, setting, max_bytes)
            if found is not None:
                break
        if found is None:
            return None
        # What has been tried since tells better what fits.
        for setting in passed_over:
            if self._may_fit(frames, setting, max_bytes):
                better = self._encode_within(frames, setting, max_bytes)
                if better is not None:
                    return better
        return found

    def _may_fit(self, frames: Sequence[VideoFrame], setting: _Setting, max_bytes: int) -> bool:
        return setting.weigh(frames) * self._bytes_per_weight <= _HOPEFUL_SHARE * max_bytes

    def _encode_within(
        self, frames: Sequence[VideoFrame], setting: _Setting, max_bytes: int
    ) -> bytes | None:
        webp = self._encode(frames, setting)
        self._bytes_per_weight = len(webp) / setting.weigh(frames)
        return webp if len(webp) <= max_bytes else None

    def _encode(self, frames: Sequence[VideoFrame], setting: _Setting) -> bytes:
        scaler = Scaler()
        chosen = [
            scaler.shrink(frame, setting.width, min(2 * setting.width, _MOST_HEIGHT))
            for frame in _spread(frames, setting.frames)
        ]
        stills = list(_encode_stills(chosen, setting.quality))
        if len(stills) == 1:
            return stills[0]
        return animate(stills, chosen[0].width, chosen[0].height, frame_seconds=_FRAME_SECONDS)


def preview_markdown(webp: bytes, alt: str) -> str:
    """Return Markdown that shows a WebP picture without fetching anything.

    Args:
        webp: the picture.
        alt: what it shows, any text.
    """
    line = " ".join(alt.split())[:_ALT_CHARACTERS]
    encoded = base64.b64encode(webp).decode("ascii")
    return f"![{_MARKDOWN_SIGNS.sub(_BACKSLASHED, line)}](data:image/webp;base64,{encoded})"


def _spread(frames: Sequence[VideoFrame], count: int) -> Sequence[VideoFrame]:
    """Return `count` of the frames, evenly spread from the first on, or all if there are fewer."""
    if count >= len(frames):
        return frames
    return [frames[index * len(frames) // count] for index in range(count)]


def _encode_stills(frames: Sequence[VideoFrame], quality: int) -> Iterator[bytes]:
    import av

    encoder: Any = av.CodecContext.create("libwebp", "w")
    encoder.width, encoder.height = frames[0].width, frames[0].height
    encoder.pix_fmt = frames[0].format.name
    encoder.time_base = _TIME_BASE
    encoder.options = {"quality": str(quality), "compression_level": _ENCODER_EFFORT}
    for index, frame in enumerate(frames):
        frame.pts, frame.time_base = index, _TIME_BASE
        yield from (bytes(packet) for packet in encoder.encode(frame))
    yield from (bytes(packet) for packet in encoder.encode(None))
