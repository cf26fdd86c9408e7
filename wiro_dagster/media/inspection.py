"""Look at a file once: its facts, what is wrong with it, its measures and both small pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wiro_dagster.errors import MediaError
from wiro_dagster.media.container import (
    MOST_FRAME_PIXELS,
    codec_of,
    find_video_stream,
    open_media,
    prepare,
)
from wiro_dagster.media.content_type import (
    HEAD_BYTES,
    family_of,
    is_error_page,
    is_generic,
    sniff,
)
from wiro_dagster.media.decoding import PixelBudget, Tracks, read_tracks
from wiro_dagster.media.facts import Inspection, MediaFacts, MediaKind
from wiro_dagster.media.measures import FrameMeter
from wiro_dagster.media.pictures import POSTER_BYTES, PREVIEW_BYTES, Album
from wiro_dagster.media.scaling import shape_of
from wiro_dagster.media.stated_size import read_stated_size
from wiro_dagster.media.webp import can_read_animations, is_animated_webp, read_animation

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

Verify = Literal["frames", "bytes"]
"""How closely a file is looked at: every frame is decoded, or its bytes are counted and hashed."""

_IMAGE_FORMATS = {"gif", "apng", "image2"}
_IMAGE_BRANDS = {"avif", "avis", "mif1", "msf1"}
_ARTICLE: dict[MediaKind, str] = {
    "video": "a video",
    "image": "an image",
    "audio": "sound only",
    "file": "no media",
}
_SOUND_TYPES = {
    "video/mp4": "audio/mp4",
    "video/quicktime": "audio/mp4",
    "video/webm": "audio/webm",
    "video/x-matroska": "audio/x-matroska",
    "video/ogg": "audio/ogg",
}
_FILM_TYPES = {"audio/mp4": "video/mp4", "audio/ogg": "video/ogg"}
_FORMAT_TYPES = {
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
    "mpegts": "video/mp2t",
    "mpeg": "video/mpeg",
    "mov,mp4,m4a,3gp,3g2,mj2": "video/mp4",
}


def inspect(
    path: Path,
    content_type: str | None = None,
    *,
    verify: Verify = "frames",
    preview_bytes: int = PREVIEW_BYTES,
    poster_bytes: int = POSTER_BYTES,
) -> Inspection:
    """Decode all of a file in one pass, and report everything that the pass shows.

    Never raises because of what is in the file: `problem` says what is wrong with it.

    Args:
        path: the file; its name does not matter.
        content_type: what it was announced as. Types that are neither picture, film nor sound need
            only be non-empty; without a type the file's first bytes decide.
        verify: "bytes" decodes nothing.
        preview_bytes: the most the preview may take. As a data URI it takes a third more.
        poster_bytes: the most the poster may take.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        width, height = read_stated_size(file, head)
    claimed, found = family_of(content_type), family_of(sniff(head))
    bare = Inspection(MediaFacts(found or "file"), sniff(head))
    if not head:
        return replace(bare, problem="It is empty.")
    if is_error_page(head, content_type):
        return replace(bare, problem="It is a web page or text, not media: an error, probably.")
    if not (claimed or (is_generic(content_type) and found)):
        return replace(bare, facts=MediaFacts("file"))
    if verify == "bytes":
        return replace(bare, unseen='decoding is switched off (verify is "bytes")')
    if width * height > MOST_FRAME_PIXELS:
        return replace(bare, unseen=f"it is too large: {width} x {height} pixels")
    look = _Look(path, bare)
    try:
        seen = look.animation() if is_animated_webp(head) else look.film()
    except MediaError as error:
        seen = replace(bare, problem=str(error))
    except Exception as error:  # whatever a decoder does with an odd file
        seen = replace(bare, problem=f"It does not decode: {type(error).__name__}: {error}")
    seen = _add_pictures(seen, look.album, preview_bytes, poster_bytes)
    return _check_kind(seen, content_type)


def probe_media(path: Path, content_type: str | None = None) -> MediaFacts:
    """Decode all of a file and return what it holds.

    Raises:
        MediaError: the file is damaged or cut, cannot be decoded or looked at, or is not the kind
            of thing that was announced.
    """
    seen = inspect(path, content_type)
    reason = seen.problem or (seen.unseen and f"It was not looked at: {seen.unseen}.")
    if reason:
        announced = f"announced as {content_type}" if content_type else "with no announced type"
        size_bytes = path.stat().st_size
        raise MediaError(f"The file of {size_bytes} bytes, {announced}, is not usable. {reason}")
    return seen.facts


