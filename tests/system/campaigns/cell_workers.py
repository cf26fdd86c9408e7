"""Processes that share a ledger and do what the order sensor does, until they are killed."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.system.campaigns.timing import CAMPAIGN_TIMING
from tests.system.campaigns.workshop import Workshop, make_prompt, report_all, tick
from wiro_dagster.emulator import EmulatorControl
from wiro_dagster.errors import LedgerError
from wiro_dagster.orders import OrderDesk, OrderPolicy

# A dead process is missed after five seconds, and that a lost POST made no task is believed after
# eight: the product takes a minute and a quarter of an hour.
TIMING = replace(
    CAMPAIGN_TIMING,
    look_maximum_seconds=2.0,
    lease_seconds=5.0,
    recover_pause_seconds=1.0,
    refused_pause_seconds=2.0,
    retry_maximum_seconds=2.0,
)
POLICY = OrderPolicy(resubmit_after_seconds=8.0, timing=TIMING)
_PROCESSES = multiprocessing.get_context("forkserver")
_AWAY_SECONDS = 0.2


@dataclass(frozen=True)
class Place:
    """Where the workers of a cell work.

    Args:
        start_page_url: of the emulator.
        base_url: of its API.
        cdn_host: where its files are.
        ledger_url: of the ledger.
        videos: the store's folder.
        names: all prompts.
    """

    start_page_url: str
    base_url: str
    cdn_host: str
    ledger_url: str
    videos: Path
    names: tuple[str, ...]

    def open_desk(self) -> OrderDesk:
        """Open a desk as a new process has it."""
        return Workshop(
            EmulatorControl(self.start_page_url),
            self.base_url,
            self.cdn_host,
            self.ledger_url,
            self.videos,
            policy=POLICY,
        ).open_desk()


@dataclass
class Workers:
    """The processes of a cell.

    Args:
        place: where they work.
        count: how many there are.
    """

    place: Place
    count: int
    _running: dict[int, ForkServerProcess] = field(default_factory=dict)

    def start(self) -> None:
        """Start those that do not run, as a service manager does."""
        _PROCESSES.set_forkserver_preload([__name__])
        for number in range(self.count):
            if number not in self._running:
                process = _PROCESSES.Process(target=_work, args=(self.place,), daemon=True)
                process.start()
                self._running[number] = process

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [process.pid for process in self._running.values() if process.pid is not None]

    def kill(self, number: int) -> None:
        """End one at once, whatever it is doing."""
        process = self._running.pop(number)
        process.kill()
        process.join()

    def kill_all(self) -> None:
        """End all of them at once."""
        for number in list(self._running):
            self.kill(number)

    def find_ended(self) -> list[int]:
        """Return the exit codes of those that ended by themselves: none should."""
        codes = [process.exitcode for process in self._running.values()]
        return [code for code in codes if code is not None]


def _work(place: Place) -> None:
    """Tick for ever. While the ledger is away, the next tick tries again."""
    prompts = {name: make_prompt(name) for name in place.names}
    desk = None
    while True:
        try:
            desk = desk or place.open_desk()
            problem = desk.find_problem()
            if problem is not None and problem.kind == "ledger":
                desk.rebuild(prompts)
            report = tick(desk, 3.0)
            report_all(desk.ledger, lease_seconds=TIMING.lease_seconds)
        except LedgerError:
            time.sleep(_AWAY_SECONDS)
            continue
        unexpected = [notice for notice in report.notices if "unexpectedly" in notice]
        if unexpected:
            raise RuntimeError(unexpected[0])
        if not report.polled and not report.submitted:
            time.sleep(_AWAY_SECONDS)
