"""What a tick costs while many tasks run, or after many have run, as ratios in one run.

Run it with `python -m benchmarks.idle_tick --orders 20000`. No order is due: this is what a sensor
pays every few seconds for what it waits for, and for its history.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from tests.system.campaigns.workshop import COLLECTION, Workshop, place, report_all, tick
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger.schema import orders
from wiro_dagster.orders import OrderDesk

_LATER = 4_000_000_000.0
_ROUNDS = 50


def fill(desk: OrderDesk, count: int, *, state: str, due_at: float | None) -> None:
    """Copies the ledger's only order, as orders of that state."""
    with desk.context.ledger.writing() as connection:
        row = dict(connection.execute(sa.select(orders)).mappings().one())
        del row["id"]
        row |= {"state": state, "due_at": due_at, "lease": None}
        names = ("live_key", "marker", "task_id", "partition")
        rows = [row | {name: f"{name}-{number}"[:32] for name in names} for number in range(count)]
        connection.execute(sa.insert(orders), rows)


def measure(desk: OrderDesk) -> float:
    """The least seconds of a tick, with all that the sensor asks the ledger."""
    ledger = desk.context.ledger
    found = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        tick(desk)
        report_all(ledger)
        ledger.claim_progress(COLLECTION, limit=10, pause_seconds=60)
        ledger.count_held(COLLECTION)
        ledger.count_unsettled(COLLECTION)
        found.append(time.perf_counter() - started)
    return min(found)


def main() -> None:
    """Measures ticks on an empty ledger, with tasks in flight, and with a history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20_000)
    count = parser.parse_args().orders
    cases = {
        "hardly any order": (1, "delivered", None),
        f"{count} tasks in flight": (count, "running", _LATER),
        f"{count} videos delivered": (count, "delivered", None),
    }
    least: dict[str, float] = {}
    with Emulator.start(task_seconds=0, tiny_videos=True) as emulator:
        for number, (name, (size, state, due_at)) in enumerate(cases.items()):
            with tempfile.TemporaryDirectory() as folder:
                url = f"sqlite:///{folder}/ledger.db"
                workshop = Workshop(
                    emulator, emulator.base_url, emulator.cdn_host, url, Path(folder) / "videos"
                )
                desk = workshop.open_desk()
                place(desk, f"film {number}")
                fill(desk, size, state=state, due_at=due_at)
                while desk.context.ledger.list_orders()[0].state != "delivered":
                    tick(desk)
                    report_all(desk.context.ledger)
                least[name] = measure(desk)
                desk.close()
                desk.context.ledger.close()
    base = next(iter(least.values()))
    for name, seconds in least.items():
        print(f"{name:>26}: {seconds * 1000:.1f} ms a tick, {seconds / base:.2f} of the first")


if __name__ == "__main__":
    main()
