"""Orders in every state, made by the ledger's own steps."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from wiro_dagster.ledger import Cost, Gate, Ledger, Order, OrderRequest
from wiro_dagster.ledger.budget import Books, BudgetLimits

ACCOUNT = "account"
PRICE = Decimal("0.28")
NO_LIMITS = BudgetLimits()
ALL_LIMITS = BudgetLimits(
    daily_usd=Decimal(1000), collection_usd=Decimal(1000), total_usd=Decimal(1000)
)
FILES = [{"key": "k", "size_bytes": 1, "sha256": "s", "uri": "u"}]
OUTPUTS = [{"url": "https://cdn1.wiro.ai/x/0.mp4"}]


def request(partition: str = "cat", fingerprint: str = "f1", **changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "collection": "video",
        "partition": partition,
        "account": ACCOUNT,
        "model_slug": "minimax/hailuo-2-3",
        "inputs": {"prompt": "a cat"},
        "fingerprint": fingerprint,
        "quote_usd": PRICE,
        "ceiling_usd": PRICE,
    }
    return OrderRequest(**{**values, **changes})


def place_proposed(ledger: Ledger, partition: str = "cat", **changes: Any) -> Order:
    """An order that waits for approval."""
    return ledger.place(request(partition, **changes), needs_approval=True).order


def claim_to_submit(ledger: Ledger, *, seconds: float = 600.0) -> Order:
    """The one order that is due, as its submitter has just claimed it."""
    gate = Gate(ledger, ACCOUNT)
    (order,) = gate.admit("video", NO_LIMITS, limit=1, lease_seconds=seconds).orders
    return order


def submitting(ledger: Ledger, partition: str = "cat", **changes: Any) -> Order:
    """An order that its submitter has just claimed."""
    ledger.place(request(partition, **changes))
    return claim_to_submit(ledger)


def lost(ledger: Ledger, partition: str = "cat", **changes: Any) -> Order:
    """An order whose answer was lost."""
    order = submitting(ledger, partition, **changes)
    now = ledger.clock()
    assert ledger.apply(order, "lose", lost_since=now, looks=0, due_at=now)
    return ledger.get(order.id)


def running(ledger: Ledger, partition: str = "cat", **changes: Any) -> Order:
    """An order whose task is known."""
    order = submitting(ledger, partition, **changes)
    assert ledger.note_task(order, f"task-{order.id}", due_at=ledger.clock()) == "noted"
    return ledger.get(order.id)


def finished(
    ledger: Ledger, partition: str = "cat", cost_usd: Decimal | None = PRICE, **changes: Any
) -> Order:
    """An order whose task has files, claimed to fetch them."""
    order = running(ledger, partition, **changes)
    now = ledger.clock()
    cost = Cost(cost_usd, has_ended=True)
    assert ledger.apply(
        order, "succeed", cost=cost, outputs=OUTPUTS, ended_at=now, error=None, due_at=now
    )
    return claim_finished(ledger)


def claim_finished(ledger: Ledger) -> Order:
    (order,) = ledger.claim("video", ["finished"], limit=1, lease_seconds=60)
    return order


def stored(ledger: Ledger, partition: str = "cat", **changes: Any) -> Order:
    """An order whose video is owned and not reported yet."""
    order = finished(ledger, partition, **changes)
    assert ledger.apply(order, "store", files=FILES, due_at=ledger.clock())
    return ledger.get(order.id)


def uncollected(ledger: Ledger, partition: str = "cat", **changes: Any) -> Order:
    """An order that is paid for, and whose files Wiro no longer has."""
    order = finished(ledger, partition, **changes)
    assert ledger.apply(order, "lose_files", error="gone", due_at=ledger.clock())
    return ledger.get(order.id)


def failed(
    ledger: Ledger, partition: str = "cat", cost_usd: Decimal | None = Decimal(0), **changes: Any
) -> Order:
    """An order whose task ended without a video."""
    order = running(ledger, partition, **changes)
    now = ledger.clock()
    cost = Cost(cost_usd, has_ended=True)
    assert ledger.apply(order, "fail", cost=cost, error="no", ended_at=now, due_at=now)
    return ledger.get(order.id)


def read_books(ledger: Ledger, collection: str = "video") -> Books:
    """What the account has spent and committed."""
    with ledger.reading() as connection:
        return Gate(ledger, ACCOUNT).books(connection, collection, ALL_LIMITS)
