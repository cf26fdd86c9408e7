"""Guesses at what was meant, for messages about something that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def find_near(given: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `given`, letter case aside; `None` where none is near."""
    by_folded = {name.casefold(): name for name in known}
    matches = get_close_matches(given.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` with a leading space, or nothing."""
    near = find_near(given, known)
    return f" Did you mean {near!r}?" if near else ""


def listing(values: Iterable[str], limit: int = 20) -> str:
    """`'a', 'b', 'c'`, cut with the number of those left out."""
    quoted = [repr(value) for value in values]
    rest = len(quoted) - limit
    return ", ".join(quoted[:limit]) + (f" and {rest} more" if rest > 0 else "")


def shown(value: object, limit: int = 80) -> str:
    """`value` as a message shows it: quoted, on one line, cut when long."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
