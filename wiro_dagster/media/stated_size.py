"""Read width and height of a picture from its header, before any decoder takes memory for it.

A decoder only says that it refuses a picture that is too large in the words it has for damage.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO

_PNG = b"\x89PNG\r\n\x1a\n"
_WEBP_HEADER_BYTES = 30
_MOST_SEGMENTS = 200
"""Of a JPEG, before its size: cameras write previews and profiles there."""
_MOST_ENTRIES = 200
"""Of a TIFF's first directory."""
_WIDTH_TAG, _HEIGHT_TAG = 256, 257
_SHORT = 3
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Of a JPEG: its size follows them. The three in between hold tables."""

Size = tuple[int, int]


def read_stated_size(file: BinaryIO, head: bytes) -> Size:
    """Return width and height that a picture's header states; 0 and 0 if they are not known.

    Args:
        file: open for reading; its position changes.
        head: its first bytes.
    """
    for start, read in _READERS:
        if head.startswith(start):
            try:
                return read(file, head)
            except (struct.error, ValueError, OSError):
                return 0, 0
    return _read_avif(head) if head[4:8] == b"ftyp" else (0, 0)


def _read_png(_file: BinaryIO, head: bytes) -> Size:
    width, height = struct.unpack_from(">II", head, 16)
    return width, height


def _read_gif(_file: BinaryIO, head: bytes) -> Size:
    width, height = struct.unpack_from("<HH", head, 6)
    return width, height


def _read_bmp(_file: BinaryIO, head: bytes) -> Size:
    # A negative height means that the rows come from the top down.
    width, height = struct.unpack_from("<ii", head, 18)
    return abs(width), abs(height)


def _read_webp(_file: BinaryIO, head: bytes) -> Size:
    kind = head[8:16]
    if len(head) < _WEBP_HEADER_BYTES:
        return 0, 0
    if kind == b"WEBPVP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"WEBPVP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


def _read_jpeg(file: BinaryIO, _head: bytes) -> Size:
    file.seek(2)
    for _ in range(_MOST_SEGMENTS):
        marker, length = struct.unpack(">HH", file.read(4))
        kind = marker & 0xFF
        if marker >> 8 != 0xFF:  # noqa: PLR2004 - each marker starts with a byte of ones
            return 0, 0
        if kind in _FRAME_MARKERS:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return width, height
        file.seek(length - 2, 1)
    return 0, 0


def _read_tiff(file: BinaryIO, head: bytes) -> Size:
    order = "<" if head[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", head, 4)
    file.seek(at)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    found: dict[int, int] = {}
    for _ in range(min(count, _MOST_ENTRIES)):
        tag, kind, _, value = struct.unpack(f"{order}HHI4s", file.read(12))
        found[tag] = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), value)[0]
    return found.get(_WIDTH_TAG, 0), found.get(_HEIGHT_TAG, 0)


def _read_avif(head: bytes) -> Size:
    at = head.find(b"ispe")
    if at < 0 or len(head) < at + 16:
        return 0, 0
    width, height = struct.unpack_from(">II", head, at + 8)
    return width, height


_READERS: tuple[tuple[bytes, Callable[[BinaryIO, bytes], Size]], ...] = (
    (_PNG, _read_png),
    (b"\xff\xd8\xff", _read_jpeg),
    (b"GIF8", _read_gif),
    (b"BM", _read_bmp),
    (b"RIFF", _read_webp),
    (b"II*\x00", _read_tiff),
    (b"MM\x00*", _read_tiff),
)
