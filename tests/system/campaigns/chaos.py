"""Thousands of orders while everything goes wrong that the emulator can make go wrong.

    python -m tests.system.campaigns.chaos --orders 2000 --rate 0.05 --worlds 0.05 [--postgres]

Several processes share one ledger; each places most of the orders, so that they race, and ticks.
Every fault of the emulator happens at one rate, every world of a task at another, and the worlds of
the whole service take turns of two seconds. With `--freezes`, processes and emulator stand still
now and then, for longer than a lease lasts. Exit status 1 if anything is off.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from multiprocessing.synchronize import Event
from pathlib import Path

import sqlalchemy as sa

from tests.model.record import record
from tests.support.postgres import chosen_database
from tests.system.campaigns.departures import Departures
from tests.system.campaigns.figures import Figures, compare
from tests.system.campaigns.freezes import Freezes
from tests.system.campaigns.operator import Operator
from tests.system.campaigns.timing import CAMPAIGN_TIMING
from tests.system.campaigns.weather import Weather
from tests.system.campaigns.workshop import (
    PRICE,
    Workshop,
    committed_by_ledger,
    make_prompt,
    place,
    report_all,
    tick,
)
from wiro_dagster.emulator import Emulator, EmulatorControl
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.ledger.schema import orders
from wiro_dagster.orders import OrderDesk, OrderPolicy

TIMING = replace(
    CAMPAIGN_TIMING,
    look_maximum_seconds=4.0,
    lease_seconds=15.0,
    recover_pause_seconds=2.0,
    settle_missing_seconds=4.0,
    refused_pause_seconds=2.0,
    retry_maximum_seconds=4.0,
    cost_recheck_seconds=(1.0, 3.0, 62.0),
)
# The emulator lists a task five seconds late at the most.
POLICY = OrderPolicy(resubmit_after_seconds=20.0, run_deadline_seconds=20.0, timing=TIMING)
_EQUAL_EVERY = 10
"""Every so many prompts there is a second take, with equal parameters."""

_PATIENCE_SECONDS = 40.0
"""How long the product may decide by itself at the end, before its user does."""

_STILL_SECONDS = 20.0
"""So long without a step of any order, and what is left waits for its user."""

_LAST_LOOKS_SECONDS = 65.0
"""In the slowest world a cost changes a minute after the end."""

_PARTING_SECONDS = 300.0
"""How long a process may take to end its last tick, on a busy machine."""

_IDLE_SECONDS = 0.2
"""How long a process sleeps that has nothing to do: a tick costs more than it waits."""

_HASTE = 20.0
"""How much faster the client's pauses pass: after a 429 it would hold back for a second or more."""


@dataclass(frozen=True)
class Chaos:
    """One campaign.

    Args:
        orders: how many videos.
        rate: of each fault.
        worlds: the rate of each world of a task; 0 = a calm service.
        seed: of faults and races.
        ledger_url: an empty database; `None` for a SQLite file of its own.
        processes: how many share the ledger.
        limit_seconds: when to call it off.
        freezes: whether processes stand still now and then.
    """

    orders: int
    rate: float
    seed: int
    worlds: float = 0.0
    ledger_url: str | None = None
    processes: int = 3
    limit_seconds: float = 3600.0
    freezes: bool = False


