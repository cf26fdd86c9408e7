"""Which ids can be partition keys."""

from __future__ import annotations

import unicodedata

MAX_KEY_LENGTH = 200

_CONTROL = {"Cc", "Cs", "Zl", "Zp"}


def find_key_problem(key: str) -> str | None:
    """Why an id cannot be a partition key, `None` where it can.

    Dagster refuses `...` (its sign for a range) and the control characters that its UI cannot
    show; we refuse all control characters, half surrogate pairs, which no database takes, and
    more than 200 characters.
    """
    if not key:
        return "an id is needed: it is the partition's key. Add one that is unique in the file."
    if "..." in key:
        return f"{key!r} holds '...', which Dagster keeps for ranges of partitions. Change it."
    for character in key:
        if unicodedata.category(character) in _CONTROL:
            return f"{key!r} holds the control character {character!r}. Remove it."
    if len(key) > MAX_KEY_LENGTH:
        return f"{key[:40]!r}… has {len(key)} characters; {MAX_KEY_LENGTH} are allowed. Shorten it."
    return None
