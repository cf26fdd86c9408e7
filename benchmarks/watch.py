"""What following tasks costs: calls a video, seconds to see an end, CPU of a sweep.

Run it with `python -m benchmarks.watch`: about six minutes of real time. The emulator runs in a
process of its own, and its clock is the real one. Ticks come as the daemon gives them: one starts
five seconds after the last one started, or when that one is over. Videos are reported as the sensor
reports them, while the tick works on; writing an event is a pause of its usual length.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.support.webhook import serve_app
from tests.system.campaigns.workshop import COLLECTION, Workshop, place, tick
from wiro_dagster import build_webhook_app
from wiro_dagster.api.sockets import TaskSockets
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger.schema import orders, submissions
from wiro_dagster.orders import OrderDesk
from wiro_dagster.orders.end_hints import EndHints

TICK_SECONDS = 20.0
INTERVAL_SECONDS = 5.0
EVENT_SECONDS = 0.025
REPORTS_AT_ONCE = 20
IN_FLIGHT = (1_000, 10_000, 100_000)


@dataclass(frozen=True)
class Watched:
    """What came out of one batch.

    Args:
        orders: how many videos.
        calls: by endpoint, after the first order was placed.
        delays: seconds from each task's end to its detection, sorted.
        cpu_seconds: of this process, from the first order to the last video.
    """

    orders: int
    calls: Counter[str]
    delays: list[float]
    cpu_seconds: float

    @property
    def calls_a_video(self) -> float:
        """Calls of the API for each video; downloads are not among them."""
        return self.calls.total() / self.orders

    def __str__(self) -> str:
        middle = statistics.median(self.delays)
        late, longest = self.delays[int(0.95 * len(self.delays))], self.delays[-1]
        return (
            f"{self.orders:>6} videos: {self.calls_a_video:.2f} calls a video; ends are seen after "
            f"{middle:.1f} s (p50), {late:.1f} s (p95), {longest:.1f} s (longest); "
            f"{self.cpu_seconds / self.orders * 1000:.0f} ms of CPU a video; {dict(self.calls)}"
        )


@contextmanager
def open_desk(
    emulator: Emulator, folder: Path, *, sockets: bool = False, webhook: bool = False
) -> Iterator[OrderDesk]:
    """Open a desk with the product's own timings and patience.

    Args:
        emulator: which it works with.
        folder: has its ledger and its videos.
        sockets: listen to tasks between ticks.
        webhook: receive callbacks, in this process.
    """
    patience = {"connect_timeout_seconds": 10.0, "read_timeout_seconds": 20.0, "read_attempts": 4}
    ledger_url = f"sqlite:///{folder / 'ledger.db'}"
    with ExitStack() as opened:
        options: dict[str, Any] = {}
        if webhook:
            app = build_webhook_app(ledger_url)
            options["callback_base_url"] = opened.enter_context(serve_app(app))
        if sockets or webhook:
            listener = TaskSockets(emulator.websocket_url) if sockets else None
            options["hints"] = EndHints(listener)
        desk = Workshop(
            emulator,
            emulator.base_url,
            emulator.cdn_host,
            ledger_url,
            folder / "videos",
            client_options=patience,
            options=options,
        ).open_desk()
        opened.callback(desk.context.client.close)
        opened.callback(desk.context.ledger.close)
        opened.callback(desk.close)
        yield desk


def tick_as_sensor(desk: OrderDesk) -> None:
    """Take one tick of the sensor, with the pauses that the daemon makes."""

    def deliver() -> bool:
        told = desk.context.ledger.claim(
            COLLECTION,
            ("stored", "failed", "cancelled", "uncollected"),
            limit=REPORTS_AT_ONCE,
            lease_seconds=60,
            unwaited=True,
        )
        time.sleep(EVENT_SECONDS * len(told))
        desk.context.ledger.mark_reported([order.id for order in told])
        return bool(told)

    started = time.monotonic()
    desk.stay_awake(60.0)
    desk.tick(started + TICK_SECONDS, deliver=deliver)
    time.sleep(max(0.0, started + INTERVAL_SECONDS - time.monotonic()))


def watch_batch(emulator: Emulator, desk: OrderDesk, count: int, name: str) -> Watched:
    """Order a batch and follow it until every end has been seen."""
    started = time.process_time()
    after = max((line["number"] for line in emulator.journal()), default=0)
    for number in range(count):
        place(desk, f"{name} {number}")
    ledger = desk.context.ledger
    while True:
        tick_as_sensor(desk)
        batch = [order for order in ledger.list_orders() if order.partition.startswith(name)]
        if all(order.ended_at is not None for order in batch):
            break
    lines = emulator.journal(kind="call", after=after)
    calls = Counter(line["endpoint"].split("/minimax")[0] for line in lines)
    ends = {task["id"]: task["ends_at"] for task in emulator.tasks()}
    delays = sorted((order.ended_at or 0.0) - ends[str(order.task_id)] for order in batch)
    while any(order.due_at is not None for order in ledger.list_orders()):
        tick_as_sensor(desk)  # the next batch begins when this one is owned
    return Watched(count, calls, delays, time.process_time() - started)


def fill(desk: OrderDesk, count: int) -> None:
    """Copy the ledger's only order and submission, as tasks in flight that are not due."""
    later = time.time() + 1_000.0
    with desk.context.ledger.writing() as connection:
        for table in (orders, submissions):
            row = dict(connection.execute(sa.select(table)).mappings().one())
            del row["id"]
            if table is orders:
                row |= {"state": "running", "due_at": later, "lease": None, "files": []}
            names = [name for name in ("live_key", "marker", "task_id", "partition") if name in row]
            copies = [
                row | {name: f"{name}-{number}"[:32] for name in names} for number in range(count)
            ]
            connection.execute(sa.insert(table), copies)


