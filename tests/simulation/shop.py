"""Simulated processes, one after the other, on one ledger: they work, die, and come back."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from tests.simulation.reports import Reports
from tests.simulation.wire import API_HOST, FILES_HOST, SECOND_FILES_HOST, Hook, Wire
from tests.system.campaigns.workshop import ACCOUNT, COLLECTION, make_prompt, report_all
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.emulator.catalogue import Catalogue
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.settings import EMULATOR_API_KEY, EMULATOR_API_SECRET, Settings
from wiro_dagster.emulator.state import State
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.orders import OrderContext, OrderDesk, OrderPolicy
from wiro_dagster.orders.models import Models
from wiro_dagster.orders.policy import Timing
from wiro_dagster.orders.worker_pool import Ends, WorkerPool
from wiro_dagster.store import FolderStore
from wiro_dagster.store.notes import NOTES_FOLDER

TIMING = Timing(
    lease_seconds=1200.0,  # its keeper's thread then never wakes within a test
    sweep_pause_seconds=5.0,
    recover_pause_seconds=120.0,
    settle_missing_seconds=120.0,
    sure_gone_seconds=3600.0,
    cost_recheck_seconds=(10.0, 600.0, 3600.0),
)
POLICY = OrderPolicy(timing=TIMING, verify="bytes", run_deadline_seconds=600.0)
STARTED_AT = 1_760_000_000.0
_FOREVER = 1e12
_AT_ONCE = 25
"""So many steps are claimed together; when their process dies, all of them are left."""


class Killed(BaseException):
    """The process dies here. No `except Exception` catches it, as none catches SIGKILL."""


class AtOnce(WorkerPool):
    """Takes each step where it is started, so that one seed is one course of events."""

    def __init__(self, size: int, name: str, ends: Ends) -> None:
        super().__init__(max(size, _AT_ONCE) if size > 1 else size, name, ends)

    def start(self, step: Callable[[], Any]) -> Future[None]:
        """Take a step; a death ends the process and not only the step."""
        future: Future[None] = Future()
        try:
            self._notices.extend(step())
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(None)
        self._ends.add()
        return future


class _MortalLedger(Ledger):
    """The ledger of a process that may die before each transaction, and before it commits."""

    hook: Hook

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self.hook("before a transaction")
        with super().writing() as connection:
            yield connection
            self.hook("before a commit")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        self.hook("before a transaction")
        with super().reading() as connection:
            yield connection


class Shop:
    """Emulator, ledger, store and the process that works for them now.

    Args:
        folder: in memory, if there is such a place.
        seed: of everything random.
        deaths: how often a process dies, of all the times that it could.
        fault_rates: see the emulator.
        world_rates: see the emulator.
        clock_seconds: how far a process's clock is from Wiro's at most.
        with_dagster: whether a Dagster instance is told, by the product's own sensor.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        deaths: float = 0.0,
        fault_rates: dict[str, float] | None = None,
        world_rates: dict[str, float] | None = None,
        clock_seconds: float = 0.0,
        with_dagster: bool = False,
    ) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        self._deaths, self._clock_seconds = deaths, clock_seconds
        self._offset_seconds = 0.0
        self._ledger_url = f"sqlite:///{folder / 'ledger.db'}"
        self.deaths = 0
        settings = Settings(
            seed=seed,
            tiny_videos=True,
            task_seconds=20.0,
            balance_usd=Decimal(10_000_000),
            prompt_markers=False,
            files_url=f"http://{FILES_HOST}",
            second_files_url=f"http://{SECOND_FILES_HOST}",
        )
        self._state = State(folder / "emulator.db")
        self.service = Service(settings, self._state, Catalogue.load())
        self.service.clock.offset_seconds, self.service.clock.frozen_at = 0.0, STARTED_AT
        self.service.faults.set_rates(fault_rates or {})
        self.service.set_world_rates(world_rates or {})
        self.wire = Wire(self.service, self._live_or_die)
        self.reports = self._open_reports() if with_dagster else None
        self.desk = self._open_process()
        # For those who look on, and for users: they do not die.
        self.ledger = Ledger(self._ledger_url, clock=self.service.clock.now)

    def now(self) -> float:
        """Unix seconds by the present process's clock."""
        return self.service.clock.now() + self._offset_seconds

    def place(self, names: Sequence[str]) -> None:
        """Order videos, again if the process dies over it."""
        at_once = _AT_ONCE if self.reports else 1
        for start in range(0, len(names), at_once):
            while not self.survive(partial(self._place, names[start : start + at_once])):
                pass

    def _place(self, names: Sequence[str]) -> None:
        prompts = [make_prompt(name) for name in names]
        if self.reports is not None:
            self.reports.place(prompts)
        else:
            for prompt in prompts:
                self.desk.place(prompt.id, prompt)

    def tick(self) -> bool:
        """One tick and its reports, unless the process dies. Return whether anything moved."""
        moved: list[int] = []

        def work() -> None:
            if self.reports is not None:
                moved.append(self.reports.tick())
                return
            report = self.desk.tick(_FOREVER)
            moved.append(report.submitted + report.collected)
            moved.append(report_all(self.desk.context.ledger))

        self.survive(work)
        return any(moved)

    def find_pause(self) -> float | None:
        """Return how long nothing is due; None if nothing ever is, endless tasks aside."""
        query = (
            "SELECT due_at, task_id, stop_state FROM wiro_orders "
            "WHERE due_at IS NOT NULL ORDER BY due_at"
        )
        with self.ledger.reading() as connection:
            for due_at, task_id, stop_state in connection.exec_driver_sql(query):
                if stop_state is None or not self.is_endless(task_id):
                    return max(0.0, float(due_at) - self.service.clock.now())
        return None

    def is_endless(self, task_id: str | None) -> bool:
        """Whether Wiro neither ends the task nor lets it be stopped."""
        task = None if task_id is None else self.service.tasks.find(task_id)
        return task is not None and task.ends_at is None and task.script.kill == "refused"

    def sum_up(self) -> str:
        """Return what tells this course of events from every other one."""
        query = "SELECT endpoint, at, http_status, fault, task_id FROM journal ORDER BY number"
        course = hashlib.sha256()
        for row in self._state.connection.execute(query):
            course.update(repr(tuple(row)).encode())
        return course.hexdigest()

    def close(self) -> None:
        """Close everything."""
        self._close_desk()
        if self.reports is not None:
            self.reports.close()
        self.ledger.close()
        self.wire.close()
        self._state.close()

    # ---- processes ----

    def back_up_ledger(self) -> None:
        """Keep a copy of the ledger as it is now."""
        with (
            closing(sqlite3.connect(self.folder / "ledger.db")) as ledger,
            closing(sqlite3.connect(self.folder / "backup.db")) as backup,
        ):
            ledger.backup(backup)

    def lose_ledger(self, *, has_backup: bool) -> None:
        """Lose the ledger, and the notes in the video store: the event log knows what was bought.

        Args:
            has_backup: the process that starts then has the backup; otherwise a new ledger.
        """
        self._close_desk()
        self.ledger.close()
        shutil.rmtree(self.folder / "videos" / NOTES_FOLDER)
        name = "backup.db" if has_backup else "new.db"
        self._ledger_url = f"sqlite:///{self.folder / name}"
        self.desk = self._open_process()
        self.ledger = Ledger(self._ledger_url, clock=self.service.clock.now)

    def _open_reports(self) -> Reports:
        # Processes die five times as often over an event: between it and the ledger.
        die = partial(self._live_or_die, "over an event", times=5.0)
        return Reports(self.folder, self.service.clock.now, die)

    def _open_process(self) -> OrderDesk:
        desk = self._open_desk()
        if self.reports is not None:
            self.reports.start(desk)
        return desk

    def _open_desk(self) -> OrderDesk:
        drift = self._clock_seconds
        self._offset_seconds = self.chance.uniform(-drift, drift)
        ledger = _MortalLedger(self._ledger_url, clock=self.now)
        ledger.hook = self._live_or_die
        client = WiroClient(
            Credentials(EMULATOR_API_KEY, EMULATOR_API_SECRET),
            base_url=f"http://{API_HOST}/v1",
            cdn_hosts=[FILES_HOST, SECOND_FILES_HOST],
            open_session=self.wire.open_session,
            clock=self.service.clock.now,
            wall_clock=self.now,
            sleep=self.service.clock.advance,
            read_attempts=2,
        )
        context = OrderContext(
            ledger=ledger,
            client=client,
            store=FolderStore(self.folder / "videos"),
            quoter=Models(ledger, client).quote,
            account=ACCOUNT,
            collection=COLLECTION,
            limits=BudgetLimits(),
            policy=POLICY,
            answers_folder=ledger.answers_folder,
            random=random.Random(self.chance.random()),
        )
        return OrderDesk(context, monotonic=lambda: 0.0, open_pool=AtOnce)

    def _close_desk(self) -> None:
        self.desk.close()
        self.desk.context.client.close()
        self.desk.context.ledger.close()

    def _live_or_die(self, _where: str, *, times: float = 1.0) -> None:
        if self._deaths and self.chance.random() < self._deaths * times:
            raise Killed

    def survive(self, work: Callable[[], object]) -> bool:
        """Work in a process that may die; the next one takes over. Return whether it lived."""
        try:
            work()
        except Killed:
            self.deaths += 1
            deaths, self._deaths = self._deaths, 0.0
            self._close_desk()
            self.desk = self._open_process()
            self._deaths = deaths
            return False
        return True
