"""Orders in every world that no document of Wiro's excludes: one row each, all of them at last.

    python -m tests.system.campaigns.worlds --orders 300 [--only late_cost,list_down] [--postgres]

Product and emulator share one process, and a time that moves from step to step. In every world some
answers to a Run are lost, and the budget covers four orders of five until it is raised. Exit status
1 if a row is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from tests.simulation.emulator import SimulatedEmulator
from tests.support.postgres import chosen_database
from tests.system.campaigns.bench import Bench
from tests.system.campaigns.operator import Operator
from tests.system.campaigns.own_tasks import HIDING, is_hidden, list_own_tasks
from tests.system.campaigns.told import (
    charged_beyond_quotes,
    list_costs_told,
    list_told,
)
from tests.system.campaigns.workshop import COLLECTION, PRICE, list_book_errors
from wiro_dagster.emulator.worlds.periods import PERIOD_WORLDS
from wiro_dagster.emulator.worlds.tasks import TASK_WORLDS
from wiro_dagster.ledger import Order
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.ledger.schema import orders
from wiro_dagster.orders import OrderPolicy

ALL = "all at once"
_LOST_ANSWERS = {"Run:drop_after": 0.1, "Run:http_502_before": 0.05}
_ALL_RATE = 0.05
_WORK_SECONDS = 2 * 3600.0
_SHORTEST_STEP, _LONGEST_STEP = 1.0, 60.0
_POLICY = OrderPolicy(resubmit_after_seconds=300.0, verify="bytes")
_IN_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Row:
    """What came of one world.

    Args:
        world: its name.
        orders: how many videos were ordered.
        billed: tasks with a cost, those of other users apart.
        twice: tasks beyond one for each order, those of gateways that repeat a POST apart.
        owned: videos in the store.
        unowned: tasks with a cost whose video is not owned.
        untold: those of them that no check names, and whose POST is not on the books as lost.
        book_errors: tasks at another cost than Wiro's.
        silent_errors: those of them that the user is not told of.
        over_usd: by how much what Wiro charged passed the budget.
        beyond_usd: what Wiro charged that no quote stated.
        decisions: how often the user had to decide.
        seconds: how long the row took, in seconds of one core.
    """

    world: str
    orders: int
    billed: int
    twice: int
    owned: int
    unowned: int
    untold: int
    book_errors: int
    silent_errors: int
    over_usd: Decimal
    beyond_usd: Decimal
    decisions: int
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether nothing was paid twice, lost, or kept from the user.

        Where the list hides tasks for ever, a second POST is possible, and both are on the books.
        What Wiro charges beyond its quotes may pass the budget, and nothing else.
        """
        return (
            (self.twice == 0 or self.world in (*HIDING, ALL))
            and self.untold == 0
            and self.silent_errors == 0
            and (self.over_usd <= self.beyond_usd)
        )

    def __str__(self) -> str:
        over = f"{self.over_usd:.2f}" if self.over_usd > 0 else "no"
        cells = (
            *(self.world, self.orders, self.billed, self.twice, self.owned, self.unowned),
            *(self.untold, self.book_errors, self.silent_errors, over, self.decisions),
            f"{self.seconds:.0f}",
        )
        return f"| {' | '.join(map(str, cells))} |{'' if self.is_right else ' WRONG'}"


HEADER = (
    "| world | orders | billed | twice | owned | not owned | untold | other cost | untold "
    "| over budget, USD | decided | seconds |\n" + 12 * "|---" + "|"
)


