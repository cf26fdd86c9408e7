"""What one tick of the order desk did."""

from __future__ import annotations

from dataclasses import dataclass, field

from wiro_dagster.ledger import Order


@dataclass
class TickReport:
    """What one tick did.

    Args:
        submitted: orders sent to Wiro.
        polled: tasks looked at.
        collected: orders whose files were fetched, or were being fetched when the tick ended.
        held: orders that the budget held back.
        closed_reason: why the account submits nothing now, `None` if it does.
        takes: owned orders that are further takes of what represents their partition.
        notices: one line each, for the tick's log.
    """

    submitted: int = 0
    polled: int = 0
    collected: int = 0
    held: int = 0
    closed_reason: str | None = None
    takes: list[Order] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
