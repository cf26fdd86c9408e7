"""Fonts for the text in pictures: Pillow's own for plain letters, the machine's for others.

Pillow is imported on use.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_PROBE_SIZE = 12
_FIRST_EAST_ASIAN = "\u2e80"
# Found by name in the machine's font folders, if installed.
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf")
_EAST_ASIAN_FONTS = ("NotoSansCJK-Regular.ttc", "PingFang.ttc", "msyh.ttc")
_WITHOUT_ACCENT = str.maketrans(
    {
        "ß": "ss",
        "ø": "o",
        "Ø": "O",
        "\u0131": "i",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "æ": "ae",
        "œ": "oe",
    }
    | {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
)


def find_font(text: str, size: int) -> FreeTypeFont:
    """Return a font of this size in pixels that has the text's letters, if there is such a font.

    Raises:
        RuntimeError: Pillow was built without FreeType.
    """
    from PIL import ImageFont

    path = None if text.isascii() else _find_path(_is_east_asian(text))
    font = ImageFont.truetype(path, size) if path else ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType: install a wheel that has it")
    return font


def legible(text: str) -> str:
    """Return the text as it can be written here: without accents if no font has them."""
    if text.isascii() or _find_path(_is_east_asian(text)):
        return text
    return without_accents(text)


def without_accents(text: str) -> str:
    """Return the text in ASCII, with a question mark for each letter that has no likeness there."""
    plain = unicodedata.normalize("NFKD", text.translate(_WITHOUT_ACCENT))
    kept = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return kept.encode("ascii", "replace").decode()


def _is_east_asian(text: str) -> bool:
    return any(letter >= _FIRST_EAST_ASIAN for letter in text)


@cache
def _find_path(is_east_asian: bool) -> str | None:
    from PIL import ImageFont

    for name in _EAST_ASIAN_FONTS if is_east_asian else _FONTS:
        try:
            return str(ImageFont.truetype(name, _PROBE_SIZE).path)
        except OSError:
            continue
    return None
