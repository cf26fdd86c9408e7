"""Videos: the prompt's text on moving colour, or on the first image, as a playable H.264 MP4.

Frames are put together as luma and chroma planes, which needs no conversion of colours and keeps
a six-second video of 1366x768 near half a second of one core. PyAV is imported on use.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wiro_dagster.emulator.pictures import darken, draw_colours, draw_text

if TYPE_CHECKING:
    import av
    from PIL import Image as PillowImage

_FRAMES_A_SECOND = 12
_TINY_FRAMES_A_SECOND = 4
# Higher means smaller and coarser; taken in turn until the file fits its announced size.
_QUALITIES = (30, 38, 46, 51)
_TRAVEL = 0.22


@dataclass(frozen=True)
class VideoPlan:
    """What a video shows.

    Args:
        text: written over the picture.
        footer: small, at the bottom.
        width: in pixels, even.
        height: in pixels, even.
        seconds: its length.
        largest_bytes: the size that it must stay below.
    """

    text: str
    footer: str
    width: int
    height: int
    seconds: float
    largest_bytes: int


def make_video(plan: VideoPlan, background: PillowImage.Image | None) -> bytes:
    """Return an MP4 with its index in front, so that it plays while it loads.

    Args:
        plan: what it shows.
        background: the first image; without one, colours are made up.

    Raises:
        ValueError: it cannot be made small enough.
    """
    for quality in _QUALITIES:
        content = _encode(plan, background, quality)
        if len(content) <= plan.largest_bytes:
            return content
    raise ValueError(f"a video of {plan.seconds} s does not fit {plan.largest_bytes} bytes")


def _encode(plan: VideoPlan, background: PillowImage.Image | None, quality: int) -> bytes:
    import av

    is_tiny = plan.width < 128
    rate = _TINY_FRAMES_A_SECOND if is_tiny else _FRAMES_A_SECOND
    frames = max(1, round(plan.seconds * rate))
    painter = _Painter(plan, background, frames)
    handle, name = tempfile.mkstemp(suffix=".mp4")
    os.close(handle)
    path = Path(name)
    try:
        # The index can only be moved to the front of a real file.
        with av.open(name, "w", format="mp4", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = plan.width, plan.height, "yuv420p"
            stream.options = {"preset": "ultrafast", "crf": str(quality), "threads": "1"}
            for index in range(frames):
                container.mux(stream.encode(painter.frame(index)))
            container.mux(stream.encode(None))
        return path.read_bytes()
    finally:
        path.unlink()


class _Painter:
    """Cuts each frame out of a wider background, and lays the text over it."""

    def __init__(self, plan: VideoPlan, background: PillowImage.Image | None, frames: int) -> None:
        import av
        from PIL import Image

        self._plan, self._frames = plan, frames
        # Planes are padded to whole machine words; cutting that wide spares a copy.
        blank = av.VideoFrame(plan.width, plan.height, "yuv420p")
        self._widths = [plane.line_size for plane in blank.planes]
        # Even steps, so that the half-size chroma planes move in whole pixels.
        self._step = max(2, int(plan.width * _TRAVEL / frames) // 2 * 2)
        wide = plan.width + self._step * frames + 2 * (self._widths[0] - plan.width)
        wide += wide % 2
        picture = _fit(background, plan, wide)
        darken(picture, 0.6 if background else 0.75)
        luma, *chroma = picture.convert("YCbCr").split()
        half = (wide // 2, plan.height // 2)
        # H.264 players expect luma from 16 to 235 and chroma from 16 to 240.
        self._planes = [
            luma.point([16 + level * 219 // 255 for level in range(256)]),
            *(part.resize(half, Image.Resampling.BOX) for part in chroma),
        ]
        mask = draw_text(plan.text, plan.footer, plan.width, plan.height)
        self._box = mask.getbbox()
        self._text = mask.crop(self._box) if self._box else mask

    def frame(self, index: int) -> av.VideoFrame:
        """Return the frame at this place."""
        import av

        plan = self._plan
        frame = av.VideoFrame(plan.width, plan.height, "yuv420p")
        for place, plane in enumerate(frame.planes):
            scale = 2 if place else 1
            left = self._step * index // scale
            height = plan.height // scale
            part = self._planes[place].crop((left, 0, left + self._widths[place], height))
            if place == 0:
                self._draw_over(part, index)
            plane.update(part.tobytes())
        frame.pts = index
        return frame

    def _draw_over(self, luma: PillowImage.Image, index: int) -> None:
        if self._box:
            luma.paste(235, self._box, self._text)
        # A bar that grows along the bottom shows how far the video is.
        done = max(2, self._plan.width * (index + 1) // self._frames)
        thick = max(1, self._plan.height // 60)
        luma.paste(210, (0, self._plan.height - thick, done, self._plan.height))


def _fit(background: PillowImage.Image | None, plan: VideoPlan, wide: int) -> PillowImage.Image:
    from PIL import Image, ImageOps

    if background is None:
        return draw_colours(wide, plan.height, key=plan.text)
    return ImageOps.fit(background, (wide, plan.height), Image.Resampling.BILINEAR)
