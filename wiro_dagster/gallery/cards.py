"""From a collection's orders to the gallery's cards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from wiro_dagster.errors import MediaError, StoreError
from wiro_dagster.gallery.page import Card
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.orders.verdicts import VideoChecks, judge_order
from wiro_dagster.store import VideoStore
from wiro_dagster.store.served import has_lasting_links

LINK_SECONDS = 7 * 24 * 3600
"""How long links into a remote store work: the longest that S3 signs."""

_POSTERS = 500
"""The page stays under some 8 MB; older videos show their first frame instead."""
_READERS = 8


def list_cards(
    ledger: Ledger,
    collection: str,
    store: VideoStore,
    checks: VideoChecks,
    *,
    asset_url: str | None = None,
) -> list[Card]:
    """Return a collection's videos, earlier versions and failed orders, the newest first.

    The takes of a prompt stand side by side, in their order.

    Args:
        ledger: has the orders.
        collection: whose.
        store: has the files.
        checks: what is wrong with them.
        asset_url: the page of the asset in Dagster's UI, if it is known.

    Raises:
        StoreError: the store cannot be used.
    """
    owned = ledger.list_orders(collection=collection, states=("stored", "delivered"))
    takes = {order.id: order for order in ledger.list_takes(collection=collection)}
    failed = {order.id: order for order in ledger.list_failed(collection)}
    failed |= {order.id: order for order in takes.values() if order.is_failure}
    ended = [*owned, *failed.values()]
    newest: dict[str, float] = defaultdict(float)
    for order in ended:
        if order.id in takes:
            newest[order.partition] = max(newest[order.partition], order.ended_at or 0)

    def place(order: Order) -> tuple[float, str, int]:
        if order.id in takes:
            return -newest[order.partition], order.partition, order.take
        return -(order.ended_at or 0), "", -order.id

    ended.sort(key=place)
    posters = _read_posters(store, ended)
    cards = [_card_of(order, store, checks, posters.get(order.id)) for order in ended]
    cards = [
        _beside_others(card, order, newest[order.partition]) if order.id in takes else card
        for card, order in zip(cards, ended, strict=True)
    ]
    if asset_url is None:
        return cards
    page = f"{asset_url}?view=partitions&partition="
    return [replace(card, partition_url=page + quote(card.name, safe="")) for card in cards]


def _beside_others(card: Card, order: Order, newest: float) -> Card:
    """Return the card of one of several takes."""
    is_other = card.state == "earlier"
    return replace(card, state="take" if is_other else card.state, take=order.take, group_at=newest)


def _card_of(order: Order, store: VideoStore, checks: VideoChecks, poster: bytes | None) -> Card:
    if not order.is_owned:
        return _card_of_failure(order)
    try:
        return _card_of_video(order, store, checks, poster)
    except StoreError:
        raise
    except Exception as error:  # one odd order spoils no page
        return replace(
            _card_of_failure(order),
            state="video",
            notes=(f"It cannot be shown: {type(error).__name__}: {error}",),
        )


def _card_of_failure(order: Order) -> Card:
    reason = order.error or "No reason given."
    return Card(
        name=order.partition,
        state="failed",
        prompt=order.prompt,
        model=order.model_slug,
        cost_usd=order.cost_usd,
        ended_at=order.ended_at,
        notes=(reason,),
    )


def _card_of_video(
    order: Order, store: VideoStore, checks: VideoChecks, poster: bytes | None
) -> Card:
    first, *others = order.files
    media: Mapping[str, Any] = first.get("media") or {}
    others_urls = (_link(store, file["key"]) for file in others)
    return Card(
        name=order.partition,
        state="video" if order.superseded_by is None else "earlier",
        prompt=order.prompt,
        model=order.model_slug,
        cost_usd=order.cost_usd,
        ended_at=order.ended_at,
        kind=media.get("kind"),
        source=_link(store, first["key"]),
        others=tuple(url for url in others_urls if url is not None),
        poster=poster,
        seconds=media.get("duration_seconds"),
        width=media.get("width"),
        height=media.get("height"),
        size_bytes=first["size_bytes"],
        notes=tuple(text for text in judge_order(order, checks).values() if text),
    )


def _link(store: VideoStore, key: str) -> str | None:
    """Return a path beside the page, which may move or be served with it, else a signed link."""
    if has_lasting_links(store, key):
        return quote(key)
    return store.view_url(key, expires_seconds=LINK_SECONDS)


def _read_posters(store: VideoStore, ended: Iterable[Order]) -> dict[int, bytes]:
    keys = {order.id: key for order in ended for key in _poster_keys(order)}
    newest = dict(list(keys.items())[:_POSTERS])
    with ThreadPoolExecutor(_READERS) as readers:
        posters = readers.map(lambda key: _read_poster(store, key), newest.values())
        return {
            order_id: poster
            for order_id, poster in zip(newest, posters, strict=True)
            if poster is not None
        }


def _poster_keys(order: Order) -> Iterator[str]:
    if order.is_owned and order.files[0].get("poster_key"):
        yield order.files[0]["poster_key"]


def _read_poster(store: VideoStore, key: str) -> bytes | None:
    try:
        with store.local_copy(key) as path:
            return path.read_bytes()
    except (StoreError, MediaError):  # the page works without one picture
        return None
