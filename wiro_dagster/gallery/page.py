"""The gallery's HTML, from Jinja2 templates that escape whatever comes from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from typing import Literal

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from wiro_dagster.catalogue.suggestions import counted
from wiro_dagster.media import MediaKind

CardState = Literal["video", "take", "earlier", "failed"]
"""A partition's video, another take of it, one that a later prompt's has replaced, or an order that
ended without one."""

_TAGS: dict[CardState, str] = {
    "take": "not chosen",
    "earlier": "earlier version",
    "failed": "failed",
}
_KILO = 1000.0
_MINUTE_SECONDS = 60


@dataclass(frozen=True)
class Card:
    """One order on the page.

    Args:
        name: the partition.
        state: what became of it.
        prompt: its text.
        model: slug of the model.
        cost_usd: what Wiro charged.
        ended_at: unix seconds.
        kind: of its first file; `None` if it has no file.
        source: URL of that file, relative to the page or absolute; `None` if it has no file.
        others: URLs of its further files.
        poster: a small WebP.
        seconds: length.
        width: pixels.
        height: pixels.
        size_bytes: of the first file.
        notes: what is wrong with it, one line each.
        partition_url: of its partition in Dagster's UI.
        take: its number, if its prompt has several takes.
        group_at: when the newest take of its prompt ended: takes stand side by side.
    """

    name: str
    state: CardState
    prompt: str
    model: str
    cost_usd: Decimal | None = None
    ended_at: float | None = None
    kind: MediaKind | None = None
    source: str | None = None
    others: tuple[str, ...] = ()
    poster: bytes | None = None
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    size_bytes: int | None = None
    notes: tuple[str, ...] = ()
    partition_url: str | None = None
    take: int | None = None
    group_at: float | None = None


@dataclass(frozen=True)
class _Model:
    """What was made with one model."""

    name: str
    videos: int
    failed: int
    cost_usd: Decimal


def render_page(
    title: str, cards: Sequence[Card], *, made_at: float, missing: str, note: str = ""
) -> str:
    """Return the page as one HTML document.

    Args:
        title: its heading.
        cards: in the order in which they are shown if scripts are off.
        made_at: unix seconds.
        missing: shown in place of a file that cannot be loaded.
        note: one sentence at the foot.
    """
    script = _read("script.html")
    return (
        _templates()
        .get_template("page.html")
        .render(
            title=title,
            total=_total(cards),
            models=_sum_by_model(cards),
            cards=cards,
            tags=_TAGS,
            missing=missing,
            made_at=made_at,
            note=note,
            style=_read("style.html"),
            script=script,
            script_hash=_hash_script(script),
        )
    )


def _total(cards: Sequence[Card]) -> str:
    counts = Counter(card.state for card in cards)
    parts = [counted(counts["video"], "video"), f"{_sum_costs(cards):,.2f} USD"]
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    if counts["take"]:
        parts.append(f"{counted(counts['take'], 'take')} not chosen")
    if counts["earlier"]:
        parts.append(counted(counts["earlier"], "earlier version"))
    return " · ".join(parts)


def _sum_by_model(cards: Sequence[Card]) -> list[_Model]:
    """Return the models by name; earlier versions count, since they were paid for too."""
    by_model: dict[str, list[Card]] = {}
    for card in cards:
        by_model.setdefault(card.model, []).append(card)
    return [
        _Model(
            name,
            videos=sum(card.state != "failed" for card in of_model),
            failed=sum(card.state == "failed" for card in of_model),
            cost_usd=_sum_costs(of_model),
        )
        for name, of_model in sorted(by_model.items())
    ]


def _sum_costs(cards: Sequence[Card]) -> Decimal:
    return sum((card.cost_usd for card in cards if card.cost_usd is not None), Decimal(0))


def _data_uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


def _time(seconds: float) -> Markup:
    try:
        moment = datetime.fromtimestamp(seconds, tz=timezone.utc)
    except (ValueError, OverflowError, OSError):
        return Markup()  # one odd time spoils no page
    element = Markup('<time datetime="{:%Y-%m-%dT%H:%M:%SZ}">{:%Y-%m-%d %H:%M} UTC</time>')
    return element.format(moment, moment)


def _length(seconds: float) -> str:
    if seconds < _MINUTE_SECONDS:
        return f"{seconds:.3g} s"
    return f"{int(seconds // _MINUTE_SECONDS)}:{int(seconds % _MINUTE_SECONDS):02} min"


def _size(size_bytes: int) -> str:
    if size_bytes < _KILO**2:
        return f"{size_bytes / _KILO:.3g} kB"
    return f"{size_bytes / _KILO**2:.3g} MB"


@lru_cache(maxsize=1)
def _templates() -> Environment:
    templates = Environment(
        autoescape=True,
        loader=FunctionLoader(_read),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "data_uri": _data_uri,
        "length_of_time": _length,
        "size": _size,
        "time": _time,
    }
    return templates


@lru_cache(maxsize=4)
def _read(name: str) -> Markup:
    # The files of this folder are markup; everything else on the page is text.
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - it came with the package


def _hash_script(script: str) -> str:
    """Return what the page's own rules allow to run: its script, and nothing that slips in."""
    content = script.partition("<script>")[2].partition("</script>")[0]
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
