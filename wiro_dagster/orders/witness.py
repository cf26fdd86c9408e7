"""The ledger's witness in the video store: how far it had come before each purchase.

So a ledger that is new, replaced or restored from a backup is recognized before it buys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from wiro_dagster.ledger.identity import Identity
from wiro_dagster.orders.context import OrderContext


def write_witness(context: OrderContext) -> None:
    """Record how far the ledger has come, before anything is sent.

    Processes that buy at once may write in any order. Each looks at the ledger once more after it
    has written, so the last to write writes the newest.

    Raises:
        StoreError: the store cannot keep it; then nothing may be bought.
    """
    identity, written = context.ledger.identity(), -1
    while written < identity.sequence:
        context.store.write_note(
            _witness_name(context, identity.ledger_id),
            {
                "ledger_id": identity.ledger_id,
                "collection": context.collection,
                "sequence": identity.sequence,
                "written_at": context.now(),
            },
        )
        written, identity = identity.sequence, context.ledger.identity()


def find_contradiction(context: OrderContext) -> str | None:
    """Return why the witnesses do not trust this ledger; `None` if they agree with it.

    Raises:
        StoreError: the store cannot be read.
    """
    identity = context.ledger.identity()
    own = context.store.read_note(_witness_name(context, identity.ledger_id))
    if own is not None:
        return contradict(identity, own, where="its witness in the video store")
    others = [
        contradict(identity, witness, where="this video store")
        for witness in list_witnesses(context)
    ]
    return next((reason for reason in others if reason is not None), None)


def contradict(identity: Identity, witness: Mapping[str, Any], *, where: str) -> str | None:
    """Return why a witness does not trust a ledger; `None` if it agrees with it.

    Args:
        identity: the ledger's, as it is now.
        witness: `ledger_id` and `sequence` of the ledger that it knows.
        where: the witness is.
    """
    known = witness.get("ledger_id")
    if known == identity.ledger_id:
        if int(witness.get("sequence", 0)) <= identity.sequence:
            return None
        return (
            f"The ledger is older than {where} says: it was restored from a backup. Nothing is "
            "bought until its missing orders are back. Run `wiro-dagster ledger rebuild`."
        )
    if known in identity.absorbed:
        return None
    return (
        f"Another ledger ({known}) has bought videos of this collection, as {where} says: this "
        "ledger is new, or the wrong one. Nothing is bought until its orders are taken over. Check "
        "WIRO_LEDGER_URL, or run `wiro-dagster ledger rebuild`."
    )


def list_witnesses(context: OrderContext) -> list[Mapping[str, Any]]:
    """Return the witnesses of all ledgers that bought for this collection into this store."""
    prefix = f"ledgers/{_digest(context.collection)}-"
    notes = (context.store.read_note(name) for name in context.store.list_notes(prefix))
    return [note for note in notes if note is not None]


def _witness_name(context: OrderContext, ledger_id: str) -> str:
    return f"ledgers/{_digest(context.collection)}-{ledger_id}"


def list_fresh_witnesses(context: OrderContext) -> list[str]:
    """A ledger that bought a moment ago may have tasks that are not listed yet."""
    seconds = context.listing_seconds()
    absorbed = context.ledger.identity().absorbed
    return [
        f"ledger {witness.get('ledger_id')} bought something in the last "
        f"{seconds:g} s, which Wiro may not list yet"
        for witness in list_witnesses(context)
        if float(witness.get("written_at", 0)) > context.now() - seconds
        and witness.get("ledger_id") not in absorbed
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
