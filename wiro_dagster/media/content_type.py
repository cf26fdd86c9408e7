"""What a content type promises."""

from __future__ import annotations

from typing import Literal

Family = Literal["video", "image", "audio"]

_FAMILIES: dict[str, Family] = {"video": "video", "image": "image", "audio": "audio"}

# Pictures and sounds by name that FFmpeg does not draw or play: kept as files, as they are.
_NOT_DECODABLE = {"image/svg+xml", "image/heic", "image/heif", "audio/midi", "audio/x-midi"}

# Servers say these when they do not know.
_GENERIC = {"", "application/octet-stream", "binary/octet-stream", "application/mp4"}


def essence_of(content_type: str | None) -> str:
    """A content type without parameters, in lower case; empty for none."""
    return (content_type or "").partition(";")[0].strip().lower()


def family_of(content_type: str | None) -> Family | None:
    """Which decodable kind a content type promises; None where it promises none."""
    essence = essence_of(content_type)
    return None if essence in _NOT_DECODABLE else _FAMILIES.get(essence.partition("/")[0])


def is_generic(content_type: str | None) -> bool:
    """Whether a content type says nothing."""
    return essence_of(content_type) in _GENERIC
