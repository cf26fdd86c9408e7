"""Measure frames for what goes wrong in generated video: black pictures and frozen ones."""

from __future__ import annotations

from dataclasses import dataclass
from operator import sub
from typing import TYPE_CHECKING

from wiro_dagster.media.facts import FrameMeasures
from wiro_dagster.media.scaling import Duration, Scaler

if TYPE_CHECKING:
    from av import VideoFrame

_WIDTH, _HEIGHT = 64, 36
_SAMPLES_PER_SECOND = 12.0
_TIME_ROUNDING_SECONDS = 0.001

# A picture is black when 98 of 100 places are no brighter than a tenth above video black, as in
# FFmpeg's blackdetect.
_BLACK_LEVEL = 38
_BLACK_SHARE = 0.98
_DARK = bytes(level <= _BLACK_LEVEL for level in range(256))

# Encoders let a frozen picture breathe by a level or two.
_SAME_LEVELS = frozenset(range(-2, 3))
_GLANCE = 61
"""Every so many places are compared first: most pictures that differ do so there."""


class FrameMeter:
    """Counts frames and time, and measures up to twelve frames a second."""

    def __init__(self) -> None:
        self.frame_count = 0
        self.end_seconds = 0.0
        self._sampled_count = 0
        self._black_count = 0
        self._first_black: _Sample | None = None
        self._still = _StillRuns()
        self._scaler = Scaler()
        self._duration = Duration()
        self._start_seconds: float | None = None
        self._next_seconds = 0.0

    def see(self, frame: VideoFrame) -> None:
        """Count a frame, and measure it unless it comes too soon after the last measured one."""
        seconds = self._seconds_of(frame)
        number = self.frame_count
        self.frame_count += 1
        self.end_seconds = seconds + self._duration.of(frame)
        if seconds < self._next_seconds:
            return
        self._next_seconds = seconds + 1 / _SAMPLES_PER_SECOND - _TIME_ROUNDING_SECONDS
        self._sampled_count += 1
        sample = _Sample(number, seconds, self._scaler.gray(frame, _WIDTH, _HEIGHT))
        self._still.see(sample)
        if sample.picture.translate(_DARK).count(1) >= _BLACK_SHARE * len(sample.picture):
            self._black_count += 1
            self._first_black = self._first_black or sample

    def measures(self) -> FrameMeasures | None:
        """Return what was measured; None if there were no frames."""
        if not self._sampled_count:
            return None
        self._still.end(self.end_seconds)
        black, frozen = self._first_black, self._still.longest_start
        return FrameMeasures(
            frame_count=self.frame_count,
            duration_seconds=self.end_seconds,
            sampled_count=self._sampled_count,
            black_count=self._black_count,
            first_black_frame=black.frame if black else None,
            first_black_seconds=black.seconds if black else None,
            frozen_seconds=self._still.longest_seconds,
            frozen_start_frame=frozen.frame if frozen else None,
            frozen_start_seconds=frozen.seconds if frozen else None,
        )

    def _seconds_of(self, frame: VideoFrame) -> float:
        if frame.time is None:
            return self.end_seconds  # a frame without a time follows the one before it
        if self._start_seconds is None:
            self._start_seconds = frame.time
        return frame.time - self._start_seconds


@dataclass(frozen=True)
class _Sample:
    frame: int
    seconds: float
    picture: bytes


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


def _look_alike(one: bytes, other: bytes) -> bool:
    if one == other:
        return True
    glance = _SAME_LEVELS.issuperset(map(sub, one[::_GLANCE], other[::_GLANCE]))
    return glance and _SAME_LEVELS.issuperset(map(sub, one, other))
