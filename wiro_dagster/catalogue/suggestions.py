"""Slugs, and the parts of messages: suggestions, lists and counts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*")
_PAGE_ADDRESS = re.compile(r"^https?://[^/]+/(?:models|tools|v1/run)/", re.IGNORECASE)


def find_slug(given: str) -> str | None:
    """Return `given` as a slug `owner/model`, trimmed and in lower case, if it can be one."""
    slug = given.strip().lower()
    return slug if _SLUG.fullmatch(slug) else None


def guess_slug(given: str) -> str:
    """Return what `given`, a title or a page's address, would look like as a slug.

    `MiniMax/hailuo-2.3` is a title; its slug is `minimax/hailuo-2-3`.
    """
    path = _PAGE_ADDRESS.sub("", given.strip())
    parts = [part for part in path.lower().split("/") if part][:2]
    return "/".join(re.sub(r"[^a-z0-9]+", "-", part).strip("-") for part in parts)


def find_near(given: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the known name that is most like `given`, ignoring case, if one is close."""
    by_folded = {name.casefold(): name for name in known}
    matches = get_close_matches(given.casefold()[:200], by_folded, n=1, cutoff=likeness)
    return by_folded[matches[0]] if matches else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` with a leading space, or an empty text."""
    near = find_near(given, known)
    return f" Did you mean {near!r}?" if near else ""


def listing(values: Iterable[str], limit: int = 20) -> str:
    """Return `'a', 'b', 'c'`, and how many more there are after the first 20."""
    quoted = [repr(value) for value in values]
    rest = len(quoted) - limit
    return ", ".join(quoted[:limit]) + (f" and {rest} more" if rest > 0 else "")


def counted(number: int, noun: str) -> str:
    """Return `1 video`, `2 videos`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shown(value: object, limit: int = 80) -> str:
    """Return `value` as a message shows it: quoted, on one line, cut if it is long."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
