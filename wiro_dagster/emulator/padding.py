"""Fills a media file up to an exact size with bytes that players pass over, and a unique tag."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping

_PNG_END_BYTES = 12
_RIFF_HEADER_BYTES = 8
_ID3_HEADER_BYTES = 10


def fill(file_format: str, content: bytes, size_bytes: int, tag: str) -> bytes:
    """Return the content with the tag in it, exactly as large as announced.

    Args:
        file_format: mp4, png, webp, wav or mp3.
        content: a complete file.
        size_bytes: the size to reach.
        tag: makes the bytes of equal contents differ.

    Raises:
        ValueError: the content and the tag are larger than that already.
    """
    return _FILLERS[file_format](content, size_bytes, tag.encode())


def room(size_bytes: int, tag: str) -> int:
    """Return how large a content may be at most, for any format."""
    return size_bytes - len(tag.encode()) - 32


def _payload(spare: int, tag: bytes) -> bytes:
    if spare < len(tag):
        raise ValueError(f"{len(tag) - spare} bytes too large for its announced size")
    return tag + bytes(spare - len(tag))


def _fill_mp4(content: bytes, size_bytes: int, tag: bytes) -> bytes:
    spare = size_bytes - len(content)
    return content + struct.pack(">I4s", spare, b"free") + _payload(spare - 8, tag)


def _fill_png(content: bytes, size_bytes: int, tag: bytes) -> bytes:
    # A private chunk that may be ignored and copied, as its letters' cases say.
    payload = b"emUl" + _payload(size_bytes - len(content) - 12, tag)
    chunk = struct.pack(">I", len(payload) - 4) + payload + struct.pack(">I", zlib.crc32(payload))
    return content[:-_PNG_END_BYTES] + chunk + content[-_PNG_END_BYTES:]


def _fill_riff(content: bytes, size_bytes: int, tag: bytes) -> bytes:
    even = content + bytes(len(content) % 2)
    payload = _payload(size_bytes - len(even) - _RIFF_HEADER_BYTES, tag)
    chunk = b"JUNK" + struct.pack("<I", len(payload)) + payload
    whole = even + chunk
    return whole[:4] + struct.pack("<I", len(whole) - _RIFF_HEADER_BYTES) + whole[8:]


def _fill_mp3(content: bytes, size_bytes: int, tag: bytes) -> bytes:
    frame = b"TXXX" + struct.pack(">IH", len(tag) + 2, 0) + b"\x03\x00" + tag
    body = _payload(size_bytes - len(content) - _ID3_HEADER_BYTES, frame)
    sevens = bytes((len(body) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + sevens + body + content


_FILLERS: Mapping[str, Callable[[bytes, int, bytes], bytes]] = {
    "mp4": _fill_mp4,
    "png": _fill_png,
    "webp": _fill_riff,
    "wav": _fill_riff,
    "mp3": _fill_mp3,
}
