"""What decoding a file to its end has shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

MediaKind = Literal["video", "image", "audio", "file"]


@dataclass(frozen=True)
class MediaFacts:
    """Measured on decoded frames and samples, not read from a header."""

    kind: MediaKind
    """"file" is anything that cannot be decoded because it is no picture, film or sound."""
    duration_seconds: float | None = None
    """Of the film, the moving image or the sound; None for a still image or another file."""
    width: int | None = None
    """Pixels, as stored."""
    height: int | None = None
    """Pixels, as stored."""
    frame_count: int | None = None
    """Pictures that were decoded; None for sound and other files."""
    codec: str | None = None
    """FFmpeg's name for it: "h264", "vp9", "png", "aac"."""

    def to_json(self) -> dict[str, Any]:
        """As plain values, for a ledger or a log."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MediaFacts:
        """The reverse of `to_json`; keys of a later version are ignored."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        return cls(**known)
