"""What a campaign found, compared with the emulator's own books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.system.campaigns.workshop import fetch_sha256, spent_by_ledger, stored_sha256
from wiro_dagster.emulator import EmulatorControl
from wiro_dagster.ledger import FREE_TO_REPEAT, Order


@dataclass(frozen=True)
class Figures:
    """The outcome of one campaign.

    Args:
        prompts: how many videos were ordered.
        reordered: how often one that had failed or was cancelled was ordered again.
        tasks: how many runs the emulator accepted; each may be billed.
        duplicates: accepted runs beyond one for each order that was sent.
        lost: tasks that no order knows, videos that Wiro made and we do not own, and orders that
            never came to rest.
        owned: orders whose video is stored and reported.
        ended_otherwise: orders that ended without a video, by state.
        spent_usd: according to the ledger.
        billed_usd: according to the emulator.
        files_compared: stored files whose sha256 was compared with the emulator's file.
        files_different: those of them that differ.
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

    @property
    def is_right(self) -> bool:
        """Whether nothing was paid twice or lost, and the books and bytes agree."""
        return (
            self.duplicates == 0
            and self.lost == 0
            and self.spent_usd == self.billed_usd
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
        )
        return "\n".join(f"{name:>30}: {value}" for name, value in rows)


def compare(
    emulator: EmulatorControl, orders: Sequence[Order], folder: Path, *, prompts: int
) -> Figures:
    """Holds our books and files against the emulator's.

    Args:
        emulator: without faults by now.
        orders: all of the ledger.
        folder: of the store.
        prompts: how many videos were ordered.
    """
    tasks = {task["id"]: task for task in emulator.tasks()}
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
        spent_usd=spent_by_ledger(list(orders)),
        billed_usd=emulator.spent_usd(),
        files_compared=compared,
        files_different=different,
    )


def _count_duplicates(tasks: dict[str, Any], orders: Sequence[Order]) -> int:
    """Runs beyond one for each order that somebody asked for, counted by prompt.

    By prompt, as equal orders may have any of their tasks.
    """
    asked = Counter(order.prompt for order in _list_asked(orders))
    made = Counter(str(task["parameters"].get("prompt", "")) for task in tasks.values())
    return sum(max(0, count - asked[prompt]) for prompt, count in made.items())


def _list_asked(orders: Sequence[Order]) -> list[Order]:
    """Orders that were placed: the first of each video, and those after one that ended without it.

    Any other order of the same video stands for a task that nobody wanted.
    """
    asked: list[Order] = []
    latest: dict[tuple[str, str], Order] = {}
    for order in sorted(orders, key=lambda order: order.id):
        video = (order.partition, order.fingerprint)
        before = latest.get(video)
        if before is None or before.state in FREE_TO_REPEAT:
            asked.append(order)
            latest[video] = order
    return asked


def _is_lost(task: dict[str, Any], order: Order | None) -> bool:
    if order is None:
        return True
    has_video = task["status"] == "task_postprocess_end" and task["outputs"]
    return bool(has_video) and order.state != "delivered"
