"""Join still WebP pictures into an animation, and read one with Pillow if it is installed.

FFmpeg writes animated WebP slowly and does not read it. The container is a RIFF file: `VP8X` with
the canvas, `ANIM`, and one `ANMF` for each picture, which holds the chunks of a still WebP
(https://developers.google.com/speed/webp/docs/riff_container).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wiro_dagster.errors import MediaError

if TYPE_CHECKING:
    from av import VideoFrame

_FLAGS_AT = 20
_HAS_ANIMATION = 0x02
_HAS_ALPHA = 0x10
_DO_NOT_BLEND = 0x02
_RIFF_HEADER_BYTES = 12
_VP8X_CHUNK_BYTES = 18
_MOST_FILE_BYTES = 64 * 1024 * 1024


def animate(stills: Sequence[bytes], width: int, height: int, *, frame_seconds: float) -> bytes:
    """Return an animated WebP that shows still ones, all of one size, for ever.

    Args:
        stills: WebP files as libwebp writes them.
        width: of each, in pixels.
        height: of each, in pixels.
        frame_seconds: how long each is shown.
    """
    canvas = _uint24(width - 1) + _uint24(height - 1)
    milliseconds = _uint24(round(frame_seconds * 1000))
    frames = [_picture_chunks(still) for still in stills]
    alpha = _HAS_ALPHA if any(frame.startswith(b"ALPH") for frame in frames) else 0
    placed = bytes(6) + canvas + milliseconds + bytes([_DO_NOT_BLEND])
    body = b"".join(
        (
            b"WEBP",
            _chunk(b"VP8X", bytes([_HAS_ANIMATION | alpha, 0, 0, 0]) + canvas),
            _chunk(b"ANIM", bytes(6)),
            *(_chunk(b"ANMF", placed + frame) for frame in frames),
        )
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def is_animated_webp(head: bytes) -> bool:
    """Tell whether a file starts like an animated WebP."""
    if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X":
        return False
    return len(head) > _FLAGS_AT and bool(head[_FLAGS_AT] & _HAS_ANIMATION)


def can_read_animations() -> bool:
    """Tell whether Pillow is installed."""
    try:
        import PIL.WebPImagePlugin  # noqa: F401
    except ImportError:
        return False
    return True


def read_animation(path: Path) -> Iterator[tuple[VideoFrame, float]]:
    """Yield the pictures of an animated WebP, and for how many seconds each is shown.

    Raises:
        MediaError: it is too large, cut or damaged.
    """
    import av
    from PIL import Image

    if path.stat().st_size > _MOST_FILE_BYTES:
        raise MediaError(f"It is an animated WebP of {path.stat().st_size} bytes: too large.")
    try:
        with Image.open(path, formats=["WEBP"]) as image:
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                pixels = image.convert("RGBA").tobytes()
                seconds = image.info.get("duration", 0) / 1000
                yield av.VideoFrame.from_bytes(pixels, image.width, image.height), seconds
    except (OSError, EOFError, ValueError, SyntaxError) as error:
        raise MediaError(f"It does not decode: {error}.") from error


def _picture_chunks(still: bytes) -> bytes:
    chunks = still[_RIFF_HEADER_BYTES:]
    return chunks[_VP8X_CHUNK_BYTES:] if chunks.startswith(b"VP8X") else chunks


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _uint24(number: int) -> bytes:
    return number.to_bytes(3, "little")
