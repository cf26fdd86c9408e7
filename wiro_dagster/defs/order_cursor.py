"""What `video_order_sensor` keeps between its ticks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class OrderCursor:
    """What the last tick told Dagster. It is written after the tick's events are.

    Args:
        lease: of the orders whose end it told; empty where there were none.
        account: the account's trouble, as `account_open` told it: its kind, or "" for none. `None`
            where it was never told.
        held: how many orders the budget held back, as `within_budget` told it.
        held_told_at: unix seconds, when that was.
        standing: the first orders that stood still, as `orders_moving` reported them.
        books: what `books_match` reported, as one line.
    """

    lease: str = ""
    account: str | None = None
    held: int | None = None
    held_told_at: float = 0.0
    standing: tuple[int, ...] | None = None
    books: str | None = None

    @classmethod
    def from_text(cls, text: str | None) -> OrderCursor:
        """Reads a cursor; an unreadable one means that nothing was told."""
        try:
            found = cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()
        standing = None if found.standing is None else tuple(found.standing)
        return replace(found, standing=standing)

    def to_text(self) -> str:
        """A cursor, short however many orders there are."""
        return json.dumps(asdict(self))
