"""What came of placing orders for several prompts."""

from __future__ import annotations

from dataclasses import dataclass, field

from wiro_dagster.ledger import Order, Placement
from wiro_dagster.orders.describe import describe_state


@dataclass
class Placed:
    """The result of placing orders for several prompts.

    Args:
        placements: by partition, the orders that represent the prompt: one for each take.
        failures: by partition, why a prompt could not be ordered.
        left: how many prompts there was no time for.
    """

    placements: dict[str, list[Placement]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    left: int = 0

    @property
    def orders(self) -> list[Order]:
        """The orders that represent the prompts."""
        return [placement.order for placement in self.every]

    @property
    def every(self) -> list[Placement]:
        """All placements, in the order of the prompts."""
        return [placement for takes in self.placements.values() for placement in takes]

    def refuse_proposed(self) -> None:
        """Count what waits for approval as failed, with the command that approves it."""
        for partition, takes in list(self.placements.items()):
            waiting = [take.order for take in takes if take.order.state == "proposed"]
            self.placements[partition] = [t for t in takes if t.order.state != "proposed"]
            if len(waiting) == len(takes):
                self.failures[partition] = "\n".join(map(describe_state, waiting))
                del self.placements[partition]

    def add(self, other: Placed) -> None:
        """Add the result for further prompts."""
        self.placements |= other.placements
        self.failures |= other.failures
        self.left += other.left
