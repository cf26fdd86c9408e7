"""Seeded chance: the same seed and the same question always give the same answer."""

from __future__ import annotations

import hashlib


def happens(rate: float, seed: int, *question: object) -> bool:
    """Return whether something that happens at this rate (0 to 1) happens here."""
    return rate > 0 and fraction(seed, *question) < rate


def fraction(seed: int, *question: object) -> float:
    """Return an even number from 0 up to 1, fixed for the seed and the question."""
    text = ":".join(str(part) for part in (seed, *question))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2.0**64
