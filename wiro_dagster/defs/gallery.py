"""The asset `video_gallery`: the page, written beside the videos."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.desks import open_desk
from wiro_dagster.defs.translator import asset_arguments
from wiro_dagster.gallery.cards import LINK_SECONDS, list_cards
from wiro_dagster.gallery.page import Card, render_page
from wiro_dagster.orders import OrderDesk
from wiro_dagster.store import VideoStore
from wiro_dagster.store.served import has_lasting_links

_CONTENT_TYPE = "text/html; charset=utf-8"

_SPEC = dg.AssetSpec(
    "video_gallery",
    kinds={"html"},
    description=(
        "One page with all videos of the collection, their prompts and costs, and what failed. "
        "It is in the video store, beside the videos. It is written again when videos have "
        "arrived; materialize it to see failures at once."
    ),
)


def build_gallery_asset(collection: VideoCollection) -> dg.AssetsDefinition:
    """The asset whose materialization writes the page anew, over all that is owned by then."""

    @dg.asset(
        **asset_arguments(collection.translate("video_gallery", _SPEC)),
        deps=[collection.video_key, collection.order_key],
        required_resource_keys=collection.resource_keys,
    )
    def video_gallery(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        written = write_gallery(collection, open_desk(collection, context.resources))
        return dg.MaterializeResult(
            metadata=written.metadata, data_version=dg.DataVersion(written.sha256)
        )

    return video_gallery


@dataclass(frozen=True)
class WrittenPage:
    """The page as it is in the store now.

    Args:
        sha256: of its content.
        metadata: for Dagster.
    """

    sha256: str
    metadata: dict[str, Any]


def write_gallery(collection: VideoCollection, desk: OrderDesk) -> WrittenPage:
    """Write the page anew.

    Raises:
        StoreError: the store cannot be used.
    """
    ledger, store = desk.ledger, desk.context.store
    cards = list_cards(
        ledger,
        collection.ledger_name,
        store,
        collection.checks,
        asset_url=collection.video_url,
    )
    key = f"{collection.prefixed('gallery')}.html"
    content = _render(collection, store, key, cards, ledger.clock()).encode()
    with store.staging() as staged:
        staged.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        uri = store.commit(staged, key, content_type=_CONTENT_TYPE, sha256=sha256)
    metadata = _metadata(store, key, uri, cards) | {"wiro/size_bytes": len(content)}
    return WrittenPage(sha256, metadata)


def _render(
    collection: VideoCollection, store: VideoStore, key: str, cards: list[Card], now: float
) -> str:
    title = f"Videos: {collection.name}" if collection.name else "Videos"
    if has_lasting_links(store, key):
        return render_page(
            title,
            cards,
            made_at=now,
            missing="This file is not beside the page. Keep both in one folder.",
            note="The videos play from where this page lies.",
        )
    return render_page(
        title,
        cards,
        made_at=now,
        missing="This link has expired. Materialize video_gallery for new ones.",
        note=(
            f"Its links are good for {LINK_SECONDS // 86400} days at most, less if they "
            "were signed with temporary credentials; anyone who has the page can use them."
        ),
    )


def _metadata(store: VideoStore, key: str, uri: str, cards: list[Card]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    url = store.view_url(key, expires_seconds=LINK_SECONDS)
    if url is not None:
        metadata["wiro/gallery"] = dg.MetadataValue.url(url)
    if uri.startswith("file:"):
        # Browsers open no file:// links on a page from http: this one is copied by a click.
        metadata["wiro/gallery_file"] = dg.MetadataValue.path(url2pathname(urlsplit(uri).path))
    cost = sum((card.cost_usd for card in cards if card.cost_usd is not None), Decimal(0))
    return metadata | {
        "dagster/uri": uri,
        "wiro/videos": sum(card.state == "video" for card in cards),
        "wiro/failed": sum(card.state == "failed" for card in cards),
        "wiro/cost_usd": float(cost),
    }
