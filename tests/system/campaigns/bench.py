"""An order desk whose time stands still until a test moves it, with the emulator's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.system.campaigns.workshop import (
    COLLECTION,
    Workshop,
    fetch_sha256,
    list_book_errors,
    place,
    report_all,
    spent_by_ledger,
    stored_sha256,
    tick,
)
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger, Order, OrderState
from wiro_dagster.orders import OrderDesk, OrderPolicy, TickReport
from wiro_dagster.orders.describe import describe_problem, describe_state
from wiro_dagster.orders.policy import Timing
from wiro_dagster.orders.standing import describe_standing

STEADY_TIMING = Timing(
    first_look_seconds=1.0,
    sweep_pause_seconds=1.0,
    lease_seconds=60.0,
)
STEADY = OrderPolicy(timing=STEADY_TIMING, resubmit_after_seconds=300.0, run_deadline_seconds=600.0)
_SHORTEST_STEP = 1.0
_LONGEST_STEP = 30.0
_GROWTH = 1.3
_DAY_SECONDS = 86_400.0
_HOURS_SECONDS = 3 * 3600.0
_NEAR_SECONDS = 60.0


class Bench:
    """One process with its order desk, on the emulator, in a time of its own.

    Args:
        emulator: its clock is frozen, and moves with this one.
        ledger_url: of the ledger.
        folder: for the videos.
        parts: other parts of the desk's context, made from the workshop.
        more_client_options: more arguments of the client.
        offset_seconds: how far this machine's clock is ahead of Wiro's.
        **workshop: fields of the `Workshop`.
    """

    def __init__(
        self,
        emulator: Emulator,
        ledger_url: str,
        folder: Path,
        *,
        parts: Callable[[Workshop], dict[str, Any]] = lambda _workshop: {},
        more_client_options: Mapping[str, Any] | None = None,
        offset_seconds: float = 0.0,
        **workshop: Any,
    ) -> None:
        self.emulator = emulator
        self.offset_seconds = offset_seconds
        # A ledger on PostgreSQL does not buy while its server's clock is far from ours.
        is_on_server = ledger_url.startswith("postgresql")
        self.now = (emulator.freeze() if is_on_server else stop_clock(emulator)) + offset_seconds
        client_options = {
            "sleep": lambda _seconds: None,
            "clock": self.clock,
            "wall_clock": self.clock,
            **(more_client_options or {}),
        }
        self.workshop = Workshop(
            emulator=emulator,
            base_url=emulator.base_url,
            cdn_host=emulator.cdn_host,
            ledger_url=ledger_url,
            folder=folder,
            clock=self.clock,
            **{"policy": STEADY, "client_options": client_options, **workshop},
        )
        self.desk: OrderDesk = self.workshop.open_desk(**parts(self.workshop))
        self.ledger: Ledger = self.desk.context.ledger
        self.notices: list[str] = []

    def clock(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now = self.emulator.advance(seconds) + self.offset_seconds

    def place(self, name: str, **options: Any) -> Order:
        return place(self.desk, name, **options).order

    def tick(self) -> TickReport:
        report = tick(self.desk)
        self.notices += report.notices
        return report

    def order(self, name: str) -> Order:
        """The newest order of a partition."""
        return self.ledger.list_orders(partitions=[name])[-1]

    def state(self, name: str) -> OrderState:
        return self.order(name).state

    def settle(
        self, seconds: float = 1800.0, *, longest_step: float = _LONGEST_STEP
    ) -> list[Order]:
        """Tick, report and move time until every order is at rest.

        While nothing moves, the steps grow: a wait of an hour takes twenty ticks.
        """
        until, pause, seen = self.now + seconds, _SHORTEST_STEP, []
        while True:
            self.step()
            orders = self.ledger.list_orders(collection=COLLECTION)
            due = [order.due_at for order in orders if order.due_at is not None]
            if not due:
                return orders
            assert self.now < until, [(o.partition, o.state, o.error, o.hold) for o in orders]
            states = [order.state for order in orders]
            pause = pause * _GROWTH if states == seen else _SHORTEST_STEP
            seen = states
            self.advance(min(max(min(due) - self.now, pause), longest_step))

    def run(self, seconds: float, *, step: float = 30.0) -> None:
        """Ticks and reports for that long, whether or not anything is left to do."""
        until = self.now + seconds
        while self.now < until:
            self.step()
            self.advance(min(step, until - self.now))
        self.step()

    def step(self) -> None:
        """One tick, and a report of what it brought."""
        self.tick()
        report_all(self.ledger)

    def told(self) -> list[str]:
        """Return what the user is told without a look into the ticks' logs."""
        context = self.desk.context
        problem = self.desk.find_problem()
        told = [] if problem is None else [describe_problem(problem)]
        told += [describe_standing(order, self.now) for order in self.desk.list_standing()]
        told += [describe_state(order) for order in self.ledger.list_failed(COLLECTION)]
        told += [f"unexplained: {stray}" for stray in self.ledger.list_strays(context.account)]
        told += [f"unstated: {record}" for record in self.ledger.list_unstated(context.account)]
        return told + [str(change) for change in self.ledger.list_differences(context.account)]

    def runs(self) -> int:
        """How many tasks Wiro made."""
        return self.emulator.billable_tasks()

    def calls(self, endpoint: str) -> int:
        """How often an endpoint was called."""
        return len(self.emulator.journal(kind="call", endpoint=endpoint))

    def check_books(self) -> None:
        """Every task is in one submission, at its true cost, and the bytes we own are Wiro's."""
        assert list_book_errors(self.ledger, self.emulator) == {}
        assert spent_by_ledger(self.ledger) == self.emulator.spent_usd()
        tasks = {task["id"]: task for task in self.emulator.tasks()}
        for order in self.ledger.list_orders():
            if order.is_owned:
                urls = [output["url"] for output in tasks[str(order.task_id)]["outputs"]]
                found = stored_sha256(self.workshop.folder, order)
                assert found == [fetch_sha256(url) for url in urls]

    def close(self) -> None:
        self.desk.close()
        self.ledger.close()
        self.desk.context.client.close()


def stop_clock(emulator: Emulator) -> float:
    """Freeze the emulator's clock; return its time.

    Budgets are a day's, so a day has hours left to begin with, whatever time it is in the world.
    """
    now = emulator.freeze()
    seconds_left = _DAY_SECONDS - now % _DAY_SECONDS
    is_untouched = abs(now - time.time()) < _NEAR_SECONDS
    if is_untouched and seconds_left < _HOURS_SECONDS:
        return emulator.advance(seconds_left + 2 * _NEAR_SECONDS)
    return now
