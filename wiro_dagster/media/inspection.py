"""Look at a film for what goes wrong in generated video: black pictures, and pictures that stand.

Nothing here judges; it measures, so that a check can say which frame and which number.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wiro_dagster.errors import MediaError
from wiro_dagster.media.animated_webp import is_animated_webp, split_animated_webp
from wiro_dagster.media.container import read_frames
from wiro_dagster.media.sampling import display_ratio

if TYPE_CHECKING:
    from av import VideoFrame

_WIDTH, _HEIGHT = 64, 36
_SAMPLES_PER_SECOND = 12.0
_TIME_ROUNDING_SECONDS = 0.001

# A picture is black when 98 of 100 places are no brighter than a tenth above video black, as in
# FFmpeg's blackdetect.
_BLACK_LEVEL = 38
_BLACK_SHARE = 0.98

# Encoders let a picture that stands still breathe by a level or two.
_SAME_LEVELS = 2


@dataclass(frozen=True)
class VideoInspection:
    """What was measured, on up to twelve pictures a second. Frame numbers count from 0."""

    frame_count: int
    """All frames that were decoded."""
    duration_seconds: float
    sampled_count: int
    """Frames that were looked at."""
    black_count: int
    """Those of them that are black."""
    first_black_frame: int | None
    first_black_seconds: float | None
    frozen_seconds: float
    """The longest stretch in which nothing moves."""
    frozen_start_frame: int | None
    frozen_start_seconds: float | None

    @property
    def black_share(self) -> float:
        """Black ones among the frames that were looked at, 0 to 1."""
        return self.black_count / self.sampled_count

    @property
    def frozen_share(self) -> float:
        """The longest standing stretch as a part of the whole length, 0 to 1."""
        return self.frozen_seconds / self.duration_seconds if self.duration_seconds else 0.0


def inspect_video(path: Path) -> VideoInspection:
    """Measure a film for black and standing pictures.

    Raises:
        MediaError: the file does not decode, or has no pictures.
    """
    reel = _Reel()
    still = _StillRuns()
    black_count = 0
    first_black: _Sample | None = None
    for frame in read_frames(path):
        sample = reel.take(frame)
        if sample is None:
            continue
        still.see(sample)
        if _is_black(sample.picture):
            black_count += 1
            first_black = first_black or sample
    if not reel.frame_count:
        raise MediaError("It has no pictures.")
    still.end(reel.end_seconds)
    return VideoInspection(
        frame_count=reel.frame_count,
        duration_seconds=reel.end_seconds,
        sampled_count=reel.sampled_count,
        black_count=black_count,
        first_black_frame=first_black.frame if first_black else None,
        first_black_seconds=first_black.seconds if first_black else None,
        frozen_seconds=still.longest_seconds,
        frozen_start_frame=still.longest_start.frame if still.longest_start else None,
        frozen_start_seconds=still.longest_start.seconds if still.longest_start else None,
    )


def aspect_ratio_of_image(path: Path) -> float:
    """Width by height of an image as it is shown: turned as its camera says.

    Raises:
        MediaError: the file does not decode, or has no pictures.
    """
    if is_animated_webp(path):
        canvas = split_animated_webp(path.read_bytes())
        return canvas.width / canvas.height
    for frame in read_frames(path):
        ratio = display_ratio(frame)
        return 1 / ratio if frame.rotation % 180 else ratio
    raise MediaError("It has no pictures.")


@dataclass(frozen=True)
class _Sample:
    frame: int
    seconds: float
    picture: bytes


class _Reel:
    """Counts frames and time, and shrinks the frames that are looked at."""

    def __init__(self) -> None:
        self.frame_count = 0
        self.sampled_count = 0
        self.end_seconds = 0.0
        self._start_seconds: float | None = None
        self._next_seconds = 0.0

    def take(self, frame: VideoFrame) -> _Sample | None:
        """A sample of the frame; None where it comes too soon after the one before."""
        # A frame without a time follows the one before it.
        seconds = self.end_seconds
        if frame.time is not None:
            self._start_seconds = frame.time if self._start_seconds is None else self._start_seconds
            seconds = frame.time - self._start_seconds
        number = self.frame_count
        self.frame_count += 1
        self.end_seconds = seconds + float((frame.duration or 0) * (frame.time_base or 0))
        if seconds < self._next_seconds:
            return None
        self._next_seconds = seconds + 1 / _SAMPLES_PER_SECOND - _TIME_ROUNDING_SECONDS
        self.sampled_count += 1
        return _Sample(number, seconds, _small_gray(frame))


class _StillRuns:
    """Finds the longest run of samples that look like the first of their run."""

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self.longest_start: _Sample | None = None
        self._start: _Sample | None = None
        self._samples = 0

    def see(self, sample: _Sample) -> None:
        # Compared with the first of the run, so that a slow pan does not pass for a still.
        if self._start is not None and _look_alike(self._start.picture, sample.picture):
            self._samples += 1
            return
        self.end(sample.seconds)
        self._start = sample
        self._samples = 1

    def end(self, seconds: float) -> None:
        if self._start is None or self._samples == 1:
            return
        if seconds - self._start.seconds > self.longest_seconds:
            self.longest_seconds = seconds - self._start.seconds
            self.longest_start = self._start


def _small_gray(frame: VideoFrame) -> bytes:
    small = frame.reformat(width=_WIDTH, height=_HEIGHT, format="gray", interpolation="AREA")
    plane = small.planes[0]
    rows, line_bytes = bytes(plane), plane.line_size
    return b"".join(rows[at * line_bytes : at * line_bytes + _WIDTH] for at in range(_HEIGHT))


def _is_black(picture: bytes) -> bool:
    dark = sum(1 for level in picture if level <= _BLACK_LEVEL)
    return dark >= _BLACK_SHARE * len(picture)


def _look_alike(one: bytes, other: bytes) -> bool:
    return one == other or all(abs(a - b) <= _SAME_LEVELS for a, b in zip(one, other, strict=True))
