"""Still pictures: moving-colour backgrounds, wrapped text, and first images made to fit.

Pillow is imported on use.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from wiro_dagster.emulator.chance import fraction
from wiro_dagster.emulator.lettering import find_font, legible

if TYPE_CHECKING:
    from PIL import Image as PillowImage

_COARSE_SIDE = 48
_EXIF_SOFTWARE = 0x0131
_LARGEST_INPUT_PIXELS = 50_000_000


def make_picture(text: str, footer: str, *, width: int, height: int, file_format: str) -> bytes:
    """Return a PNG or WebP of this size with the text on colour."""
    image = draw_colours(width, height, key=text)
    darken(image, 0.75)
    image.paste((255, 255, 255), (0, 0), draw_text(text, footer, width, height))
    target = io.BytesIO()
    if file_format == "webp":
        # With metadata it has the extended layout, in which padding may follow the picture.
        image.save(target, format="WEBP", quality=60, method=2, exif=_metadata())
    else:
        image.save(target, format="PNG")
    return target.getvalue()


def _metadata() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[_EXIF_SOFTWARE] = "wiro-dagster emulator"
    return exif.tobytes()


def draw_colours(width: int, height: int, *, key: str) -> PillowImage.Image:
    """Return a soft pattern of colours that depends on the key alone."""
    from PIL import Image

    phases = [fraction(0, key, part) * math.tau for part in range(6)]
    coarse = Image.new("RGB", (_COARSE_SIDE, _COARSE_SIDE))
    coarse.putdata(
        [
            _colour(x / _COARSE_SIDE, y / _COARSE_SIDE, phases)
            for y in range(_COARSE_SIDE)
            for x in range(_COARSE_SIDE)
        ]
    )
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def _colour(x: float, y: float, phases: Sequence[float]) -> tuple[int, int, int]:
    red = math.sin(x * 9 + phases[0]) + math.sin(y * 4 + phases[1])
    green = math.sin(y * 6 + phases[2]) + math.sin(x * 5 + phases[3])
    blue = math.sin((x + y) * 5 + phases[4]) + math.sin((x - y) * 4 + phases[5])
    return tuple(int(128 + 55 * value) for value in (red, green, blue))  # type: ignore[return-value]


def darken(image: PillowImage.Image, factor: float) -> None:
    """Make a picture darker, so that white text stands out."""
    image.paste(image.point([int(level * factor) for level in range(256)] * 3))


def draw_text(text: str, footer: str, width: int, height: int) -> PillowImage.Image:
    """Return a mask with the text wrapped into the middle, as large as fits, and a footer."""
    from PIL import Image, ImageDraw

    text = legible(text)
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    margin = width // 16
    for divisor in (9, 11, 14, 18, 23, 29, 36, 48):
        font = find_font(text, max(6, min(width, height) // divisor))
        lines = wrap(text, lambda line, font=font: font.getlength(line), width - 2 * margin)  # type: ignore[misc]
        line_height = font.size * 1.25
        if len(lines) * line_height <= height * 0.75:
            break
    else:
        lines = lines[: max(1, int(height * 0.75 / line_height))]
    top = (height * 0.9 - len(lines) * line_height) / 2
    for place, line in enumerate(lines):
        pen.text((margin, top + place * line_height), line, fill=255, font=font)
    small = find_font(footer, max(6, min(width, height) // 34))
    pen.text((margin, height * 0.93), footer, fill=220, font=small)
    return mask


def wrap(text: str, length: Callable[[str], float], width: float) -> list[str]:
    """Return the text in lines that are no longer than the width, as `length` measures them."""
    lines: list[str] = []
    for whole in text.split():
        word = whole
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and length(joined) <= width:
            lines[-1] = joined
            continue
        while length(word) > width and len(word) > 1:
            fitting = max(1, int(len(word) * width / length(word)))
            lines.append(word[:fitting])
            word = word[fitting:]
        lines.append(word)
    return lines


def open_picture(content: bytes) -> PillowImage.Image | None:
    """Return the picture, or None if Pillow cannot decode the bytes."""
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(content))
        if image.width * image.height > _LARGEST_INPUT_PIXELS:
            return None
        return ImageOps.exif_transpose(image).convert("RGB")
    except Exception:  # Pillow raises nearly anything on broken files
        return None