def measure_sweep(count: int) -> tuple[float, float]:
    """Return the CPU seconds of a tick with nothing due, and of one whose sweep reads a page."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator.start(task_seconds=0, tiny_videos=True) as emulator,
        open_desk(emulator, Path(folder)) as desk,
    ):
        place(desk, "first")
        while desk.context.ledger.list_orders()[0].state != "stored":
            tick(desk)
        desk.context.ledger.mark_reported([1])
        fill(desk, count)
        emulator.change_settings(task_seconds=1_000.0)
        for number in range(20):
            place(desk, f"running {number}")
        tick(desk)
        idle = min(_cpu_of_tick(desk) for _ in range(10))
        busy = []
        for _ in range(5):
            with desk.context.ledger.writing() as connection:
                mine = orders.c.partition.startswith("running")
                connection.execute(sa.update(orders).where(mine).values(due_at=time.time()))
            time.sleep(desk.context.policy.timing.sweep_pause_seconds)
            busy.append(_cpu_of_tick(desk))
        return idle, min(busy)


def _cpu_of_tick(desk: OrderDesk) -> float:
    started = time.process_time()
    tick(desk)
    return time.process_time() - started


def main() -> None:
    """Measure batches, then sweeps over many tasks in flight."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, nargs="*", default=[100, 1_000, 1_000])
    parser.add_argument("--in-flight", type=int, nargs="*", default=IN_FLIGHT)
    parser.add_argument("--sockets", action="store_true", help="listen to tasks between ticks")
    parser.add_argument("--webhook", action="store_true", help="receive callbacks")
    parser.add_argument("--task-seconds", type=float, default=60.0)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator.start(
            task_seconds=options.task_seconds, tiny_videos=True, balance_usd=Decimal(1_000_000)
        ) as emulator,
        open_desk(emulator, Path(folder), sockets=options.sockets, webhook=options.webhook) as desk,
    ):
        for number, count in enumerate(options.orders):
            print(watch_batch(emulator, desk, count, f"batch {number}"), flush=True)
    for count in options.in_flight:
        idle, busy = measure_sweep(count)
        print(
            f"{count:>7} in flight: {idle * 1000:.1f} ms of CPU for a tick with nothing due, "
            f"{busy * 1000:.1f} ms for one that reads a page"
        )


if __name__ == "__main__":
    main()