def run_world(world: str, count: int, *, ledger_url: str | None = None, seed: int = 1) -> Row:
    """Order videos in one world, then in a calm one, and hold the books against Wiro's."""
    started = time.process_time()
    place = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="wiro-worlds-", dir=place) as name:
        folder = Path(name)
        url = ledger_url or f"sqlite:///{folder / 'ledger.db'}"
        budget = PRICE * (count - count // 5)
        limits = BudgetLimits(total_usd=budget)
        with closing(SimulatedEmulator(folder, seed=seed, task_seconds=30.0)) as emulator:
            open_bench = partial(emulator.open_bench, url, folder / "videos", policy=_POLICY)
            with closing(open_bench(limits=limits)) as bench:
                _begin(emulator, world)
                for number in range(count):
                    bench.place(f"film {number}")
                _work(bench)
                over_usd = emulator.spent_usd() - budget
            with closing(open_bench(limits=BudgetLimits())) as calm:
                emulator.clear_faults()
                operator = Operator(calm.ledger, emulator)
                _calm_down(calm, operator)
                seconds = time.process_time() - started
                return _compare(calm, world, count, over_usd, operator, seconds)


def _begin(emulator: SimulatedEmulator, world: str) -> None:
    emulator.set_fault_rates(_LOST_ANSWERS)
    if world == ALL:
        emulator.set_every_world_rate(_ALL_RATE)
    elif world in TASK_WORLDS:
        emulator.set_world_rates({world: 1.0})
    else:
        emulator.begin_world(world, seconds=_WORK_SECONDS / 4)


def _work(bench: Bench, seconds: float = _WORK_SECONDS) -> None:
    """Tick until nothing moves by itself any more, or time is up."""
    until, step, before = bench.now + seconds, _SHORTEST_STEP, None
    moves = (orders.c.due_at.is_not(None)) & (orders.c.state != "unknown")
    query = sa.select(
        sa.func.count(), sa.func.sum(orders.c.moved_at), sa.func.min(orders.c.due_at)
    ).where(moves & orders.c.held_since.is_(None))
    while bench.now < until:
        bench.step()
        with bench.ledger.reading() as connection:
            count, moved, due_at = connection.execute(query).one()
        if not count:
            return
        # What cannot go on now is looked at less and less often.
        step = _SHORTEST_STEP if (count, moved) != before else min(2 * step, _LONGEST_STEP)
        before = (count, moved)
        bench.advance(min(max(due_at - bench.now, step), _LONGEST_STEP))


def _calm_down(bench: Bench, operator: Operator) -> None:
    """Let all come to rest; the user decides what is left, and looks again at what failed."""
    bench.place("one more")
    for _ in range(2):
        _work(bench)
        bench.run(1800.0, step=300.0)
        operator.decide()
        operator.stop_standing()
    for order in bench.ledger.list_failed(COLLECTION):
        bench.ledger.recover(order.id)
    _work(bench)
    for hours in (1.1, 25.0):  # costs that are not stated are read again, twenty in a sweep
        bench.run(hours * 3600.0, step=3600.0)
        bench.run(180.0, step=6.0)


def _compare(
    bench: Bench, world: str, count: int, over_usd: Decimal, operator: Operator, seconds: float
) -> Row:
    placed = bench.ledger.list_orders()
    by_task = {order.task_id: order for order in placed if order.task_id is not None}
    tasks = list_own_tasks(bench.emulator)
    billed = [task for task in tasks if Decimal(task["cost_usd"]) > 0]
    twins = sum(task["origin"] == "twin" for task in tasks)
    unowned = [task for task in billed if not _is_owned(by_task.get(task["id"]))]
    told, costs_told = list_told(bench.ledger, tasks), list_costs_told(bench.ledger, tasks)
    errors = list_book_errors(bench.ledger, bench.emulator)
    hidden = {task["id"] for task in tasks if is_hidden(task)}
    return Row(
        world=world,
        orders=count + 1,
        billed=len(billed),
        twice=max(0, len(tasks) - twins - count - 1),
        owned=sum(order.is_owned for order in placed),
        unowned=len(unowned),
        untold=sum(task["id"] not in told for task in unowned),
        book_errors=len(errors),
        # What the list hides for ever is read when it ends, and never again.
        silent_errors=len(errors.keys() - costs_told - hidden),
        over_usd=over_usd,
        beyond_usd=charged_beyond_quotes(tasks, PRICE),
        decisions=operator.decisions.total(),
        seconds=seconds,
    )


def _is_owned(order: Order | None) -> bool:
    return order is not None and order.is_owned


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--only", help="names of worlds, with commas between them")
    parser.add_argument("--postgres", action="store_true", help="the ledger; default: SQLite")
    options = parser.parse_args(arguments)
    is_right = True
    names = (*TASK_WORLDS, *PERIOD_WORLDS, ALL)
    print(HEADER, flush=True)
    for world in options.only.split(",") if options.only else names:
        with chosen_database(is_postgres=options.postgres) as url:
            row = run_world(world, options.orders, ledger_url=url)
        print(row, flush=True)
        is_right &= row.is_right
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
