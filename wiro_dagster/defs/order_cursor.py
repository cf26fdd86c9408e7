"""What `video_order_sensor` keeps between its ticks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class OrderCursor:
    """What the last tick reported. Dagster writes it after the tick's events.

    Args:
        lease: of the orders whose end it reported; empty if there were none.
        account: the kind of the account's problem, as `account_open` reported it; "" for none,
            `None` if it was never reported.
        held: how many orders the budget held back, as `within_budget` reported it.
        held_told_at: when that was, in unix seconds.
        low: whether most of a budget was used, as `within_budget` reported it.
        standing: the first orders that stood still, as `orders_moving` reported them.
        books: what `books_match` reported, as one line.
        approvals: what `orders_approved` reported, as one line.
        judged_at: when the checks on the videos were last evaluated, in unix seconds.
        unjudged: how many videos were reported since.
        collected_at: until when all videos that were shown outside a tick are counted, in unix
            seconds; `None` before the first look.
    """

    lease: str = ""
    account: str | None = None
    held: int | None = None
    held_told_at: float = 0.0
    low: bool = False
    standing: tuple[int, ...] | None = None
    books: str | None = None
    approvals: str | None = None
    judged_at: float = 0.0
    unjudged: int = 0
    collected_at: float | None = None

    @classmethod
    def from_text(cls, text: str | None) -> OrderCursor:
        """Read a cursor; an unreadable one means that nothing was reported."""
        try:
            found = cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()
        standing = None if found.standing is None else tuple(found.standing)
        return replace(found, standing=standing)

    def to_text(self) -> str:
        """Return the cursor as text, which stays short with any number of orders."""
        return json.dumps(asdict(self))
