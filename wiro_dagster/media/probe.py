"""Decode a file to its end, and say what was in it.

A file counts as whole when every packet and every frame comes out undamaged, and when the film is
as long as its own header says. A header alone proves nothing: a cut download has a fine one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wiro_dagster.errors import MediaError
from wiro_dagster.media.animated_webp import is_animated_webp, split_animated_webp
from wiro_dagster.media.container import (
    codec_of,
    decode_still_webp,
    find_video_stream,
    open_media,
    prepare,
)
from wiro_dagster.media.content_type import family_of, is_generic
from wiro_dagster.media.facts import MediaFacts, MediaKind

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

_IMAGE_FORMATS = {"gif", "apng", "image2"}
_IMAGE_BRANDS = {"avif", "avis", "mif1", "msf1"}

# A header may promise a little more than the frames give: rounding, edit lists, encoder delay.
_STREAM_LENGTH_STATED = ("mov", "avi", "wav", "flac")
_LENGTH_SLACK_SECONDS = 0.25


def probe_media(path: Path, content_type: str | None = None) -> MediaFacts:
    """Decode all of a file and report what it holds.

    Args:
        path: the file; its name does not matter.
        content_type: what it was announced as. Types that are no picture, film or sound need only
            be non-empty; without a type the file's first bytes decide.

    Raises:
        MediaError: the file is empty, cannot be decoded to its last frame, is damaged or cut, or is
            not the kind of thing that was announced.
    """
    try:
        return _examine(path, content_type)
    except MediaError as error:
        announced = f"announced as {content_type}" if content_type else "with no announced type"
        raise MediaError(
            f"The file of {path.stat().st_size} bytes, {announced}, is not usable. {error}"
        ) from error


def _examine(path: Path, content_type: str | None) -> MediaFacts:
    with path.open("rb") as file:
        head = file.read(512)
    family = family_of(content_type)
    if not head:
        raise MediaError("It is empty.")
    if (family or is_generic(content_type)) and _is_web_page(head):
        raise MediaError("It is a web page, not media: an error page of the server, probably.")
    if family is None and not (is_generic(content_type) and _has_media_signature(head)):
        return MediaFacts(kind="file")
    facts = _decode(path)
    if family is not None and facts.kind != family:
        raise MediaError(f"It holds {_ARTICLE[facts.kind]} ({facts.codec}).")
    return facts


_ARTICLE: dict[MediaKind, str] = {
    "video": "a video",
    "image": "an image",
    "audio": "sound only",
    "file": "no media",
}


def _is_web_page(head: bytes) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<?xml"):
        return b"<html" in start or b"<error" in start
    return start.startswith((b"<!doctype html", b"<html", b"<head"))


def _has_media_signature(head: bytes) -> bool:
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:12] in {b"WEBP", b"WAVE", b"AVI "}):
        return True
    return head.startswith(
        (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x1a\x45\xdf\xa3", b"ID3", b"fLaC", b"OggS")
    )


def _decode(path: Path) -> MediaFacts:
    if is_animated_webp(path):
        return _decode_animated_webp(path)
    with open_media(path) as container:
        film = find_video_stream(container)
        streams: list[Stream] = [*([film] if film else []), *container.streams.audio]
        if not streams:
            raise MediaError("It has neither pictures nor sound.")
        tallies = _decode_streams(container, streams)
        codec = codec_of(streams[0])
        first = tallies[streams[0].index]
        seconds = round(first.seconds, 6)
        if film is None:
            return MediaFacts(kind="audio", duration_seconds=seconds, codec=codec)
        is_image = _is_image(container)
        return MediaFacts(
            kind="image" if is_image else "video",
            duration_seconds=None if is_image and first.count == 1 else seconds,
            width=first.width,
            height=first.height,
            frame_count=first.count,
            codec=codec,
        )


def _decode_streams(container: InputContainer, streams: list[Stream]) -> dict[int, _Tally]:
    tallies = {stream.index: _Tally() for stream in streams}
    for stream in streams:
        prepare(stream)
    for packet in container.demux(streams):
        if packet.is_corrupt:
            raise MediaError("A part of it is missing or damaged.")
        for frame in packet.decode():
            tallies[packet.stream.index].add(frame)
    _check_lengths(container, streams, tallies)
    return tallies


@dataclass
class _Tally:
    """What has come out of one stream so far."""

    count: int = 0
    seconds: float = 0.0
    end_seconds: float = 0.0
    width: int = 0
    height: int = 0
    _first_time: float | None = None

    def add(self, frame: Any) -> None:
        """Count a picture or a piece of sound (`VideoFrame`, `AudioFrame`)."""
        if frame.is_corrupt:
            at = f" at {frame.time:.2f} s" if frame.time is not None else ""
            raise MediaError(f"Frame {self.count}{at} is damaged.")
        self.count += 1
        if hasattr(frame, "sample_rate"):
            self.seconds += frame.samples / frame.sample_rate
            self.end_seconds = (frame.time or 0.0) + frame.samples / frame.sample_rate
            return
        self.width, self.height = frame.width, frame.height
        if frame.time is None or frame.time_base is None:
            return
        if self._first_time is None:
            self._first_time = frame.time
        shown_for = float((frame.duration or 0) * frame.time_base)
        self.end_seconds = max(self.end_seconds, frame.time + shown_for)
        self.seconds = self.end_seconds - self._first_time


def _check_lengths(
    container: InputContainer, streams: list[Stream], tallies: dict[int, _Tally]
) -> None:
    for stream in streams:
        if not tallies[stream.index].count:
            what = "pictures" if stream.type == "video" else "sound"
            raise MediaError(f"No {what} could be decoded ({codec_of(stream)}).")
    # Elsewhere FFmpeg guesses a length from the bit rate, which proves nothing.
    name = container.format.name
    if any(part in name for part in _STREAM_LENGTH_STATED):
        for stream in streams:
            if stream.duration and stream.time_base is not None:
                announced = float(stream.duration * stream.time_base)
                tally = tallies[stream.index]
                slack = max(_LENGTH_SLACK_SECONDS, 2 * tally.seconds / tally.count)
                _compare(tally.seconds, announced, slack)
    elif "webm" in name and container.duration:
        end = max(tally.end_seconds for tally in tallies.values())
        _compare(end, container.duration / 1_000_000, _LENGTH_SLACK_SECONDS)


def _compare(seconds: float, announced: float, slack: float) -> None:
    if seconds < announced - slack:
        raise MediaError(f"It stops early: {seconds:.2f} s of {announced:.2f} s decode.")


def _is_image(container: InputContainer) -> bool:
    name = container.format.name
    if name.endswith("_pipe") or name in _IMAGE_FORMATS:
        return True
    return container.metadata.get("major_brand") in _IMAGE_BRANDS


def _decode_animated_webp(path: Path) -> MediaFacts:
    animation = split_animated_webp(path.read_bytes())
    for part in animation.frames:
        decode_still_webp(part.webp)
    return MediaFacts(
        kind="image",
        duration_seconds=round(sum(part.duration_seconds for part in animation.frames), 6),
        width=animation.width,
        height=animation.height,
        frame_count=len(animation.frames),
        codec="webp",
    )