def aspect_ratio_of_image(path: Path) -> float:
    """Return width by height of an image as it is shown: turned as its camera says.

    Raises:
        MediaError: the file does not decode, or has no pictures.
    """
    with path.open("rb") as file:
        is_animation = is_animated_webp(file.read(HEAD_BYTES))
    if is_animation:
        for frame, _ in read_animation(path) if can_read_animations() else ():
            return shape_of(frame).ratio
        raise MediaError("It is an animated WebP, which only Pillow reads. Install pillow.")
    with open_media(path) as container:
        stream = find_video_stream(container)
        if stream is not None:
            prepare(stream)
            for frame in container.decode(stream):
                return shape_of(frame).ratio
    raise MediaError("It has no pictures.")


@dataclass
class _Look:
    """One pass over one file."""

    path: Path
    bare: Inspection
    album: Album | None = None

    def film(self) -> Inspection:
        """Look at anything that FFmpeg reads."""
        with open_media(self.path) as container:
            is_image = _is_image(container)
            stream = find_video_stream(container)
            self.album = album = Album(stream.frames if stream else 0)
            meter = None if is_image else FrameMeter()
            tracks = read_tracks(container, partial(_see, meter, album), PixelBudget())
            facts = _facts_of(tracks, is_image=is_image) or self.bare.facts
            shape = tracks.film.shape if tracks.film else None
            return replace(
                self.bare,
                facts=facts,
                content_type=_fit(self.bare.content_type, facts.kind)
                or _FORMAT_TYPES.get(container.format.name),
                problem=tracks.problem,
                unseen=tracks.unseen,
                unheard=tracks.unheard,
                measures=meter.measures() if meter else None,
                ratio=shape.ratio if shape else None,
            )

    def animation(self) -> Inspection:
        """Look at an animated WebP, which FFmpeg does not read."""
        if not can_read_animations():
            return replace(self.bare, unseen="animated WebP needs Pillow, which is not installed")
        self.album = Album()
        budget = PixelBudget()
        count, seconds, unseen = 0, 0.0, None
        first: VideoFrame | None = None
        for frame, shown_seconds in read_animation(self.path):
            if not budget.spend(frame.width, frame.height):
                unseen = f"it is too large: {count} frames were looked at"
                break
            self.album.see(frame)
            first = first or frame
            count += 1
            seconds += shown_seconds
        if first is None:
            return replace(self.bare, problem="It is an animation without pictures.")
        return replace(
            self.bare,
            facts=MediaFacts("image", round(seconds, 6), first.width, first.height, count, "webp"),
            unseen=unseen,
            ratio=shape_of(first).ratio,
        )


def _see(meter: FrameMeter | None, album: Album, frame: VideoFrame) -> None:
    if meter is not None:
        meter.see(frame)
    album.see(frame)


def _facts_of(tracks: Tracks, *, is_image: bool) -> MediaFacts | None:
    first = tracks.first
    if first is None:
        return None
    codec, seconds = codec_of(first.stream), round(first.seconds, 6)
    if tracks.film is None:
        return MediaFacts("audio", seconds, codec=codec)
    kind: MediaKind = "image" if is_image else "video"
    shape = first.shape
    if shape is None:
        return MediaFacts(kind, codec=codec)
    length = None if is_image and first.count == 1 else seconds
    return MediaFacts(kind, length, shape.width, shape.height, first.count, codec)


def _add_pictures(
    seen: Inspection, album: Album | None, preview_bytes: int, poster_bytes: int
) -> Inspection:
    if album is None:
        return seen
    # The poster first: from it the album learns how large a preview will be.
    poster = _try(partial(album.poster, poster_bytes))
    return replace(seen, poster=poster, preview=_try(partial(album.preview, preview_bytes)))


def _try(make: Callable[[], bytes | None]) -> bytes | None:
    try:
        return make()
    except Exception:  # a video without a preview is still a video
        return None


def _check_kind(seen: Inspection, content_type: str | None) -> Inspection:
    family = family_of(content_type)
    if seen.problem or seen.unseen or family in (None, seen.facts.kind):
        return seen
    held = f"{_ARTICLE[seen.facts.kind]} ({seen.facts.codec})"
    return replace(seen, problem=f"It was announced as {content_type}; it holds {held}.")


def _fit(content_type: str | None, kind: MediaKind) -> str | None:
    if kind == "audio":
        return _SOUND_TYPES.get(content_type or "", content_type)
    return _FILM_TYPES.get(content_type or "", content_type) if kind == "video" else content_type


def _is_image(container: InputContainer) -> bool:
    name = container.format.name
    if name.endswith("_pipe") or name in _IMAGE_FORMATS:
        return True
    return container.metadata.get("major_brand") in _IMAGE_BRANDS