@dataclass(frozen=True)
class ChaosFigures:
    """What came out, and the most that was ever spent and committed."""

    figures: Figures
    budget_usd: Decimal
    peak_usd: Decimal
    decisions: dict[str, int]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether nothing is off, the budget included.

        What Wiro charges beyond its quotes may pass it, and nothing else.
        """
        allowed_usd = self.budget_usd + self.figures.beyond_usd
        return self.figures.is_right and self.peak_usd <= allowed_usd

    def __str__(self) -> str:
        return (
            f"{self.figures}\n"
            f"{'budget':>30}: {self.budget_usd:f} USD\n"
            f"{'most spent and committed':>30}: {self.peak_usd:f} USD\n"
            f"{'decided by the user':>30}: {self.decisions or 'nothing'}\n"
            f"{'took':>30}: {self.seconds:.0f} s"
        )


def run_chaos(chaos: Chaos) -> ChaosFigures:
    """Runs one campaign to its end."""
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="wiro-chaos-") as name,
        Emulator.start(
            task_seconds=1.0, tiny_videos=True, seed=chaos.seed, balance_usd="100000"
        ) as emulator,
    ):
        folder = Path(name)
        url = chaos.ledger_url or f"sqlite:///{folder / 'ledger.db'}"
        ledger = Ledger(url)
        record(ledger)
        # One price an order, and some for lost POSTs: those stay committed for ever.
        budget = PRICE * (chaos.orders + chaos.orders // 5 + 2)
        emulator.set_every_fault_rate(chaos.rate)
        weather = Weather(emulator, chaos.worlds, chaos.seed)
        weather.begin()
        peak = _work(chaos, emulator, url, folder, budget, ledger, started, weather)
        emulator.clear_faults()
        operator = Operator(ledger, emulator)
        _calm_down(chaos, emulator, url, folder, operator, ledger, started)
        figures = compare(
            emulator,
            ledger,
            folder / "videos",
            prompts=chaos.orders + 1,
            departures=_departures(folder).read(),
        )
        ledger.close()
    seconds = time.monotonic() - started
    return ChaosFigures(figures, budget, max(peak), dict(operator.decisions), seconds)


def _departures(folder: Path) -> Departures:
    return Departures(folder / "departures")


def _calm_down(
    chaos: Chaos,
    emulator: Emulator,
    url: str,
    folder: Path,
    operator: Operator,
    ledger: Ledger,
    started: float,
) -> None:
    """Let all orders come to rest without faults and budget, at last by the user's decisions.

    One more order comes first: a younger task is what lets Wiro's list prove itself.
    """
    desk = Workshop(
        emulator,
        emulator.base_url,
        emulator.cdn_host,
        url,
        folder / "videos",
        policy=POLICY,
        client_options={"cdn_hosts": [emulator.cdn_host, emulator.second_cdn_host]},
        departures=_departures(folder),
    ).open_desk()
    operator.recover()
    place(desk, "one more")
    decide_at = time.monotonic() + _PATIENCE_SECONDS
    last_moves, moved_at = dict[str, int](), decide_at
    while not _is_at_rest(ledger) and time.monotonic() - started < chaos.limit_seconds:
        tick(desk, 5.0)
        report_all(ledger)
        time.sleep(_IDLE_SECONDS)
        if time.monotonic() > decide_at:
            operator.decide()
            operator.stop_standing(older_than_seconds=_PATIENCE_SECONDS)
            moves = _count_by_state(ledger)
            if moves != last_moves:
                last_moves, moved_at = moves, time.monotonic()
            if chaos.worlds and time.monotonic() - moved_at > _LAST_LOOKS_SECONDS:
                break  # a file that stays empty, a task that nobody can stop
    # Costs that were not stated are read again, and the audit reads what has changed since.
    until = time.monotonic() + (_LAST_LOOKS_SECONDS if chaos.worlds else 0.0)
    while time.monotonic() < until:
        tick(desk, 5.0)
        report_all(ledger)
        time.sleep(0.5)
    desk.close()


def _work(
    chaos: Chaos,
    emulator: Emulator,
    url: str,
    folder: Path,
    budget: Decimal,
    ledger: Ledger,
    started: float,
    weather: Weather,
) -> list[Decimal]:
    """Lets the processes work until all is at rest. What was spent and committed, over time."""
    context = multiprocessing.get_context("spawn")
    enough = context.Event()
    urls = (emulator.start_page_url, emulator.base_url, emulator.cdn_host, emulator.second_cdn_host)
    workers = [
        context.Process(target=_worker, args=(chaos, number, urls, url, folder, budget, enough))
        for number in range(chaos.processes)
    ]
    for worker in workers:
        worker.start()
    peak = [Decimal(0)]
    last_moves, moved_at = dict[str, int](), time.monotonic()
    stack = ExitStack()
    if chaos.freezes:
        pids = [emulator.process.pid, *(worker.pid for worker in workers if worker.pid)]
        stack.enter_context(Freezes(pids, chaos.seed).running())
    try:
        while time.monotonic() - started < chaos.limit_seconds:
            time.sleep(0.5)
            weather.change()
            peak.append(committed_by_ledger(ledger))
            moves = _count_by_state(ledger)
            if moves != last_moves:
                last_moves, moved_at = moves, time.monotonic()
            is_still = time.monotonic() - moved_at > _STILL_SECONDS
            if sum(moves.values()) >= chaos.orders and (is_still or _waits_for_user(ledger)):
                break
            if not all(worker.is_alive() for worker in workers):
                break
    finally:
        stack.close()
        enough.set()
        for worker in workers:
            worker.join(_PARTING_SECONDS)
            if worker.is_alive():
                worker.kill()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError(f"workers ended with {[worker.exitcode for worker in workers]}")
    return peak


def _worker(
    chaos: Chaos,
    number: int,
    urls: tuple[str, ...],
    ledger_url: str,
    folder: Path,
    budget: Decimal,
    enough: Event,
) -> None:
    """One process: places orders in an order of its own, and ticks."""
    start_page_url, base_url, *cdn_hosts = urls
    desk = Workshop(
        EmulatorControl(start_page_url),
        base_url,
        cdn_hosts[0],
        ledger_url,
        folder / "videos",
        policy=POLICY,
        limits=BudgetLimits(total_usd=budget),
        client_options={
            "cdn_hosts": cdn_hosts,
            "read_attempts": 4,
            # By the client's clock, as its deadlines are.
            "read_timeout_seconds": 2.0 * _HASTE,
            "submit_timeout_seconds": 60.0 * _HASTE,
            "clock": lambda: time.monotonic() * _HASTE,
            "sleep": lambda seconds: time.sleep(seconds / _HASTE),
        },
        departures=_departures(folder),
    ).open_desk()
    waiting = list(range(chaos.orders))
    random.Random(f"{chaos.seed} {number}").shuffle(waiting)
    while not enough.is_set():
        for index in (waiting.pop() for _ in range(min(50, len(waiting)))):
            _place(desk, index)
        report = tick(desk, 3.0)
        unexpected = [notice for notice in report.notices if "unexpectedly" in notice]
        if unexpected:
            raise RuntimeError(unexpected[0])
        report_all(desk.context.ledger)
        if not report.polled and not report.submitted:
            time.sleep(_IDLE_SECONDS)
    desk.close()


def _place(desk: OrderDesk, index: int) -> None:
    take = 2 if index % _EQUAL_EVERY == _EQUAL_EVERY - 1 else 1
    name = f"prompt {index - 1}" if take > 1 else f"prompt {index}"
    desk.place(f"partition {index}", make_prompt(name, take=take))


def _count_by_state(ledger: Ledger) -> dict[str, int]:
    query = sa.select(orders.c.state, sa.func.count()).group_by(orders.c.state)
    with ledger.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def _is_at_rest(ledger: Ledger) -> bool:
    with ledger.reading() as connection:
        busy = sa.select(orders.c.id).where(orders.c.due_at.is_not(None)).limit(1)
        return connection.execute(busy).first() is None


def _waits_for_user(ledger: Ledger) -> bool:
    """Whether all is at rest, but for lost answers and orders that the budget holds back."""
    moves = orders.c.due_at.is_not(None) & (orders.c.state != "unknown")
    busy = sa.select(orders.c.id).where(moves & orders.c.held_since.is_(None)).limit(1)
    with ledger.reading() as connection:
        return connection.execute(busy).first() is None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs campaigns from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=0.05, help="of each fault")
    parser.add_argument("--worlds", type=float, default=0.05, help="of each world of a task")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--freezes", action="store_true", help="let processes stand still")
    parser.add_argument("--postgres", action="store_true", help="the ledger; default: SQLite")
    options = parser.parse_args(arguments)
    is_right = True
    for seed in map(int, options.seeds.split(",")):
        with chosen_database(is_postgres=options.postgres) as url:
            found = run_chaos(
                Chaos(
                    options.orders,
                    options.rate,
                    seed,
                    options.worlds,
                    url,
                    options.processes,
                    freezes=options.freezes,
                )
            )
        database = "PostgreSQL" if options.postgres else "SQLite"
        print(
            f"chaos, seed {seed}, every fault at {options.rate:.0%}, "
            f"every world at {options.worlds:.0%}, {database}"
            f"{', processes that stand still' if options.freezes else ''}\n{found}\n",
            flush=True,
        )
        is_right &= found.is_right
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
