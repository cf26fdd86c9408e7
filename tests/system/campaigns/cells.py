"""Cells of chaos, as the public benchmark of PostgreSQL job queues runs them, and SQLite's own.

    python -m tests.system.campaigns.cells --database postgresql --cell all --orders 200

In each cell, workers share a ledger, and something happens to them or to the database while orders
are under way. The benchmark counts as recovered when jobs are as fast again as before; here, when
the last order that was under way then is delivered. Exit status 1 if anything is off, or if a
recovery takes longer than 30 seconds. Linux only.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.model.record import Event, read_events, record
from tests.support.postgres import RestartableServer, postgres_database
from tests.system.campaigns.cell_faults import CELLS, Scene
from tests.system.campaigns.cell_workers import Place, Workers
from tests.system.campaigns.figures import Figures, compare
from tests.system.campaigns.operator import Operator
from tests.system.campaigns.workshop import place
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Ledger
from wiro_dagster.orders import OrderDesk

LIMIT_SECONDS = 30.0
_MOST_UNDER_WAY = 40
_FIRST_SHARE = 0.7
"""Of all orders: those that come before the fault is over."""

_PATIENCE_SECONDS = 60.0
"""When the user decides about what is left: no cell should need it."""

_END_SECONDS = 180.0
_LOOK_SECONDS = 0.2
_ENDED = ("delivered", "failed", "cancelled", "uncollected")


@dataclass(frozen=True)
class Row:
    """One cell's line of the table.

    Args:
        cell: its name.
        figures: what came out.
        caught: how many orders were under way when it was over.
        next_seconds: how long it was from then to the next video; `None` = for ever.
        recovery_seconds: how long it was until all that were caught were delivered.
        decisions: what the user had to decide.
        left: orders without a video, and what they say.
        seconds: how long all of it took.
    """

    cell: str
    figures: Figures
    caught: int
    next_seconds: float | None
    recovery_seconds: float | None
    decisions: int
    left: tuple[str, ...]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether nothing is off, and nobody had to help."""
        return (
            self.figures.is_right
            and self.figures.owned == self.figures.prompts
            and self.decisions == 0
            and self.recovery_seconds is not None
            and self.recovery_seconds <= LIMIT_SECONDS
        )

    def __str__(self) -> str:
        found, verdict = self.figures, "yes" if self.is_right else "**no**"
        return (
            f"| {self.cell} | {found.prompts} | {found.tasks} | {found.duplicates} "
            f"| {len(found.lost)} | {found.spent_usd:f} / {found.billed_usd:f} | {self.caught} "
            f"| {_seconds(self.next_seconds)} | {_seconds(self.recovery_seconds)} "
            f"| {found.replayed} / {len(found.forbidden)} | {verdict} |"
        )


