"""What a content type promises, and what a file's first bytes say."""

from __future__ import annotations

import codecs
from typing import Literal

Family = Literal["video", "image", "audio"]

HEAD_BYTES = 4096
"""As many bytes of a file's start as `sniff` and `is_text` want."""

_FAMILIES: dict[str, Family] = {"video": "video", "image": "image", "audio": "audio"}

# Pictures and sounds by name that FFmpeg does not draw or play: kept as files, as they are.
_NOT_DECODABLE = {"image/svg+xml", "image/heic", "image/heif", "audio/midi", "audio/x-midi"}

# Servers say these when they do not know.
_GENERIC = {"", "application/octet-stream", "binary/octet-stream", "application/mp4"}

# Browsers run scripts in these.
ACTIVE_TYPES = frozenset(
    {
        "text/html",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xml",
        "application/xml",
        "application/rss+xml",
        "application/atom+xml",
        "application/mathml+xml",
        "text/xsl",
    }
)

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cJXL ", "image/jxl"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
    (b"FLV\x01", "video/x-flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
    (b"caff", "audio/x-caf"),
)
_RIFF_TYPES = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_QUICKTIME_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_BITMAP_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_TS_PACKET_BYTES = 188
_AAC_START = 0xFFF0
_MP3_START = 0xFFE0
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<title")
_CONTROLS = frozenset(chr(code) for code in range(32)) - set("\t\n\r\f\x1b")


def essence_of(content_type: str | None) -> str:
    """Return a content type without parameters, in lower case; empty for none."""
    return (content_type or "").partition(";")[0].strip().lower()


def family_of(content_type: str | None) -> Family | None:
    """Return which decodable kind a content type promises; None if it promises none."""
    essence = essence_of(content_type)
    return None if essence in _NOT_DECODABLE else _FAMILIES.get(essence.partition("/")[0])


def is_generic(content_type: str | None) -> bool:
    """Tell whether a content type says nothing."""
    return essence_of(content_type) in _GENERIC


def is_error_page(head: bytes, content_type: str | None) -> bool:
    """Tell whether a file's first bytes are a server's excuse instead of the file.

    Media is never plain text; other files may be, but a page of HTML or a storage service's XML
    error in place of something else is not the file.
    """
    if family_of(content_type) is not None:
        return is_text(head)
    essence = essence_of(content_type)
    if essence.startswith("text/") or essence in ACTIVE_TYPES - {"image/svg+xml"}:
        return False
    start = head.lower()
    return sniff(head) == "text/html" or (
        start.lstrip().startswith(b"<?xml") and b"<error" in start
    )


def is_text(head: bytes) -> bool:
    """Tell whether a file starts like plain text."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and not _CONTROLS.intersection(text)


def sniff(head: bytes) -> str | None:
    """Return the content type that a file's first bytes show; None if they show none we know."""
    for start, content_type in _STARTS:
        if head.startswith(start):
            return content_type
    if head[:4] == b"RIFF":
        return _RIFF_TYPES.get(head[8:12])
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return "audio/aiff"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:4] == b"OggS":
        return "video/ogg" if b"theora" in head[:512] else "audio/ogg"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "image/bmp"
    if head[:1] == b"\x47" and head[_TS_PACKET_BYTES : _TS_PACKET_BYTES + 1] == b"\x47":
        return "video/mp2t"
    return _sniff_mp4(head) or _sniff_sound(head) or _sniff_markup(head)


def _sniff_mp4(head: bytes) -> str | None:
    atom, brand = head[4:8], head[8:12]
    if atom in _QUICKTIME_ATOMS:
        return "video/quicktime"
    if atom in {b"styp", b"moof"}:
        return "video/mp4"
    if atom != b"ftyp":
        return None
    compatible = head[16 : max(16, int.from_bytes(head[:4], "big"))]
    if brand in _AVIF_BRANDS or (brand in _HEIF_BRANDS and b"avif" in compatible):
        return "image/avif"
    if brand in _HEIF_BRANDS:
        return "image/heic"
    if brand in {b"M4A ", b"M4B "}:
        return "audio/mp4"
    return "video/quicktime" if brand == b"qt  " else "video/mp4"


def _sniff_sound(head: bytes) -> str | None:
    # A frame of AAC or MP3 starts with eleven or twelve ones; the layer, two bits, is 0 for AAC.
    start = int.from_bytes(head[:2], "big")
    if start & 0xFFF6 == _AAC_START:
        return "audio/aac"
    return "audio/mpeg" if start & _MP3_START == _MP3_START and start & 0x0006 else None


def _sniff_markup(head: bytes) -> str | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(_HTML_STARTS) or (start.startswith(b"<?xml") and b"<html" in start):
        return "text/html"
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start):
        return "image/svg+xml"
    return "application/xml" if start.startswith(b"<?xml") else None
