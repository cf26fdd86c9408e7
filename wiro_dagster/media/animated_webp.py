"""Reading animated WebP, which FFmpeg writes but does not read.

The container is a RIFF file: `VP8X` with the canvas, `ANIM`, and one `ANMF` a picture that holds
the same chunks as a still WebP (https://developers.google.com/speed/webp/docs/riff_container).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wiro_dagster.errors import MediaError

_RIFF_HEADER_BYTES = 12
_CHUNK_HEADER_BYTES = 8
_FRAME_HEADER_BYTES = 16
_FLAGS_AT = 20
_HAS_ANIMATION = 0x02
_HAS_ALPHA = 0x10


@dataclass(frozen=True)
class WebpFrame:
    """One picture of an animation, as a still WebP file of its own."""

    webp: bytes
    duration_seconds: float


@dataclass(frozen=True)
class WebpAnimation:
    """The pictures of an animation and the canvas they are drawn on, in pixels."""

    width: int
    height: int
    loop_count: int
    """0 = for ever."""
    frames: tuple[WebpFrame, ...]


def is_animated_webp(path: Path) -> bool:
    """Whether a file starts like an animated WebP."""
    with path.open("rb") as file:
        head = file.read(_FLAGS_AT + 1)
    if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X":
        return False
    return len(head) > _FLAGS_AT and bool(head[_FLAGS_AT] & _HAS_ANIMATION)


def split_animated_webp(webp: bytes) -> WebpAnimation:
    """Take an animated WebP apart.

    Raises:
        MediaError: it is cut, or has no pictures.
    """
    if struct.unpack_from("<I", webp, 4)[0] + 8 > len(webp):
        raise MediaError("It stops early: bytes are missing at its end.")
    width = height = loop_count = 0
    frames: list[WebpFrame] = []
    for name, content in _chunks(webp[_RIFF_HEADER_BYTES:]):
        if name == b"VP8X":
            width, height = _uint24(content, 4) + 1, _uint24(content, 7) + 1
        elif name == b"ANIM":
            loop_count = struct.unpack_from("<H", content, 4)[0]
        elif name == b"ANMF":
            frames.append(WebpFrame(_as_still(content), _uint24(content, 12) / 1000))
    if not frames:
        raise MediaError("It is an animation without pictures.")
    return WebpAnimation(width, height, loop_count, tuple(frames))


def _as_still(frame: bytes) -> bytes:
    chunks = frame[_FRAME_HEADER_BYTES:]
    if chunks[:4] == b"ALPH":
        # A still with a separate alpha chunk needs a VP8X header that says so.
        canvas = frame[6:12]
        chunks = b"VP8X" + struct.pack("<I", 10) + bytes([_HAS_ALPHA, 0, 0, 0]) + canvas + chunks
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + _CHUNK_HEADER_BYTES <= len(body):
        name = body[at : at + 4]
        size = struct.unpack_from("<I", body, at + 4)[0]
        content = body[at + _CHUNK_HEADER_BYTES : at + _CHUNK_HEADER_BYTES + size]
        if len(content) < size:
            raise MediaError("It stops early: a picture is cut.")
        yield name, content
        at += _CHUNK_HEADER_BYTES + size + size % 2


def _uint24(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 3], "little")
