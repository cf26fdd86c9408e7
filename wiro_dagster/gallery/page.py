"""The gallery's HTML. Everything that comes from elsewhere is escaped here, and nowhere else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache
from html import escape
from importlib import resources
from string import Template
from typing import Literal

from wiro_dagster.media import MediaKind

CardState = Literal["video", "earlier", "failed"]
"""A partition's video, one that another has replaced, or an order that ended without one."""

_TAGS: dict[CardState, str] = {"video": "", "earlier": "earlier version", "failed": "failed"}
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
        kind: of its first file; `None` where there is none.
        source: URL of that file, relative to the page or absolute; `None` where there is none.
        others: URLs of its further files.
        poster: a small WebP.
        seconds: length.
        width: pixels.
        height: pixels.
        size_bytes: of the first file.
        notes: what is wrong with it, one line each.
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


def render_page(
    title: str, cards: Sequence[Card], *, made_at: float, missing: str, note: str = ""
) -> str:
    """The page as one HTML document.

    Args:
        title: its heading.
        cards: in the order in which they show where scripts are off.
        made_at: unix seconds.
        missing: shown in place of a file that cannot be loaded.
        note: one sentence at the foot.
    """
    models = sorted({card.model for card in cards})
    return _template("page.html").substitute(
        title=escape(title),
        script_hash=_script_hash(),
        total=_total(cards),
        model_options="".join(f"<option>{escape(model)}</option>" for model in models),
        cards="".join(_card(card, missing) for card in cards),
        footer=f"Made {_time(made_at)}. {escape(note)}",
    )


def _total(cards: Sequence[Card]) -> str:
    counts = {state: sum(card.state == state for card in cards) for state in _TAGS}
    cost = sum((card.cost_usd for card in cards if card.cost_usd is not None), Decimal(0))
    parts = [_count(counts["video"], "video"), f"{cost:,.2f} USD"]
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    if counts["earlier"]:
        parts.append(_count(counts["earlier"], "earlier version"))
    return " · ".join(parts)


def _card(card: Card, missing: str) -> str:
    tag = _TAGS[card.state]
    return _template("card.html").substitute(
        state=card.state,
        name=escape(card.name),
        model=escape(card.model),
        date=f"{card.ended_at or 0:.3f}",
        cost=f"{card.cost_usd or 0:f}",
        seconds=f"{card.seconds or 0:g}",
        player=_player(card, missing),
        tag=f'<span class="tag">{tag}</span>' if tag else "",
        prompt=f'<p class="prompt">{escape(card.prompt)}</p>\n' if card.prompt else "",
        notes="".join(f'<p class="note">{escape(note)}</p>\n' for note in card.notes),
        facts="".join(_facts(card)),
    )


def _player(card: Card, missing: str) -> str:
    poster = "" if card.poster is None else _data_uri(card.poster)
    picture = f'<img src="{poster}" alt="" loading="lazy">' if poster else ""
    if card.state == "failed":
        return "<p>No video</p>"
    if card.source is None:
        return f"{picture}<p>{escape(missing)}</p>"
    source = f'src="{escape(card.source)}" data-missing="{escape(missing)}"'
    match card.kind:
        case "video":
            preload = "none" if poster else "metadata"
            shown = f' poster="{poster}"' if poster else ""
            return f'<video controls playsinline preload="{preload}"{shown} {source}></video>'
        case "image":
            return f'<img src="{escape(card.source)}" alt="" loading="lazy">'
        case "audio":
            return f'<audio controls preload="none" {source}></audio>'
    return '<p>A file: see "Open".</p>'


def _facts(card: Card) -> list[str]:
    facts = [f"<span>{escape(card.model)}</span>"]
    if card.cost_usd is not None:
        facts.append(f'<span class="cost">{card.cost_usd:f} USD</span>')
    if card.seconds is not None:
        facts.append(f"<span>{_length(card.seconds)}</span>")
    if card.width and card.height:
        facts.append(f"<span>{card.width}×{card.height}</span>")  # noqa: RUF001 - so it is written
    if card.size_bytes is not None:
        facts.append(f"<span>{_size(card.size_bytes)}</span>")
    if card.ended_at is not None:
        facts.append(f"<span>{_time(card.ended_at)}</span>")
    if card.source is not None:
        facts.append(_link(card.source, "Open"))
    facts += [_link(other, f"File {index}") for index, other in enumerate(card.others, start=2)]
    return facts


def _link(url: str, text: str) -> str:
    return f'<a href="{escape(url)}" target="_blank" rel="noopener">{text}</a>'


def _data_uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M} UTC</time>'


def _length(seconds: float) -> str:
    if seconds < _MINUTE_SECONDS:
        return f"{seconds:.3g} s"
    return f"{int(seconds // _MINUTE_SECONDS)}:{int(seconds % _MINUTE_SECONDS):02} min"


def _size(size_bytes: int) -> str:
    if size_bytes < _KILO**2:
        return f"{size_bytes / _KILO:.3g} kB"
    return f"{size_bytes / _KILO**2:.3g} MB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@lru_cache(maxsize=4)
def _template(name: str) -> Template:
    return Template(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _script_hash() -> str:
    """What the page's own rules allow to run: its script, and nothing that slips in."""
    found = re.search(r"<script>(.*?)</script>", _template("page.html").template, re.DOTALL)
    script = found.group(1) if found else ""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
