"""Which ids can be partition keys: short, visible, and not to be confused with one another."""

from __future__ import annotations

import re
import unicodedata

from wiro_dagster.catalogue.bounds import MAX_KEY_LENGTH

_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_BLANKS = "\t\n\x0b\x0c\r\x85\u2028\u2029\u2800"
_FILLERS = re.compile("[\u115f\u1160\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_STYLED = re.compile("[\uff01-\uff5e\ufb00-\ufb06\U0001d400-\U0001d7ff]")
# Cyrillic and Greek letters that most fonts draw like Latin ones.
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0406\u0408\u0405"
    "\u03bf\u03b1\u03bd\u03c1\u03b9\u03ba\u03c5"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
    "aeopcyxijshdqwABEKMHOPCTYXIJSoavpikuABEZHIKMNOPTYX",
)
_LATIN = re.compile("[A-Za-z]")


def find_key_problem(key: str) -> str | None:
    """Return why an id cannot be a partition key; `None` if it can.

    Dagster refuses `...` (its sign for a range) and the control characters that its UI cannot
    show. We refuse everything that is invisible or looks like something else, because two prompts
    whose ids look the same would be two paid videos.
    """
    if not key:
        return "an id is needed: it is the partition's key. Add one that is unique in the file."
    if "..." in key:
        return f"{key!r} holds '...', which Dagster keeps for ranges of partitions. Change it."
    if len(key) > MAX_KEY_LENGTH:
        return f"{key[:40]!r}… has {len(key)} characters; {MAX_KEY_LENGTH} are allowed. Shorten it."
    clear = clear_key(key)
    if clear == key:
        return None
    odd = next((pair for pair in zip(key, clear, strict=False) if pair[0] != pair[1]), (key[-1],))
    name = unicodedata.name(odd[0], f"control character {odd[0]!r}")
    advice = f"Write {clear!r}." if clear else "Write another id."
    return f"{key!r} holds the invisible or look-alike character {name}. {advice}"


def clear_key(key: str) -> str:
    """Return an id in characters that are what they look like."""
    visible = "".join(map(_clear_character, _FILLERS.sub("", key)))
    styled = _STYLED.sub(lambda found: unicodedata.normalize("NFKC", found[0]), visible)
    return re.sub(r"\w+", _clear_word, styled).strip()


def _clear_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Zs" or character in _BLANKS:
        return " "
    return "" if category in _INVISIBLE else character


def _clear_word(word: re.Match[str]) -> str:
    # A word in one script is what it looks like; one that mixes scripts is a trap.
    return word[0].translate(_LOOKALIKES) if _LATIN.search(word[0]) else word[0]
