"""Opening media files with PyAV, and saying in words what FFmpeg says in numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wiro_dagster.errors import MediaError
from wiro_dagster.media.animated_webp import is_animated_webp, split_animated_webp

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

# FFmpeg would also "play" text as a terminal recording, and follow a playlist to other files and
# hosts. A downloaded file may hold pictures, film and sound, and nothing that points elsewhere.
_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,mp3,wav,flac,aac,w64,aiff,amr,asf,caf,"
    "gif,apng,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,jpegxl_pipe,image2"
)

# Two threads keep memory flat when many files are decoded at once. They must be frame threads:
# with slice threads, PyAV's default, damaged H.264 frames come out as if they were whole.
_DECODER_THREADS = 2

# A picture of this many pixels takes about 270 MB as RGBA; a larger one is no output of a model.
_MAX_PIXELS = 8192 * 8192


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file for decoding.

    Raises:
        MediaError: the file is empty, no known media format, or does not decode. FFmpeg's errors
            inside the `with` block become this one.
    """
    import av

    if path.stat().st_size == 0:
        raise MediaError("The file is empty.")
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    try:
        with av.open(str(path.absolute()), options=options) as container:
            yield container
    except av.FFmpegError as error:
        raise MediaError(f"It does not decode: {_words(error)}") from error


def prepare(stream: Stream) -> None:
    """Set a stream up for decoding that notices damage.

    Raises:
        MediaError: there is no decoder for it, or its pictures are too large.
    """
    context = stream.codec_context
    if context is None:
        raise MediaError("There is no decoder for this file's codec.")
    width, height = getattr(context, "width", 0), getattr(context, "height", 0)
    if width * height > _MAX_PIXELS:
        raise MediaError(f"Its pictures are too large: {width} x {height} pixels.")
    context.thread_count = _DECODER_THREADS
    context.thread_type = "FRAME"


def codec_of(stream: Stream) -> str:
    """FFmpeg's name of a stream's codec: "av1", whichever decoder reads it."""
    return stream.codec_context.codec.canonical_name


def find_video_stream(container: InputContainer) -> VideoStream | None:
    """The film of a file; a song's cover picture is none."""
    for stream in container.streams.video:
        if not _is_cover(stream):
            return stream
    return None


def read_frames(path: Path) -> Iterator[VideoFrame]:
    """All pictures of a film or image, in order of time. One at a time is held in memory.

    Of an animated WebP only the first: the others are changes to it.

    Raises:
        MediaError: the file does not decode, or has no pictures.
    """
    if is_animated_webp(path):
        yield _first_of_animation(path)
        return
    with open_media(path) as container:
        stream = find_video_stream(container)
        if stream is None:
            raise MediaError("It has no pictures.")
        prepare(stream)
        yield from container.decode(stream)


def decode_still_webp(webp: bytes) -> VideoFrame:
    """The picture of a still WebP.

    Raises:
        MediaError: it does not decode.
    """
    import av

    try:
        with av.open(io.BytesIO(webp), mode="r", format="webp_pipe") as container:
            for frame in container.decode(video=0):
                return frame
    except av.FFmpegError as error:
        raise MediaError(f"One of its pictures does not decode: {_words(error)}") from error
    raise MediaError("One of its pictures is missing.")


def _first_of_animation(path: Path) -> VideoFrame:
    return decode_still_webp(split_animated_webp(path.read_bytes()).frames[0].webp)


def _is_cover(stream: VideoStream) -> bool:
    disposition = stream.disposition
    return bool(disposition & type(disposition).attached_pic)


def _words(error: Exception) -> str:
    # PyAV appends the path or function that failed; the path is a temporary name nobody knows.
    return str(getattr(error, "strerror", None) or error)
