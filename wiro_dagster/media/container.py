"""Opening media files with PyAV, and saying in words what FFmpeg says in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wiro_dagster.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

MOST_FRAME_PIXELS = 8192 * 8192
"""A picture of this many pixels takes up to 540 MB; no model makes a larger one."""

# FFmpeg would also "play" text as a terminal recording, and follow a playlist to other files and
# hosts. A downloaded file may hold pictures, film and sound, and nothing that points elsewhere.
_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,mp3,wav,flac,aac,w64,aiff,amr,asf,caf,"
    "gif,apng,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,jpegxl_pipe,image2"
)
# FFmpeg decodes a first picture to learn about a stream: the limit on pixels holds there too.
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": _FORMATS,
    "max_streams": "64",
    "max_pixels": str(MOST_FRAME_PIXELS),
}

# One thread for each file: several files are decoded at once anyway. With slice threads, PyAV's
# default, damaged H.264 frames come out as if they were whole.
_DECODER_THREADS = 1


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file for decoding.

    Raises:
        MediaError: the file is not in a known media format, or does not decode. FFmpeg's errors
            inside the `with` block become this one.
    """
    import av

    try:
        # Titles come in any encoding; nothing here reads them.
        with av.open(
            str(path.absolute()), options=dict(_OPTIONS), metadata_errors="ignore"
        ) as container:
            yield container
    except av.FFmpegError as error:
        raise MediaError(f"It does not decode: {words_of(error)}.") from error


def prepare(stream: Stream) -> None:
    """Set a stream up for decoding that notices damage and refuses pictures that are too large."""
    context = stream.codec_context
    context.thread_count = _DECODER_THREADS
    if stream.type == "video":
        # A stream may announce small pictures and then hold large ones.
        context.options = {**context.options, "max_pixels": str(MOST_FRAME_PIXELS)}


def codec_of(stream: Stream) -> str:
    """Return FFmpeg's name of a stream's codec: "av1", whichever decoder reads it."""
    return stream.codec_context.codec.canonical_name


def can_decode(stream: Stream) -> bool:
    """Tell whether there is a decoder for a stream."""
    return stream.codec_context is not None


def find_video_stream(container: InputContainer) -> VideoStream | None:
    """Return the film of a file; the cover picture of a song does not count."""
    for stream in container.streams.video:
        if not _is_cover(stream):
            return stream
    return None


def words_of(error: Exception) -> str:
    """Return what FFmpeg complains of, without the path or function that PyAV appends."""
    return str(getattr(error, "strerror", None) or error)


def _is_cover(stream: VideoStream) -> bool:
    disposition = stream.disposition
    return bool(disposition & type(disposition).attached_pic)
