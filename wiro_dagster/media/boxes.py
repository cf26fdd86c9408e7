"""Does a film have all the bytes that it announces itself? Its boxes say how long they are.

A cut film may play to its last frame: what is missing can be padding, or a table at the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_HEADER_BYTES, _LONG_HEADER_BYTES = 8, 16
_LENGTH_FOLLOWS = 1
_MOST_BOXES = 10_000


def count_missing_bytes(path: Path) -> int:
    """Return how many bytes are missing at the end of an MP4 or QuickTime file; 0 for any other.

    Raises:
        OSError: the file cannot be read.
    """
    size_bytes, end = path.stat().st_size, 0
    with path.open("rb") as file:
        if file.read(_HEADER_BYTES)[4:] != b"ftyp":
            return 0
        for _ in range(_MOST_BOXES):
            length = _read_length(file, end)
            if length is None:
                return 0  # the last box goes to the end, or these are no boxes
            end += length
            if end >= size_bytes:
                return end - size_bytes
    return 0


def _read_length(file: BinaryIO, start: int) -> int | None:
    file.seek(start)
    header = file.read(_LONG_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return _HEADER_BYTES  # a box begins, and is cut
    length = int.from_bytes(header[:4], "big")
    if length == _LENGTH_FOLLOWS:
        length = int.from_bytes(header[_HEADER_BYTES:], "big")
        return length if length >= _LONG_HEADER_BYTES else None
    return length if length >= _HEADER_BYTES else None
