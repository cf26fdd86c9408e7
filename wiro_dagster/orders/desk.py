"""The order desk: places orders, and at each tick moves all that is due one step on.

It does not matter what calls `tick`: the sensor, a waiting run, or the CLI. Each step is claimed in
the ledger, so any number of callers share the work and none repeats another's.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import (
    Callable,
    Collection,
    Container,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import replace
from decimal import Decimal
from functools import partial

from wiro_dagster.errors import ApiError, StoreError
from wiro_dagster.ledger import AccountProblem, Ledger, Order, OrderRequest, Placement
from wiro_dagster.orders.answers import AnswerSpool
from wiro_dagster.orders.batch import UNCOLLECTED, collect_batch
from wiro_dagster.orders.collect import collect_order, is_in_store
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.evidence import EventLog, rebuild, restore_owned
from wiro_dagster.orders.follower import Follower
from wiro_dagster.orders.lease import LeaseKeeper
from wiro_dagster.orders.new_orders import place_new
from wiro_dagster.orders.permission import learn_account, use_known_account
from wiro_dagster.orders.purchases import Purchases
from wiro_dagster.orders.recover import recover_orders
from wiro_dagster.orders.requests import build_request
from wiro_dagster.orders.retries import decide_tries
from wiro_dagster.orders.standing import list_standing
from wiro_dagster.orders.steps import Steps, notices_of, take_safely
from wiro_dagster.orders.submit import note_kept_answers
from wiro_dagster.orders.tick_report import TickReport
from wiro_dagster.orders.watch import Watch
from wiro_dagster.orders.worker_pool import WorkerPool
from wiro_dagster.prompts import Prompt

_RECOVER_BATCH = 200
_DOWNLOADS = 8
"""A download mostly waits: for the CDN, and for the disk."""

_LOOK_AROUND_SECONDS = 0.5
"""How often a tick that waits looks for something else to start."""

_LINGER_SECONDS = 5.0
"""How long a tick waits for a download to end before it leaves it to the background."""

_HOLD_SECONDS = 30.0
"""How often a desk notes that it works for its collection."""

_REBUILD_SECONDS = 300.0
"""How often a ledger that is behind its witnesses tries to catch up without the user."""

_FOLLOW_SECONDS = 10.0
"""How long one look between two ticks may take."""

_KEY_HASH = re.compile(r"[0-9a-f]{16}")


class OrderDesk:
    """Places and moves the orders of one collection. Thread-safe; keep one for a process.

    Args:
        context: ledger, client, store and rules of the collection.
        monotonic: gives seconds for deadlines.
        open_pool: opens a pool of threads, given its size and their name.
    """

    def __init__(
        self,
        context: OrderContext,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        open_pool: Callable[[int, str], WorkerPool] = WorkerPool,
    ) -> None:
        self.context = context
        self._monotonic = monotonic
        self._requests = open_pool(context.threads, "wiro-request")
        self._downloads = open_pool(_DOWNLOADS, "wiro-download")
        self._sweeps = open_pool(1, "wiro-watch")
        self._deliveries = open_pool(1, "wiro-delivery")
        self._leases = LeaseKeeper(context.ledger, context.policy.timing.lease_seconds)
        self._answers = AnswerSpool(context.answers_folder)
        self._steps = Steps(context, self._leases)
        self._purchases = Purchases(self._steps, self._requests, self._answers, monotonic)
        self._watch: Watch | None = None
        self._account_is_known = not _KEY_HASH.fullmatch(context.account)
        self._held_at: float | None = None
        self._claimed_at = -math.inf
        self._rebuilt_at: float | None = None
        self._collections = [context.collection]
        self._collects = True
        self._ticking: set[int] = set()
        # Something hinted that there is news: look now.
        self._is_hinted = threading.Event()
        self._follower = Follower(
            context.hints,
            lambda: self.context,
            self._look_between_ticks,
            self._is_hinted,
            monotonic,
        )
        known = use_known_account(context)
        if known is not None:
            self._use(known)
        self._has_ticked = False

    def release_watch(self) -> None:
        """Leave the account's tasks to another desk at once, instead of after a while."""
        if self._watch is not None:
            self._watch.release()

    def stay_awake(self, seconds: float, *, collects: bool = True) -> None:
        """Follow hints that tasks have ended for so long, also while no tick is at work.

        Args:
            seconds: from now.
            collects: fetch the files of finished tasks; False leaves them to `collect`.
        """
        self._collects = collects
        self._follower.stay_awake(seconds)

    def close(self) -> None:
        """Let requests that are under way end, and start no more."""
        self._follower.close()
        for pool in self._pools:
            pool.close()
        self._leases.close()

    def place(
        self,
        partition: str,
        prompt: Prompt,
        *,
        version: str = "",
        present: Container[str] | None = None,
        limit_usd: Decimal | None = None,
    ) -> Placement:
        """Order the video of a prompt, or find the order that it has already.

        Nothing is sent here: the next tick submits it, if budget and limits allow. The evidence is
        asked first: a video that is in the store is owned and free, whatever the ledger knows.

        Args:
            partition: the prompt's id.
            prompt: what is wanted; one take.
            version: what the takes of the prompt have in common; empty for one of its own.
            present: the ids of all prompts. A video whose id is no longer among them is taken over
                by a prompt that asks for the same: its id was changed.
            limit_usd: the most that the video may cost, all tries together; `None` leaves it to
                the budget.

        Raises:
            StoreError: the store cannot say whether it has the video.
        """
        request = build_request(
            self.context, partition, prompt, version=version, limit_usd=limit_usd
        )
        ledger = self.context.ledger
        self._hold_collection()
        # A process that died may have left it open whether another try follows: it is the next one.
        decide_tries(self.context, partition=partition)
        if ledger.find_live(request) is None and restore_owned(self.context, request) is None:
            self._take_over_renamed(request, present)
        placement = ledger.place(
            request,
            cancel_superseded=self.context.policy.superseded == "cancel",
            needs_approval=self.context.needs_approval,
        )
        if placement.order.is_owned and not is_in_store(self.context, placement.order):
            ledger.fetch_again(placement.order)
            found = ledger.get(placement.order.id)
            return replace(placement, order=found, outcome="taken_up")
        return placement

    def place_new(self, prompts: Iterable[Prompt]) -> dict[str, Placement]:
        """Order the videos of prompts that the ledger knows nothing of; see `place_new`."""
        self._hold_collection()
        return place_new(self.context, prompts)

    def place_takes(
        self, partition: str, prompt: Prompt, *, present: Container[str] | None = None
    ) -> list[Placement]:
        """Order every take of a prompt, or find the orders that it has already.

        What one take cannot have is left out if others can, such as one that was billed and
        brought nothing.

        Args:
            partition: the prompt's id.
            prompt: what is wanted.
            present: the ids of all prompts; see `place`.

        Raises:
            StoreError: the store cannot say whether it has the videos.
        """
        takes = prompt.list_takes()
        placed: dict[int, Placement] = {}
        for take in takes:
            placement = self.place(partition, take, version=prompt.fingerprint, present=present)
            placed.setdefault(placement.order.id, placement)
        if len(takes) == 1:
            return list(placed.values())
        # A later take may have taken the place of an earlier one, which had failed.
        orders = self.context.ledger.list_orders(ids=list(placed))
        standing = [
            replace(placed[order.id], order=order)
            for order in orders
            if order.superseded_by is None
        ]
        possible = [placement for placement in standing if placement.outcome != "billed_failure"]
        return possible or standing or list(placed.values())

    def _take_over_renamed(self, request: OrderRequest, present: Container[str] | None) -> None:
        owned = self.context.ledger.find_owned(request.collection, request.fingerprint)
        if owned is not None and present is not None and owned.partition not in present:
            self.context.ledger.rename(owned, request.partition)

    def tick(
        self,
        deadline: float,
        *,
        hurry: bool = False,
        only: Collection[int] | None = None,
        deliver: Callable[[], bool] | None = None,
        collects: bool = True,
    ) -> TickReport:
        """Move every order that is due on, side by side, while there is something to do.

        Args:
            deadline: by the monotonic clock, when to start and to wait for nothing more. Requests
                and downloads that are under way then go on in the background and are noted when
                they end.
            hurry: look at tasks now, because something hinted that there is news.
            only: submit no orders but these, by id.
            deliver: reports some of the videos that are stored, and returns whether there were any.
            collects: fetch the files of finished tasks; False leaves them to `collect`.
        """
        if hurry:
            self._is_hinted.set()
        thread = threading.get_ident()
        self._ticking.add(thread)
        try:
            return self._tick(deadline, only=only, deliver=deliver, collects=collects)
        finally:
            self._ticking.discard(thread)
            self._follower.nudge()  # there may be tasks to follow now

    def _tick(
        self,
        deadline: float,
        *,
        only: Collection[int] | None,
        deliver: Callable[[], bool] | None,
        collects: bool,
    ) -> TickReport:
        report = TickReport()
        self._take_up_settings()
        collections = self._hold_collection()
        report.notices += [
            f"Collection {orphan} has orders under way and no sensor; they are followed here."
            for orphan in collections[1:]
        ]
        report.notices += note_kept_answers(self.context, self._answers)
        if not self._account_is_known:
            self._use(learn_account(self.context))
        self.context.gate.take_over(self.context.collection)
        self._recover(collections, deadline)
        self._purchases.renew_quotes(report, deadline, only=only)
        sources = collections if collects else ()
        self._work(sources, report, deadline, deliver=deliver)
        report.notices += decide_tries(self.context)
        report.takes = self.context.ledger.set_aside_superseded(self.context.collection)
        for pool in self._pools:
            report.notices += pool.take_notices()
        return report

    def collect(
        self, limit: int, *, run_id: str, heartbeat_seconds: float
    ) -> Generator[list[str], None, None]:
        """Fetch the files of finished orders for a run that reports them; see `collect_batch`."""
        return collect_batch(
            self._steps,
            self._downloads,
            self._hold_collection(),
            limit=limit,
            run_id=run_id,
            heartbeat_seconds=heartbeat_seconds,
        )

    def count_uncollected(self, limit: int) -> int:
        """Return how many orders `collect` would find now; of very many, `limit`."""
        return self.ledger.count_unwaited(self._collections, UNCOLLECTED, limit=limit)

    def list_collecting_runs(self) -> set[str]:
        """Return the ids of runs that show signs of life as they collect or report."""
        return self.ledger.list_waiting_runs(self._collections, (*UNCOLLECTED, "stored"))

    def rebuild(
        self, prompts: Mapping[str, Prompt], find_events: Callable[[], EventLog] = EventLog
    ) -> str | None:
        """Fill a ledger that is behind its witnesses from the evidence, if that is unambiguous.

        Args:
            prompts: what is wanted now, by partition.
            find_events: reads Dagster's event log.

        Returns:
            A notice; `None` if it is not time for another try.
        """
        now = self.context.now()
        if self._rebuilt_at is not None and 0 <= now - self._rebuilt_at < _REBUILD_SECONDS:
            return None
        self._rebuilt_at = now
        requests = [
            build_request(self.context, key, take, version=prompt.fingerprint)
            for key, prompt in prompts.items()
            for take in prompt.list_takes()
        ]
        try:
            found = rebuild(self.context, requests, events=find_events())
        except (ApiError, StoreError) as error:
            return f"The ledger could not be rebuilt yet: {error}"
        doubts = "; ".join(found.doubts)
        return (
            f"The ledger was filled from the evidence: {len(found.owned)} videos in the store, "
            f"{len(found.followed)} tasks at Wiro."
            + (f" It does not buy yet: {doubts}." if doubts else "")
        )

    def find_problem(self) -> AccountProblem | None:
        """Return why nothing can be submitted until the user acts; `None` if all is well."""
        return self.context.gate.find_problem()

    @property
    def ledger(self) -> Ledger:
        """The ledger of its orders."""
        return self.context.ledger

    @property
    def orphans(self) -> list[str]:
        """Collections of the project without a working sensor, whose orders are cared for here."""
        return self._collections[1:]

    def list_standing(self) -> list[Order]:
        """Return orders that stood still for too long, those of orphaned collections included."""
        return list_standing(self.context, self._collections)

    # ---- steps ----

    @property
    def _pools(self) -> tuple[WorkerPool, ...]:
        return self._requests, self._downloads, self._sweeps, self._deliveries

    def _use(self, context: OrderContext | None) -> None:
        """Go on with the name of the account, if it is known now."""
        if context is not None:
            self.context = self._steps.context = context
            self._account_is_known = True
            self._watch = None

    def _take_up_settings(self) -> None:
        """Apply settings that may be new to what is under way, at the first tick.

        What could not be fetched by the old ones is tried at once, and what was ordered without
        approval is proposed if it is asked for now.
        """
        if self._has_ticked:
            return
        self._has_ticked = True
        self.ledger.retry_collecting(self.context.collection)
        if self.context.needs_approval:
            self.ledger.propose_unapproved(self.context.collection)

    def _has_time(self, deadline: float) -> bool:
        return self._monotonic() < deadline

    def _hold_collection(self) -> list[str]:
        """Return the collections to care for: our own, and those without a working sensor.

        Raises:
            ConfigurationError: another project works for our collection.
        """
        context, now = self.context, self.context.now()
        if self._held_at is None or not 0 <= now - self._held_at < _HOLD_SECONDS:
            project = context.store.uri_for("video")
            account = context.account
            context.ledger.hold_collection(context.collection, project=project, account=account)
            orphans = context.ledger.list_orphaned(
                context.collection, project=project, account=account
            )
            self._collections = [context.collection, *orphans]
            self._held_at = now
        return self._collections

    def _recover(self, collections: Sequence[str], deadline: float) -> None:
        if not self.context.gate.may_read():
            return
        claimed = self._steps.claim(collections, ("submitting", "unknown"), _RECOVER_BATCH)
        if claimed:
            step = partial(recover_orders, self.context, claimed)
            self._wait([self._steps.start(self._requests, claimed, step)], deadline)

    def _work(
        self,
        collections: Sequence[str],
        report: TickReport,
        deadline: float,
        *,
        deliver: Callable[[], bool] | None,
    ) -> None:
        """Submit, sweep, download and deliver side by side until nothing is left to do now."""
        ended_at = delivered_at = self._monotonic()
        while self._has_time(deadline):
            # Each of these starts what it can, and returns whether it may start more.
            may_go_on = [
                self._submit(report),
                self._sweep(report, deadline),
                self._download(collections, report),
            ]
            under_way = {step for pool in self._pools for step in pool.list_unfinished()}
            now = self._monotonic()
            if not under_way and not any(may_go_on):
                if deliver is None or not deliver():
                    return
                continue
            if deliver is not None and self._deliveries.free and now - delivered_at >= 1.0:
                delivered_at = now
                under_way.add(self._deliveries.start(partial(_deliver, deliver)))
            look_around_at = min(deadline, now + _LOOK_AROUND_SECONDS)
            if self._wait(under_way, look_around_at, return_when=FIRST_COMPLETED):
                ended_at = self._monotonic()
            elif now - ended_at > _LINGER_SECONDS and self._is_idle_but_for_downloads():
                return  # slow downloads go on without us

    def _is_idle_but_for_downloads(self) -> bool:
        others = (pool for pool in self._pools if pool is not self._downloads)
        return not any(pool.list_unfinished() for pool in others)

    def _submit(self, report: TickReport) -> bool:
        if not self._account_is_known:
            report.closed_reason = "Wiro could not say yet to which account the key belongs."
            return False
        return self._purchases.start(report)

    def _look_between_ticks(self) -> bool:
        """Start the looks and downloads that are due. Return whether any are under way.

        A tick that is at work does so itself.
        """
        if self._ticking:
            return False
        report = TickReport()
        self._sweep(report, self._monotonic() + _FOLLOW_SECONDS)
        self._download(self._collections if self._collects else (), report)
        return any(pool.list_unfinished() for pool in self._pools)

    def _sweep(self, report: TickReport, deadline: float) -> bool:
        if self._watch is None:
            self._watch = Watch(self.context)
        watch = self._watch
        if not self._sweeps.free or not watch.is_due(hurry=self._is_hinted.is_set()):
            return False
        self._is_hinted.clear()

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
        free, now = self._downloads.free, self._monotonic()
        # Several are claimed at once, as a claim costs much the same for any number of orders; but
        # slow downloads must not keep others waiting.
        is_soon = now - self._claimed_at < _LOOK_AROUND_SECONDS
        if free == 0 or (is_soon and 2 * free < self._downloads.size):
            return False
        self._claimed_at = now
        claimed = self._steps.claim(collections, ["finished"], free, oldest_task_first=True)
        report.collected += len(claimed)
        for order in claimed:
            step = partial(collect_order, self.context, self._leases, order)
            self._steps.start(self._downloads, [order], partial(notices_of, step))
        return bool(claimed)

    def _wait(
        self, steps: Collection[Future[None]], deadline: float, *, return_when: str = ALL_COMPLETED
    ) -> bool:
        """Wait for steps until the deadline. Return whether any of them has ended.

        Raises:
            LedgerError: a step could not use the ledger.
        """
        done, _ = wait(steps, timeout=self._seconds_until(deadline), return_when=return_when)
        failures = [failure for pool in self._pools for failure in pool.take_failures()]
        if failures:
            raise failures[0]
        return bool(done)

    def _seconds_until(self, deadline: float) -> float:
        return min(max(0.0, deadline - self._monotonic()), threading.TIMEOUT_MAX)


def _deliver(deliver: Callable[[], bool]) -> list[str]:
    deliver()
    return []
