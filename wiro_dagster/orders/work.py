"""The work of a tick: orders are submitted, watched, downloaded and delivered side by side."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from functools import partial

from wiro_dagster.ledger import FOLLOWED
from wiro_dagster.media import prepare_decoder
from wiro_dagster.orders.answers import AnswerSpool
from wiro_dagster.orders.collect import collect_order
from wiro_dagster.orders.purchases import Purchases
from wiro_dagster.orders.recover import recover_orders
from wiro_dagster.orders.steps import Steps, notices_of, take_safely
from wiro_dagster.orders.tick_report import TickReport
from wiro_dagster.orders.watch import Watch
from wiro_dagster.orders.worker_pool import Ends, Intake, WorkerPool

_RECOVER_BATCH = 200
_DOWNLOADS = 8
"""A download mostly waits: for the CDN, and for the disk."""

_AGAIN_SECONDS = 0.1
"""How soon the ledger is asked again what is due if nothing was, while something goes on."""

_LOOK_AROUND_SECONDS = 0.5
"""How often a tick that waits looks for something else to start."""

_LINGER_SECONDS = 5.0
"""How long a tick waits for a download to end before it leaves it to the background."""

_STAY_PAUSE_SECONDS = 0.25
"""How often a tick that stays for a task looks whether it is due."""

_SEND_SECONDS = 2.0
"""How long one look between two ticks goes on sending orders: a tick may have begun meanwhile."""

_LOOK_SECONDS = 0.5
"""The same if nothing is sent: sockets may hint at further ends."""

_DELIVER_SECONDS = 1.0
"""How often videos are reported while others are still on their way."""

_MANY = 20
"""If so many are reported at once, the next ones are reported without a pause."""


class Work:
    """Takes the steps of a desk's orders, in pools of threads that outlive a tick.

    Args:
        steps: claims orders and takes their steps.
        answers: keeps Wiro's answers that the ledger cannot take.
        monotonic: gives seconds for deadlines.
        open_pool: opens a pool of threads, given its size, their name, and what counts the steps
            that end.
    """

    def __init__(
        self,
        steps: Steps,
        answers: AnswerSpool,
        monotonic: Callable[[], float],
        open_pool: Callable[[int, str, Ends], WorkerPool],
    ) -> None:
        self._steps = steps
        self._monotonic = monotonic
        self._ends = Ends()
        self._requests = open_pool(steps.context.threads, "wiro-request", self._ends)
        self.downloads = open_pool(_DOWNLOADS, "wiro-download", self._ends)
        self._sweeps = open_pool(1, "wiro-watch", self._ends)
        self._deliveries = open_pool(1, "wiro-delivery", self._ends)
        self.purchases = Purchases(steps, self._requests, answers, monotonic)
        self.is_hinted = threading.Event()
        """Set if something hinted that there is news: look at tasks now."""

        self._watch: Watch | None = None
        self._intake = Intake(self.downloads, monotonic)
        self._found_none_at = self._delivered_at = self._not_due_at = -math.inf
        self._between = TickReport()

    def recover(self, collections: Sequence[str], deadline: float) -> None:
        """Look up what became of runs whose answers were lost."""
        if not self._steps.context.gate.may_read():
            return
        claimed = self._steps.claim(collections, ("submitting", "unknown"), _RECOVER_BATCH)
        if claimed:
            step = partial(recover_orders, self._steps.context, claimed)
            started = self._steps.start(self._requests, claimed, step)
            wait([started], timeout=self._seconds_until(deadline))
            self._raise_failure()

    def run(
        self,
        collections: Sequence[str],
        report: TickReport,
        deadline: float,
        *,
        submits: bool,
        deliver: Callable[[], int] | None,
        stay_until: float,
        raises: bool = True,
    ) -> None:
        """Submit, sweep, download and deliver side by side until nothing is left to do now.

        Args:
            collections: whose files to fetch.
            report: of the tick.
            deadline: after it, nothing new is started or waited for.
            submits: whether anything may be sent.
            deliver: reports some of the videos that are stored, and returns how many.
            stay_until: how long to wait for looks that fall due until then.
            raises: whether to raise what steps have raised, also since the last call.

        Raises:
            LedgerError: a step could not use the ledger.
        """
        ended_at = self._monotonic()
        while self._monotonic() < deadline:
            ended_before = self._ends.count
            # Each of these starts what it can, and returns whether it may start more.
            may_go_on = [
                submits and self.purchases.start(report),
                self._sweep(report, deadline),
                self._download(collections, report),
            ]
            is_busy, now = self._is_busy(), self._monotonic()
            if not is_busy and not any(may_go_on):
                if deliver is None or not deliver():
                    if not self._is_look_due(stay_until):
                        return
                    self._steps.context.sleep(_STAY_PAUSE_SECONDS)
                continue
            is_soon = now - self._delivered_at < _DELIVER_SECONDS
            if deliver is not None and self._deliveries.free and not is_soon:
                self._delivered_at = now
                self._deliveries.start(partial(_deliver, deliver))
                is_busy = True
            look_around_at = min(deadline, now + _LOOK_AROUND_SECONDS)
            seconds = self._seconds_until(look_around_at) if is_busy else 0.0
            has_ended = self._ends.wait(ended_before, seconds)
            if raises:
                self._raise_failure()
            if has_ended:
                ended_at = self._monotonic()
            elif now - ended_at > _LINGER_SECONDS and self._is_idle_but_for_downloads():
                return  # slow downloads go on without us

    def look(
        self,
        collections: Sequence[str],
        *,
        submits: bool = False,
        deliver: Callable[[], int] | None = None,
    ) -> bool:
        """Do for a moment what a tick does. Return whether anything is under way then.

        Args:
            collections: whose files to fetch.
            submits: whether anything may be sent.
            deliver: reports some of the videos that are stored, and returns how many.
        """
        if not self._is_busy():
            self.purchases.ask_again()  # something was written to the ledger, maybe orders
        # As in a tick: with a look for each few orders, the last ones would wait for long.
        sends = submits and self.purchases.start(self._between)
        until = self._monotonic() + (_SEND_SECONDS if sends else _LOOK_SECONDS)
        self.run(
            collections,
            self._between,
            until,
            submits=sends,
            deliver=deliver,
            stay_until=-math.inf,
            raises=False,  # the next tick does
        )
        return self._is_busy()

    def take_submitted(self) -> int:
        """Return how many orders were sent between ticks since the last call."""
        count, self._between.submitted = self._between.submitted, 0
        return count

    def take_notices(self) -> list[str]:
        """Return what the steps have noted since the last call."""
        return [notice for pool in self._pools for notice in pool.take_notices()]

    def release_watch(self) -> None:
        """Leave the account's tasks to another desk. The next sweep may take them back."""
        if self._watch is not None:
            self._watch.release()

    def forget_watch(self) -> None:
        """Start the watch again, because the account has a different name now."""
        self._watch = None

    def close(self) -> None:
        """Wait for steps that are under way, and start no new ones."""
        for pool in self._pools:
            pool.close()

    @property
    def _pools(self) -> tuple[WorkerPool, ...]:
        return self._requests, self.downloads, self._sweeps, self._deliveries

    def _is_busy(self) -> bool:
        return any(pool.is_busy for pool in self._pools)

    def _is_idle_but_for_downloads(self) -> bool:
        return not any(pool.is_busy for pool in self._pools if pool is not self.downloads)

    def _is_look_due(self, until: float) -> bool:
        """Whether a task is due to be looked at before that time, and the collection has some."""
        seconds_left, context = until - self._monotonic(), self._steps.context
        if seconds_left <= 0 or not context.gate.may_read():
            return False
        if not set(FOLLOWED).intersection(context.ledger.count_unsettled(context.collection)):
            return False
        next_look_at = context.ledger.find_next_look(context.account)
        return next_look_at is not None and next_look_at - context.now() < seconds_left

    def _sweep(self, report: TickReport, deadline: float) -> bool:
        if self._watch is None:
            self._watch = Watch(self._steps.context)
        watch, now = self._watch, self._monotonic()
        if not self._sweeps.free:
            return False
        if self._is_busy() and now - self._not_due_at < _AGAIN_SECONDS:
            return True  # what is going on may have sent an order
        if not watch.is_due(hurry=self.is_hinted.is_set()):
            self._not_due_at = now
            return False
        if self.is_hinted.is_set() and self._steps.context.policy.verify == "frames":
            prepare_decoder()
        self.is_hinted.clear()

        def sweep() -> list[str]:
            swept = watch.sweep(partial(self._run_all, deadline=deadline))
            report.polled += swept.looked
            return swept.notices

        self._sweeps.start(sweep)
        return True

    def _run_all(self, steps: Sequence[Callable[[], list[str]]], *, deadline: float) -> None:
        """Run looks side by side."""
        started = [self._requests.start(partial(take_safely, step)) for step in steps]
        wait(started, timeout=self._seconds_until(deadline))

    def _download(self, collections: Sequence[str], report: TickReport) -> bool:
        steps, now, fitting = self._steps, self._monotonic(), self._intake.count()
        # Several are claimed at once, but slow downloads must not keep others waiting.
        is_soon = self._intake.seconds_since_claim() < _LOOK_AROUND_SECONDS
        if fitting == 0 or (is_soon and 2 * fitting < self.downloads.size):
            return True  # all of them may be free a moment later, when nothing else goes on
        if self._is_busy() and now - self._found_none_at < _AGAIN_SECONDS:
            return True  # what is going on may have finished an order
        self._intake.note_claim()
        claimed = steps.claim(collections, ["finished"], fitting, oldest_task_first=True)
        if not claimed:
            self._found_none_at = now
        report.collected += len(claimed)
        for order in claimed:
            step = partial(collect_order, steps.context, steps.leases, order)
            steps.start(self.downloads, [order], partial(notices_of, step))
        return bool(claimed)

    def _raise_failure(self) -> None:
        failures = [failure for pool in self._pools for failure in pool.take_failures()]
        if failures:
            raise failures[0]

    def _seconds_until(self, deadline: float) -> float:
        return min(max(0.0, deadline - self._monotonic()), threading.TIMEOUT_MAX)


def _deliver(deliver: Callable[[], int]) -> list[str]:
    while deliver() >= _MANY:
        pass  # more have come home meanwhile
    return []
