"""What one decoding pass over a file has shown. Nothing here judges."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

MediaKind = Literal["video", "image", "audio", "file"]


@dataclass(frozen=True)
class MediaFacts:
    """What a file holds, measured on decoded frames and samples, not read from a header."""

    kind: MediaKind
    """"file" is anything other than a picture, a film or sound."""
    duration_seconds: float | None = None
    """Of the film, the moving image or the sound; None for a still image and for other files."""
    width: int | None = None
    """Pixels, as shown: a video that the player turns is measured after turning."""
    height: int | None = None
    """Pixels, as shown."""
    frame_count: int | None = None
    """Pictures that were decoded; None for sound and other files."""
    codec: str | None = None
    """FFmpeg's name for it: "h264", "vp9", "png", "aac"."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for a ledger or a log."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MediaFacts:
        """Reverse `to_json`; keys of a later version are ignored."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})


@dataclass(frozen=True)
class FrameMeasures:
    """What was measured on up to twelve frames a second. Frame numbers count from 0."""

    frame_count: int
    """All frames that were decoded."""
    duration_seconds: float
    sampled_count: int
    """Frames that were measured."""
    black_count: int
    """Those of them that are black."""
    first_black_frame: int | None
    first_black_seconds: float | None
    frozen_seconds: float
    """The longest stretch in which nothing moves."""
    frozen_start_frame: int | None
    frozen_start_seconds: float | None

    @property
    def black_share(self) -> float:
        """Black frames among those that were measured, 0 to 1."""
        return self.black_count / self.sampled_count

    @property
    def frozen_share(self) -> float:
        """The longest frozen stretch as a part of the whole length, 0 to 1."""
        return self.frozen_seconds / self.duration_seconds if self.duration_seconds else 0.0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FrameMeasures:
        """Reverse `dataclasses.asdict`."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Inspection:
    """All that one pass over a file has given."""

    facts: MediaFacts
    content_type: str | None = None
    """What the bytes are, whatever they were announced as; None if that is not known."""
    problem: str | None = None
    """What is wrong with the file; None if nothing is."""
    unseen: str | None = None
    """Why the file, or the rest of it, was not looked at; None if it was decoded to its end."""
    unheard: str | None = None
    """Why the sound of a film was not looked at, though its pictures were; None if it was."""
    measures: FrameMeasures | None = None
    """Of a video."""
    ratio: float | None = None
    """Width by height as shown, with pixels that are not square taken into account."""
    preview: bytes | None = field(default=None, repr=False)
    """A small WebP: moving for a film, still for an image."""
    poster: bytes | None = field(default=None, repr=False)
    """A small still WebP."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for another process."""
        values = asdict(self)
        for name in ("preview", "poster"):
            picture = values[name]
            values[name] = picture and base64.b64encode(picture).decode("ascii")
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Inspection:
        """Reverse `to_json`."""
        measures = values["measures"]
        pictures = {name: values[name] for name in ("preview", "poster")}
        return cls(
            facts=MediaFacts.from_json(values["facts"]),
            content_type=values["content_type"],
            problem=values["problem"],
            unseen=values["unseen"],
            unheard=values["unheard"],
            measures=None if measures is None else FrameMeasures.from_json(measures),
            ratio=values["ratio"],
            **{name: text and base64.b64decode(text) for name, text in pictures.items()},
        )