HEADER = (
    "| cell | orders | tasks billed | duplicates | lost | books / Wiro's, USD | caught "
    "| next video, s | all recovered, s | steps replayed / forbidden | right |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def run_cell(
    cell: str,
    url: str,
    folder: Path,
    *,
    orders: int,
    seconds: float = 10.0,
    workers: int = 3,
    restart: Callable[[float], None] | None = None,
) -> Row:
    """Run one cell to its end.

    Args:
        cell: its name.
        url: of an empty database.
        folder: an empty one, for the videos.
        orders: how many.
        seconds: how long the fault lasts.
        workers: how many share the ledger.
        restart: restarts the server.
    """
    began = time.monotonic()
    fault = CELLS["sqlite" if url.startswith("sqlite") else "postgresql"][cell]
    names = tuple(f"film {number}" for number in range(orders))
    with Emulator.start(task_seconds=1.0, tiny_videos=True, balance_usd="100000") as emulator:
        where = Place(
            emulator.start_page_url,
            emulator.base_url,
            emulator.cdn_host,
            url,
            folder / "videos",
            names,
        )
        ledger = Ledger(url)
        record(ledger)
        scene = Scene(url, Workers(where, workers), seconds, restart)
        scene.ledgers.append(ledger)
        with _working(scene), _buying(scene):
            _wait(scene, lambda: _count(ledger, "delivered") >= min(orders // 5, 20) or None)
            fault(scene)
            over_at = scene.over_at = time.time()
            if scene.replaced:
                ledger = Ledger(url)
            operator = Operator(ledger, emulator)
            _finish(scene, ledger, operator, orders)
        figures = compare(
            emulator,
            ledger,
            where.videos,
            prompts=orders,
            replaced=(over_at, scene.replaced) if scene.replaced else None,
        )
        caught, next_seconds, recovery = _measure(read_events(ledger), over_at)
        left = tuple(
            f"{order.name} is {order.state}: {order.hold or order.error}"
            for order in ledger.list_orders()
            if order.state != "delivered"
        )
        ledger.close()
    decisions = operator.decisions.total()
    took = time.monotonic() - began
    return Row(cell, figures, caught, next_seconds, recovery, decisions, left, took)


@contextmanager
def _working(scene: Scene) -> Iterator[None]:
    scene.workers.start()
    try:
        yield
    finally:
        scene.workers.kill_all()


@contextmanager
def _buying(scene: Scene) -> Iterator[None]:
    """Order all videos, a few at a time, from a thread; what is missing is ordered again."""
    enough = threading.Event()
    thread = threading.Thread(target=_buy, args=(scene, enough), daemon=True)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join(90)


def _buy(scene: Scene, enough: threading.Event) -> None:
    desk = None
    while not enough.wait(_LOOK_SECONDS):
        try:
            with scene.quiet:
                if desk is None:
                    desk = scene.workers.place.open_desk()
                    scene.ledgers.append(desk.ledger)
                _place_missing(desk, _list_wanted(scene))
        except LedgerError:  # it is away, or was replaced
            desk = None


def _list_wanted(scene: Scene) -> Sequence[str]:
    """Return what is wanted by now: the rest comes bit by bit once the fault is over.

    A younger task is what lets Wiro's list prove that a lost POST made none.
    """
    names = scene.workers.place.names
    share = _FIRST_SHARE
    if scene.over_at is not None:
        share += (1 - share) * (time.time() - scene.over_at) / (1.5 * scene.seconds)
    return names[: math.ceil(share * len(names))]


def _place_missing(desk: OrderDesk, names: Sequence[str]) -> None:
    known = {order.partition: order for order in desk.ledger.list_orders()}
    under_way = sum(order.state not in _ENDED for order in known.values())
    missing = [name for name in names if name not in known]
    for name in missing[: max(0, _MOST_UNDER_WAY - under_way)]:
        place(desk, name)


def _wait(scene: Scene, is_done: Callable[[], bool | None]) -> None:
    """Wait for something that the ledger shows.

    Raises:
        AssertionError: it did not come in time, or a worker ended by itself.
    """
    until = time.monotonic() + _END_SECONDS
    while time.monotonic() < until:
        with suppress(LedgerError):
            if is_done():
                return
        ended = scene.workers.find_ended()
        assert not ended, f"workers ended by themselves with {ended}"
        time.sleep(_LOOK_SECONDS)


def _finish(scene: Scene, ledger: Ledger, operator: Operator, orders: int) -> None:
    """Wait until all are delivered; after a while, the user decides what is left."""
    decide_at = time.monotonic() + _PATIENCE_SECONDS

    def is_done() -> bool:
        if time.monotonic() > decide_at:
            operator.decide()
        return _count(ledger, *_ENDED) >= orders

    _wait(scene, is_done)


def _count(ledger: Ledger, *states: str) -> int:
    return sum(order.state in states for order in ledger.list_orders())


def _measure(events: Sequence[Event], over_at: float) -> tuple[int, float | None, float | None]:
    """Return how many orders were caught, and when the next and the last of them were delivered."""
    sent: set[int] = set()
    ended_at: dict[int, float] = {}
    for event in events:
        if event.state == "submitting" and event.at <= over_at:
            sent.add(event.order_id)
        if event.state in _ENDED:
            ended_at[event.order_id] = event.at
    later = [at for at in ended_at.values() if at > over_at]
    caught = {order for order in sent if ended_at.get(order, over_at + 1) > over_at}
    if not caught <= ended_at.keys():
        return len(caught), min(later, default=over_at) - over_at, None
    last = max((ended_at[order] for order in caught), default=over_at)
    return len(caught), min(later) - over_at if later else None, last - over_at


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"


@contextmanager
def _database(name: str, server: RestartableServer | None, folder: Path) -> Iterator[str]:
    if server is None:
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    with postgres_database(server.uri) as url:
        yield url


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=CELLS, default="postgresql")
    parser.add_argument("--cell", default="all", help="its name, or all")
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each fault lasts")
    options = parser.parse_args(arguments)
    cells = CELLS[options.database]
    names = list(cells) if options.cell == "all" else [options.cell]
    is_right = True
    print(f"{options.database}\n\n{HEADER}", flush=True)
    with _server(options.database) as server:
        for name in names:
            row = _run(name, server, options.orders, options.seconds)
            print(row, flush=True)
            if not row.is_right:
                print(
                    row.figures, *row.left, f"decided: {row.decisions}", sep="\n", file=sys.stderr
                )
            is_right &= row.is_right
    return 0 if is_right else 1


@contextmanager
def _server(database: str) -> Iterator[RestartableServer | None]:
    if database == "sqlite":
        yield None
        return
    with RestartableServer.start() as server:
        yield server


def _run(name: str, server: RestartableServer | None, orders: int, seconds: float) -> Row:
    with tempfile.TemporaryDirectory(prefix="wiro-cell-", ignore_cleanup_errors=True) as place_of:
        folder = Path(place_of)
        with _database(name, server, folder) as url:
            restart = None if server is None else server.restart
            return run_cell(name, url, folder, orders=orders, seconds=seconds, restart=restart)


if __name__ == "__main__":
    sys.exit(main())
