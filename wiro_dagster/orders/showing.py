"""How an owned video is shown: a small moving preview, and a link that plays it."""

from __future__ import annotations

from wiro_dagster.errors import MediaError, StoreError
from wiro_dagster.ledger import Order
from wiro_dagster.media import preview_markdown
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.store.served import has_lasting_links


def find_preview(context: OrderContext, order: Order) -> str | None:
    """Return Markdown that shows an owned video moving, `None` if it has no preview."""
    key = order.files[0].get("preview_key") if order.files else None
    if key is None:
        return None
    try:
        with context.store.local_copy(key) as path:
            return preview_markdown(path.read_bytes(), order.partition)
    except (StoreError, MediaError):
        return None


def find_link(context: OrderContext, order: Order) -> str | None:
    """Return a URL that plays an owned video, `None` if it has no lasting one.

    Links into a remote store are signed: anyone can use one until it expires. They do not belong in
    an event log.
    """
    store, key = context.store, order.files[0]["key"]
    return store.view_url(key) if has_lasting_links(store, key) else None
