"""What a campaign found, compared with the emulator's own books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.error import HTTPError

from tests.model.record import Event, read_events
from tests.model.replay import replay_all
from tests.model.requests import Request, read_requests
from tests.system.campaigns.own_tasks import Task, is_hidden, list_own_tasks
from tests.system.campaigns.told import (
    charged_beyond_quotes,
    list_costs_told,
    list_told,
)
from tests.system.campaigns.workshop import (
    PRICE,
    fetch_sha256,
    list_book_errors,
    spent_by_ledger,
    stored_sha256,
)
from wiro_dagster.emulator import EmulatorControl
from wiro_dagster.ledger import Ledger, Order

NOWHERE = "https://wiro-dagster.invalid"
"""What carries a run's marker if no receiver is set."""


@dataclass(frozen=True)
class Figures:
    """The outcome of one campaign.

    Args:
        prompts: how many videos were ordered.
        reordered: how often one that had failed or was cancelled was ordered again.
        tasks: how many runs the emulator accepted; each may be billed.
        twins: further tasks that a gateway made of a POST, or of a run whose task the list hides
            for ever.
        duplicates: accepted runs beyond one for each order that was sent.
        lost: tasks that no order has, videos that were paid for and that we do not own, and orders
            that never came to rest. A task that the user is told of is not lost.
        told: tasks that were paid for and brought no video, and that the user is told of.
        owned: orders whose video is stored and reported.
        ended_otherwise: orders that ended without a video, by state.
        spent_usd: according to the ledger.
        billed_usd: according to the emulator.
        files_compared: stored files whose sha256 was compared with the emulator's file.
        files_told: those of them that differ, and of which a check says what is wrong: the same
            wrong bytes came four times.
        files_different: those that differ untold, and what they had to come through.
        beyond_usd: what Wiro charged that no quote stated.
        costs_told: tasks whose cost differs from the books, and that the user is told of.
        book_errors: tasks that the books do not hold, or hold at another cost, untold.
        replayed: changes of orders and requests that were held against the model.
        forbidden: those that neither the transition table nor the model explains.
    """

    prompts: int
    reordered: int
    tasks: int
    twins: int
    duplicates: int
    lost: tuple[str, ...]
    told: int
    owned: int
    ended_otherwise: dict[str, int]
    spent_usd: Decimal
    billed_usd: Decimal
    files_compared: int
    files_told: int
    files_different: tuple[str, ...]
    beyond_usd: Decimal
    costs_told: int
    book_errors: tuple[str, ...]
    replayed: int
    forbidden: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether nothing was paid twice or lost, and the books and bytes agree."""
        return (
            self.duplicates == 0
            and not self.lost
            and (self.spent_usd == self.billed_usd or self.costs_told > 0)
            and not self.book_errors
            and not self.forbidden
            and not self.files_different
            and self.owned + sum(self.ended_otherwise.values()) >= self.prompts
        )

    def __str__(self) -> str:
        rows = (
            ("prompts ordered", self.prompts),
            ("ordered again after a failure", self.reordered),
            ("tasks billed by the emulator", self.tasks),
            ("of them made by gateways", self.twins),
            ("duplicates", self.duplicates),
            ("lost", "; ".join(self.lost[:5]) or "none"),
            ("paid, without a video, told", self.told),
            ("videos owned", self.owned),
            ("ended without a video", self.ended_otherwise or "none"),
            ("spent, by our ledger", f"{self.spent_usd:f} USD"),
            ("spent, by the emulator", f"{self.billed_usd:f} USD"),
            ("charged beyond quotes", f"{self.beyond_usd:f} USD"),
            ("other costs, told", self.costs_told),
            ("files compared by sha256", self.files_compared),
            ("files that differ, told", self.files_told),
            ("files that differ", "; ".join(self.files_different[:5]) or "none"),
            ("errors in the books", "; ".join(self.book_errors[:5]) or "none"),
            ("steps replayed in the model", self.replayed),
            ("steps that it forbids", "; ".join(self.forbidden[:5]) or "none"),
        )
        return "\n".join(f"{name:>30}: {value}" for name, value in rows)


def compare(
    emulator: EmulatorControl,
    ledger: Ledger,
    folder: Path,
    *,
    prompts: int,
    replaced: tuple[float, Sequence[Event]] | None = None,
    departures: Mapping[str, float] | None = None,
) -> Figures:
    """Hold our books and files against the emulator's.

    Args:
        emulator: without faults by now.
        ledger: of the campaign, which recorded what it did.
        folder: of the store.
        prompts: how many videos were ordered.
        replaced: when the ledger was put back from a backup, and what it had recorded until then.
        departures: when Runs left, by the digest of their callback URL.
    """
    orders = ledger.list_orders()
    listed = list_own_tasks(emulator)
    tasks = {task["id"]: task for task in listed}
    by_task = {order.task_id: order for order in orders if order.task_id}
    owned = [order for order in orders if order.state == "delivered"]
    others = Counter(str(order.state) for order in orders if order.state != "delivered")
    compared, files_told, different = _compare_files(tasks, owned, folder)
    lost = {task_id for task_id, task in tasks.items() if _is_lost(task, by_task.get(task_id))}
    told, costs_told = list_told(ledger, listed), list_costs_told(ledger, listed)
    waiting = {str(order.task_id) for order in orders if order.due_at and not is_silent(order)}
    errors = list_book_errors(ledger, emulator)
    events, requests = read_events(ledger), read_requests(emulator, departures)
    return Figures(
        prompts=prompts,
        reordered=len(_list_asked(orders)) - prompts,
        tasks=len(tasks),
        twins=sum(task["origin"] == "twin" for task in listed),
        duplicates=_count_duplicates(listed, orders),
        lost=(
            *(_describe_task(tasks[task_id]) for task_id in sorted(lost - told - waiting)),
            *(f"order {order.id}, {order.state}" for order in orders if is_silent(order)),
        ),
        told=len(lost & (told | waiting)),
        owned=len(owned),
        ended_otherwise=dict(others),
        spent_usd=spent_by_ledger(ledger),
        billed_usd=sum((Decimal(task["cost_usd"]) for task in listed), Decimal(0)),
        files_compared=compared,
        files_told=files_told,
        files_different=different,
        beyond_usd=charged_beyond_quotes(listed, PRICE),
        costs_told=len(errors.keys() & costs_told),
        book_errors=tuple(
            f"task {task_id}: {error}"
            for task_id, error in errors.items()
            if task_id not in costs_told
        ),
        replayed=len(events) + len(requests),
        forbidden=_find_forbidden(events, requests, replaced),
    )


def _find_forbidden(
    events: Sequence[Event],
    requests: Sequence[Request],
    replaced: tuple[float, Sequence[Event]] | None,
) -> tuple[str, ...]:
    """Return what the model forbids; of a ledger that was replaced, in either of its lives."""
    if replaced is None:
        return tuple(replay_all(events, requests, callback_base_url=NOWHERE))
    at, before = replaced
    early = [request for request in requests if request.at < at]
    late = [request for request in requests if request.at >= at]
    return (
        *replay_all(before, early, callback_base_url=NOWHERE),
        *replay_all(events, late, callback_base_url=NOWHERE),
    )


def _compare_files(
    tasks: dict[str, Task], owned: Sequence[Order], folder: Path
) -> tuple[int, int, tuple[str, ...]]:
    """Compare stored files with the emulator's.

    Returns:
        How many, how many of them differ and say what is wrong, and which others differ.
    """
    compared, told, different = 0, 0, []
    for order in owned:
        unknown = {"id": order.task_id, "origin": "unknown", "outputs": [], "script": {}}
        task = tasks.get(str(order.task_id), unknown)
        ours = stored_sha256(folder, order)
        try:
            theirs = [fetch_sha256(output["url"]) for output in task["outputs"]]
        except HTTPError:
            continue  # the emulator keeps it no longer
        compared += len(ours)
        if ours != theirs and any(file.get("problem") for file in order.files):
            told += 1
        elif ours != theirs:
            sizes = [file.get("size_bytes") for file in order.files]
            meant = [output["size_bytes"] for output in task["outputs"]]
            different.append(
                f"{_describe_task(task)}: {sizes} bytes instead of {meant}, {len(ours)} files of "
                f"{len(theirs)}, order {order.id}"
            )
    return compared, told, tuple(different)


def _describe_task(task: Task) -> str:
    """Say which task it is, and what it had to come through."""
    script = {name: value for name, value in task["script"].items() if value}
    return f"task {task['id']}, {task['origin']}, {script}"


def _count_duplicates(tasks: Sequence[Task], orders: Sequence[Order]) -> int:
    """Count runs beyond one for each order that somebody asked for, by prompt.

    By prompt, as equal orders may have any of their tasks. Twins are no runs of ours. If the list
    hides a task for ever, its order may be sent once more, and both are on the books.
    """
    asked = Counter(order.prompt for order in _list_asked(orders))
    made: Counter[str] = Counter()
    hidden: Counter[str] = Counter()
    for task in tasks:
        prompt = str(task["parameters"].get("prompt", ""))
        if task["origin"] == "run":
            made[prompt] += 1
            hidden[prompt] += is_hidden(task)
    return sum(max(0, count - asked[prompt] - hidden[prompt]) for prompt, count in made.items())


def _list_asked(orders: Sequence[Order]) -> list[Order]:
    """Return the orders that somebody placed, without those that only hold a surplus task.

    A surplus task's order is superseded from the start, by the older order that it was made for.
    """
    return [
        order for order in orders if order.superseded_by is None or order.superseded_by > order.id
    ]


def is_silent(order: Order) -> bool:
    """Whether an order is not at rest, and says no reason that `orders_moving` could give."""
    return order.due_at is not None and not (order.hold or order.error or order.stop_reason)


def _is_lost(task: Task, order: Order | None) -> bool:
    if order is None:
        return True
    is_paid = task["has_ended"] and Decimal(task["cost_usd"]) > 0
    return bool(is_paid) and not order.is_owned
