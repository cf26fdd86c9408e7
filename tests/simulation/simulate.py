"""A simulation: many orders, with every fault and every world, from one seed."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

from tests.model.replay import read, record, replay
from tests.simulation.books import find_differences, find_duplicates, find_lost, find_own_task
from tests.simulation.events import find_unrestored, find_wrong_events
from tests.simulation.shop import Shop
from tests.system.campaigns.workshop import ACCOUNT
from wiro_dagster.emulator.faults import rate_names
from wiro_dagster.emulator.worlds.periods import PERIOD_WORLDS
from wiro_dagster.emulator.worlds.tasks import TASK_WORLDS

_LARGEST_BATCH = 400
_BETWEEN_BATCHES_SECONDS = 240.0
"""A batch of up to so many orders comes, and on average so long afterwards the next one."""

_FIRST_STEP = 5.0
_LONGEST_STEP = 300.0
_IDLE_STEP = 30.0
_PATIENCE_SECONDS = 1800.0
"""When a user decides about an order that waits for it: when `orders_moving` tells of it."""

_STANDS_STILL = "It has stood in Wiro's queue for too long."
_LOOKS_AFTER_SECONDS = 300.0
"""How often a user looks after the orders."""

_LONGEST_SECONDS = 10 * 86_400.0
"""An order that is not settled by then stands still."""

_LAST_LOOKS_SECONDS, _LAST_LOOK_SECONDS = 9_000.0, 1_500.0
_IN_MEMORY = Path("/dev/shm")


@dataclass
class Outcome:
    """How a simulation ended.

    Args:
        seed: brings all of it back.
        orders: how many were placed.
        states: how they ended.
        tasks: how many Wiro made.
        deaths: how many processes died.
        decided: how many orders a user decided about.
        virtual_seconds: how long it took by the simulated clock.
        seconds: how long it took, in seconds of one core.
        failures: what must not be; empty if all is well.
        course: sums up every request, when it came and how it was answered.
    """

    seed: int
    orders: int
    states: dict[str, int] = field(default_factory=dict)
    tasks: int = 0
    deaths: int = 0
    decided: int = 0
    virtual_seconds: float = 0.0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    course: str = ""

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.describe()}", *self.failures[:20]]
        return "\n  ".join(lines)

    def describe(self) -> str:
        """Say in a line what there was, and how it ended."""
        states = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        return (
            f"{self.orders} orders ({states}), {self.tasks} tasks, "
            f"{self.deaths} deaths, {self.decided} decided by the user, "
            f"{self.virtual_seconds / 3600:.1f} h in {self.seconds:.1f} s, "
            f"{self.orders / self.seconds:.1f} orders/s: "
            + (f"{len(self.failures)} failures" if self.failures else "nothing lost or twice")
        )


def add_up(outcomes: Sequence[Outcome]) -> str:
    """Say in a line how all seeds ended."""
    states: Counter[str] = Counter()
    total = Outcome(outcomes[0].seed, 0)
    for outcome in outcomes:
        states += Counter(outcome.states)
        for name in ("orders", "tasks", "deaths", "decided", "virtual_seconds", "seconds"):
            setattr(total, name, getattr(total, name) + getattr(outcome, name))
        total.failures += outcome.failures
    total.states = dict(states)
    memory_mb = getrusage(RUSAGE_SELF).ru_maxrss // 1024
    return f"{len(outcomes)} seeds: {total.describe()}; {memory_mb} MB of memory at most"


def every_fault(rate: float) -> dict[str, float]:
    """Return a rate for every fault of calls, files and tasks."""
    return dict.fromkeys(rate_names(), rate)


def every_world(rate: float) -> dict[str, float]:
    """Return a rate for every world of tasks and of the service."""
    return dict.fromkeys((*TASK_WORLDS, *PERIOD_WORLDS), rate)


def simulate(
    orders: int,
    seed: int,
    *,
    faults: float = 0.002,
    worlds: float = 0.004,
    deaths: float = 0.0002,
    with_dagster: bool = False,
) -> Outcome:
    """Order videos until all orders are at rest, and hold the books against the emulator's.

    Args:
        orders: how many.
        seed: of everything random.
        faults: the rate of each fault.
        worlds: the rate of each world.
        deaths: how often a process dies, of all the times that it could.
        with_dagster: report to a Dagster instance, and lose the ledger at the end.
    """
    began, outcome = time.process_time(), Outcome(seed, orders)
    with _seeded(seed), _folder() as folder:
        shop = Shop(
            folder,
            seed,
            deaths=deaths,
            fault_rates=every_fault(faults),
            world_rates=every_world(worlds),
            clock_seconds=20.0,
            with_dagster=with_dagster,
        )
        with closing(shop):
            record(shop.ledger)
            resent = _run(shop, orders, outcome)
            outcome.failures += find_duplicates(shop, resent)
            outcome.failures += find_lost(shop)
            outcome.failures += find_differences(shop)
            outcome.failures += replay(read(shop.ledger))
            outcome.states = dict(Counter(order.state for order in shop.ledger.list_orders()))
            outcome.course = shop.sum_up()
            outcome.tasks, outcome.deaths = shop.service.tasks.count(), shop.deaths
            if shop.reports is not None:
                outcome.failures += find_wrong_events(shop, shop.reports)
                outcome.failures += find_unrestored(shop, shop.reports)
    outcome.seconds = time.process_time() - began
    return outcome


def _run(shop: Shop, orders: int, outcome: Outcome) -> set[str]:
    """Place, tick and let time pass. Return what a user sent again."""
    clock, chance = shop.service.clock, shop.chance
    began = next_at = looked_at = clock.now()
    placed, step, resent = 0, _FIRST_STEP, set[str]()
    while True:
        if placed < orders and clock.now() >= next_at:
            count = chance.randint(1, min(_LARGEST_BATCH, orders - placed))
            shop.place([f"{number:06d}" for number in range(placed, placed + count)])
            is_half = placed < orders / 2 <= placed + count
            placed += count
            if is_half and shop.reports is not None:
                shop.back_up_ledger()
            next_at = clock.now() + chance.expovariate(1 / _BETWEEN_BATCHES_SECONDS)
        step = _FIRST_STEP if shop.tick() else min(2 * step, _IDLE_STEP)
        pause = shop.find_pause()
        is_late = clock.now() > began + _LONGEST_SECONDS
        if placed == orders and (pause is None or is_late):
            break
        until_next = next_at - clock.now() if placed < orders else _LONGEST_STEP
        pause = until_next if pause is None else min(pause, until_next)
        clock.advance(min(max(pause, step), _LONGEST_STEP))
        if clock.now() >= looked_at + _LOOKS_AFTER_SECONDS:
            looked_at = clock.now()
            outcome.decided += _decide(shop, resent)
    # Costs that were not stated are read again, and the audit reads what has changed since.
    shop.service.set_world_rates({})
    shop.service.faults.set_rates({})
    until = shop.service.clock.now() + _LAST_LOOKS_SECONDS
    while shop.service.clock.now() < until:
        shop.tick()
        # One sweep reads some of the costs again, the next ones the others.
        is_more_due = shop.ledger.is_watch_due(ACCOUNT)
        shop.service.clock.advance(_FIRST_STEP if is_more_due else _LAST_LOOK_SECONDS)
    outcome.virtual_seconds = shop.service.clock.now() - began
    return resent


def _decide(shop: Shop, resent: set[str]) -> int:
    """A user decides about the orders that have waited for long, and is right."""
    before, decided = shop.service.clock.now() - _PATIENCE_SECONDS, 0
    for order in shop.ledger.list_orders(states=["unknown", "running"]):
        if (order.claimed_at or order.created_at) > before or order.stop_reason is not None:
            continue
        decided += 1
        if order.state == "running":
            shop.ledger.request_stop(order.id, state="cancelled", reason=_STANDS_STILL)
            continue
        own = find_own_task(shop, order.marker)
        if own is not None:
            shop.ledger.note_task(order, str(own.number), due_at=shop.service.clock.now())
        else:
            shop.ledger.abandon_unknown(order)
            resent.add(order.prompt)
    return decided


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let the pauses between repeated reads come from the seed, too."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def _folder() -> Iterator[Path]:
    place = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="wiro-simulation-", dir=place) as name:
        yield Path(name)
