"""Model slugs: `owner/model`, lower case, as in the address of the model's page."""

from __future__ import annotations

import re

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*")
_PAGE_ADDRESS = re.compile(r"^https?://[^/]+/(?:models|tools|v1/run)/", re.IGNORECASE)


def find_slug(given: str) -> str | None:
    """`given` as a slug: trimmed and in lower case; `None` where it is not of the form."""
    slug = given.strip().lower()
    return slug if _SLUG.fullmatch(slug) else None


def guess_slug(given: str) -> str:
    """What `given`, a title or a page's address, would look like as a slug.

    `MiniMax/hailuo-2.3` is a title; its slug is `minimax/hailuo-2-3`.
    """
    path = _PAGE_ADDRESS.sub("", given.strip())
    parts = [part for part in path.lower().split("/") if part][:2]
    return "/".join(re.sub(r"[^a-z0-9]+", "-", part).strip("-") for part in parts)
