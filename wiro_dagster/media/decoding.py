"""Decode a file to its end, once, and note what is wrong with it instead of stopping there.

A film is whole when every packet and every frame comes out undamaged, and when it is as
long as its own header says. A header alone proves nothing: a cut download has a fine one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wiro_dagster.media.container import (
    MOST_FRAME_PIXELS,
    can_decode,
    codec_of,
    find_video_stream,
    prepare,
    words_of,
)
from wiro_dagster.media.scaling import Duration, Shape, shape_of

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.stream import Stream

MOST_PIXELS = 5_000_000_000
"""The most that is decoded of one file, over all its frames: 80 s of 1080p at 30 frames a second.
It takes some 10 s of CPU; the rest of a larger file is not looked at."""
_LEAST_FRAME_PIXELS = 100_000
"""Small frames count as this many pixels: they take time too."""

# A header may promise a little more than the frames give: rounding, edit lists, encoder delay.
_STREAM_LENGTH_STATED = ("mov", "avi", "wav", "flac")
_LENGTH_SLACK_SECONDS = 0.25


@dataclass
class PixelBudget:
    """What may still be decoded of a file."""

    left: int = MOST_PIXELS

    def spend(self, width: int, height: int) -> bool:
        """Tell whether one more frame may be looked at, and count it."""
        self.left -= max(width * height, _LEAST_FRAME_PIXELS)
        return self.left >= 0


@dataclass
class Track:
    """What has come out of one stream so far."""

    stream: Stream
    count: int = 0
    seconds: float = 0.0
    end_seconds: float = 0.0
    packet_count: int = 0
    problem: str | None = None
    shape: Shape | None = None
    """Of the first picture."""
    _first_time: float | None = None
    _duration: Duration = field(default_factory=Duration)

    def note(self, problem: str) -> None:
        """Remember the first problem; those that follow come from it, mostly."""
        self.problem = self.problem or problem

    def add(self, frame: Any) -> None:
        """Count a picture or a piece of sound (`VideoFrame`, `AudioFrame`)."""
        if frame.is_corrupt:
            at = f" at {frame.time:.2f} s" if frame.time is not None else ""
            self.note(f"Frame {self.count}{at} is damaged.")
        self.count += 1
        if hasattr(frame, "sample_rate"):
            self.seconds += frame.samples / frame.sample_rate
            self.end_seconds = (frame.time or 0.0) + frame.samples / frame.sample_rate
            return
        self.shape = self.shape or shape_of(frame)
        if frame.time is None:
            return
        if self._first_time is None:
            self._first_time = frame.time
        self.end_seconds = max(self.end_seconds, frame.time + self._duration.of(frame))
        self.seconds = self.end_seconds - self._first_time


@dataclass(frozen=True)
class Tracks:
    """The streams of a file that were decoded, the film first."""

    film: Track | None
    sounds: tuple[Track, ...]
    problem: str | None
    unseen: str | None
    unheard: str | None

    @property
    def first(self) -> Track | None:
        """The film, or the first sound of a file without one."""
        return self.film or (self.sounds[0] if self.sounds else None)


def read_tracks(
    container: InputContainer, see: Callable[[VideoFrame], None], budget: PixelBudget
) -> Tracks:
    """Decode a file to its end.

    Args:
        container: just opened.
        see: called with every picture of the film, in order of time.
        budget: what may be decoded of it.
    """
    film_stream = find_video_stream(container)
    known = [sound for sound in container.streams.audio if can_decode(sound)]
    sounds = tuple(Track(sound) for sound in known)
    film = Track(film_stream) if film_stream and can_decode(film_stream) else None
    problem, unseen = None, None
    if film_stream and film is None:
        problem = "Its pictures are in a codec that cannot be decoded here."
    elif film is None and not sounds:
        problem = "It has neither pictures nor sound that can be decoded."
    elif film_stream and film_stream.width * film_stream.height > MOST_FRAME_PIXELS:
        unseen = f"it is too large: {film_stream.width} x {film_stream.height} pixels"
    else:
        unseen = _decode(container, film, sounds, see, budget)
        problem = _find_problem(container, film, sounds, is_whole=unseen is None)
    return Tracks(film, sounds, problem, unseen, _why_unheard(container, film, sounds))


def _decode(
    container: InputContainer,
    film: Track | None,
    sounds: Sequence[Track],
    see: Callable[[VideoFrame], None],
    budget: PixelBudget,
) -> str | None:
    tracks = {track.stream.index: track for track in (film, *sounds) if track is not None}
    for track in tracks.values():
        prepare(track.stream)
    for packet in _demux(container, tracks):
        track = tracks[packet.stream.index]
        track.packet_count += packet.size > 0
        for frame in _frames_of(packet, track):
            if track is film:
                if not budget.spend(frame.width, frame.height):
                    return f"it is too large: {track.count} frames were looked at"
                see(frame)
            track.add(frame)
    return None


def _demux(container: InputContainer, tracks: dict[int, Track]) -> Iterator[Any]:
    import av

    try:
        yield from container.demux([track.stream for track in tracks.values()])
    except av.FFmpegError as error:
        for track in tracks.values():
            track.note(f"It breaks off: {words_of(error)}.")


def _frames_of(packet: Any, track: Track) -> Sequence[Any]:
    import av

    if packet.is_corrupt:
        track.note("A part of it is missing or damaged.")
    try:
        frames: Sequence[Any] = packet.decode()
    except av.FFmpegError as error:
        track.note(f"It does not decode after frame {track.count}: {words_of(error)}.")
        return ()
    return frames


def _find_problem(
    container: InputContainer, film: Track | None, sounds: Sequence[Track], *, is_whole: bool
) -> str | None:
    if film:
        problem = film.problem or _why_empty(film) or (is_whole and _why_short(container, film))
        # An empty sound track is declared by many encoders; players pass over it.
        return problem or _find_sound_problem(sounds)
    sound = sounds[0]
    return sound.problem or _why_empty(sound) or _why_short(container, sound) or None


def _why_unheard(
    container: InputContainer, film: Track | None, sounds: Sequence[Track]
) -> str | None:
    # That no decoder is installed here says nothing against the file. A second track that cannot
    # be decoded, as some cameras add, is passed over: players do the same.
    if film and container.streams.audio and not sounds:
        return "its sound is in a codec that cannot be decoded here"
    return None


def _find_sound_problem(sounds: Sequence[Track]) -> str | None:
    for sound in sounds:
        empty = _why_empty(sound) if sound.packet_count else None
        if sound.problem or empty:
            return f"Its sound is damaged. {sound.problem or empty}"
    return None


def _why_empty(track: Track) -> str | None:
    if track.count:
        return None
    what = "pictures" if track.stream.type == "video" else "sound"
    return f"No {what} could be decoded ({codec_of(track.stream)})."


def _why_short(container: InputContainer, track: Track) -> str | None:
    # Elsewhere FFmpeg guesses a length from the bit rate, which proves nothing.
    name, stream = container.format.name, track.stream
    if any(part in name for part in _STREAM_LENGTH_STATED):
        if stream.duration and stream.time_base is not None:
            slack = max(_LENGTH_SLACK_SECONDS, 2 * track.seconds / track.count)
            return _compare(track.seconds, float(stream.duration * stream.time_base), slack)
    elif "webm" in name and container.duration:
        return _compare(track.end_seconds, container.duration / 1_000_000, _LENGTH_SLACK_SECONDS)
    return None


def _compare(seconds: float, announced: float, slack: float) -> str | None:
    if seconds >= announced - slack:
        return None
    return f"It stops early: {seconds:.2f} s of {announced:.2f} s decode."
