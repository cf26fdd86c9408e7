"""What a campaign found, compared with the emulator's own books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.system.campaigns.workshop import (
    fetch_sha256,
    list_book_errors,
    spent_by_ledger,
    stored_sha256,
)
from wiro_dagster.emulator import EmulatorControl
from wiro_dagster.ledger import Ledger, Order


@dataclass(frozen=True)
class Figures:
    """The outcome of one campaign.

    Args:
        prompts: how many videos were ordered.
        reordered: how often one that had failed or was cancelled was ordered again.
        tasks: how many runs the emulator accepted; each may be billed.
        duplicates: accepted runs beyond one for each order that was sent.
        lost: tasks that no order has, videos that were paid for and that we do not own, and orders
            that never came to rest.
        owned: orders whose video is stored and reported.
        ended_otherwise: orders that ended without a video, by state.
        spent_usd: according to the ledger.
        billed_usd: according to the emulator.
        files_compared: stored files whose sha256 was compared with the emulator's file.
        files_different: those of them that differ.
        book_errors: tasks that the books do not hold, or hold at another cost.
    """

    prompts: int
    reordered: int
    tasks: int
    duplicates: int
    lost: int
    owned: int
    ended_otherwise: dict[str, int]
    spent_usd: Decimal
    billed_usd: Decimal
    files_compared: int
    files_different: int
    book_errors: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether nothing was paid twice or lost, and the books and bytes agree."""
        return (
            self.duplicates == 0
            and self.lost == 0
            and self.spent_usd == self.billed_usd
            and not self.book_errors
            and self.files_different == 0
            and self.owned + sum(self.ended_otherwise.values()) >= self.prompts
        )

    def __str__(self) -> str:
        rows = (
            ("prompts ordered", self.prompts),
            ("ordered again after a failure", self.reordered),
            ("tasks billed by the emulator", self.tasks),
            ("duplicates", self.duplicates),
            ("lost", self.lost),
            ("videos owned", self.owned),
            ("ended without a video", self.ended_otherwise or "none"),
            ("spent, by our ledger", f"{self.spent_usd:f} USD"),
            ("spent, by the emulator", f"{self.billed_usd:f} USD"),
            ("files compared by sha256", self.files_compared),
            ("files that differ", self.files_different),
            ("errors in the books", "; ".join(self.book_errors[:5]) or "none"),
        )
        return "\n".join(f"{name:>30}: {value}" for name, value in rows)


def compare(emulator: EmulatorControl, ledger: Ledger, folder: Path, *, prompts: int) -> Figures:
    """Hold our books and files against the emulator's.

    Args:
        emulator: without faults by now.
        ledger: of the campaign.
        folder: of the store.
        prompts: how many videos were ordered.
    """
    orders = ledger.list_orders()
    tasks = {task["id"]: task for task in emulator.tasks() if task["origin"] != "foreign"}
    by_task = {order.task_id: order for order in orders if order.task_id}
    owned = [order for order in orders if order.state == "delivered"]
    others = Counter(str(order.state) for order in orders if order.state != "delivered")
    compared = different = 0
    for order in owned:
        urls = [output["url"] for output in tasks.get(str(order.task_id), {}).get("outputs", [])]
        ours, theirs = stored_sha256(folder, order), [fetch_sha256(url) for url in urls]
        compared += len(ours)
        different += sum(a != b for a, b in zip(ours, theirs, strict=False))
        different += abs(len(ours) - len(theirs))
    restless = sum(order.due_at is not None for order in orders)
    return Figures(
        prompts=prompts,
        reordered=len(_list_asked(orders)) - prompts,
        tasks=len(tasks),
        duplicates=_count_duplicates(tasks, orders),
        lost=sum(_is_lost(task, by_task.get(task_id)) for task_id, task in tasks.items())
        + restless,
        owned=len(owned),
        ended_otherwise=dict(others),
        spent_usd=spent_by_ledger(ledger),
        billed_usd=emulator.spent_usd(),
        files_compared=compared,
        files_different=different,
        book_errors=tuple(list_book_errors(ledger, emulator)),
    )


def _count_duplicates(tasks: dict[str, Any], orders: Sequence[Order]) -> int:
    """Runs beyond one for each order that somebody asked for, counted by prompt.

    By prompt, as equal orders may have any of their tasks.
    """
    asked = Counter(order.prompt for order in _list_asked(orders))
    made = Counter(str(task["parameters"].get("prompt", "")) for task in tasks.values())
    return sum(max(0, count - asked[prompt]) for prompt, count in made.items())


def _list_asked(orders: Sequence[Order]) -> list[Order]:
    """Return the orders that somebody placed, without those that only hold a surplus task.

    A surplus task's order is superseded from the start, by the older order that it was made for.
    """
    return [
        order for order in orders if order.superseded_by is None or order.superseded_by > order.id
    ]


def _is_lost(task: dict[str, Any], order: Order | None) -> bool:
    if order is None:
        return True
    is_paid = task["has_ended"] and Decimal(task["cost_usd"]) > 0
    return bool(is_paid and task["outputs"]) and order.state != "delivered"
