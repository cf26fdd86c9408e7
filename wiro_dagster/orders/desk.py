"""The order desk: places orders, and at each tick advances every order that is due by one step.

It does not matter what calls `tick`: the sensor, a waiting run, or the CLI. Each step is claimed in
the ledger, so any number of callers share the work and none repeats another's.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Container, Generator, Iterable, Mapping
from decimal import Decimal

from wiro_dagster.errors import ApiError, StoreError
from wiro_dagster.ledger import AccountProblem, Ledger, Order, Placement
from wiro_dagster.orders.answers import AnswerSpool
from wiro_dagster.orders.batch import UNCOLLECTED, collect_batch
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.evidence import EventLog, rebuild
from wiro_dagster.orders.follower import Follower
from wiro_dagster.orders.held import HeldCollections
from wiro_dagster.orders.lease import LeaseKeeper
from wiro_dagster.orders.permission import learn_account, use_known_account
from wiro_dagster.orders.place import place_new, place_one, place_takes
from wiro_dagster.orders.recent import is_recent
from wiro_dagster.orders.requests import build_request
from wiro_dagster.orders.retries import decide_tries
from wiro_dagster.orders.standing import list_standing
from wiro_dagster.orders.steps import Steps
from wiro_dagster.orders.submit import note_kept_answers
from wiro_dagster.orders.tick_report import TickReport
from wiro_dagster.orders.work import Work
from wiro_dagster.orders.worker_pool import Ends, WorkerPool
from wiro_dagster.prompts import Prompt

_REBUILD_SECONDS = 300.0
"""How often a ledger that is behind its witnesses tries to catch up automatically."""

_KEY_HASH = re.compile(r"[0-9a-f]{16}")


class OrderDesk:
    """Places and moves the orders of one collection. Thread-safe; keep one for a process.

    Args:
        context: ledger, client, store and rules of the collection.
        monotonic: gives seconds for deadlines.
        open_pool: opens a pool of threads, given its size, their name, and what counts the steps
            that end.
    """

    def __init__(
        self,
        context: OrderContext,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        open_pool: Callable[[int, str, Ends], WorkerPool] = WorkerPool,
    ) -> None:
        self._leases = LeaseKeeper(context.ledger, context.policy.timing.lease_seconds)
        self._answers = AnswerSpool(context.answers_folder)
        self._steps = Steps(context, self._leases)
        self._work = Work(self._steps, self._answers, monotonic, open_pool)
        self._held = HeldCollections(context.collection)
        self._monotonic = monotonic
        self._account_is_known = not _KEY_HASH.fullmatch(context.account)
        self._has_ticked = False
        self._rebuilt_at: float | None = None
        self._collects = True
        self._deliver: Callable[[], int] | None = None
        self._ticking: set[int] = set()
        self._follower = Follower(
            context.hints,
            lambda: self.context,
            self._look_between_ticks,
            self._work.is_hinted,
            monotonic,
        )
        known = use_known_account(context)
        if known is not None:
            self._use(known)

    @property
    def context(self) -> OrderContext:
        """Ledger, client, store and rules of the collection, and its account as known now."""
        return self._steps.context

    def hold(self) -> None:
        """Note that the desk works for its collection, as a tick does too.

        Raises:
            ConfigurationError: another project works for the collection.
        """
        self._held.hold(self.context)

    def release_watch(self) -> None:
        """Leave the account's tasks to another desk at once, instead of after a while."""
        self._work.release_watch()

    def stay_awake(
        self, seconds: float, *, collects: bool = True, buying_seconds: float = 0.0
    ) -> None:
        """Follow tasks for this long, also between ticks.

        Args:
            seconds: from now.
            collects: fetch the files of finished tasks; False leaves them to `collect`.
            buying_seconds: how long orders that are placed between ticks are sent at once.
        """
        self._collects = collects
        self._follower.stay_awake(seconds, buying_seconds=buying_seconds)

    def deliver_between_ticks(self, deliver: Callable[[], int] | None) -> None:
        """Report videos between ticks as well, for as long as tasks are followed.

        Args:
            deliver: reports some of the videos that are stored, and returns how many; `None`
                leaves them to ticks.
        """
        self._deliver = deliver

    def close(self) -> None:
        """Wait for requests that are under way, and start no new ones."""
        self._follower.close()
        self._work.close()
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
        """Order the video of a prompt, or return the order that it already has.

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
        self._held.hold(self.context)
        return place_one(self.context, request, present=present)

    def place_new(self, prompts: Iterable[Prompt]) -> dict[str, Placement]:
        """Order the videos of prompts that the ledger knows nothing of; see `place_new`."""
        self._held.hold(self.context)
        return place_new(self.context, prompts)

    def place_takes(
        self, partition: str, prompt: Prompt, *, present: Container[str] | None = None
    ) -> list[Placement]:
        """Order every take of a prompt, or return the orders that it already has.

        A take that cannot be ordered, such as one that was billed and brought nothing, is left
        out if other takes can.

        Args:
            partition: the prompt's id.
            prompt: what is wanted.
            present: the ids of all prompts; see `place`.

        Raises:
            StoreError: the store cannot say whether it has the videos.
        """
        self._held.hold(self.context)
        return place_takes(self.context, partition, prompt, present=present)

    def tick(
        self,
        deadline: float,
        *,
        hurry: bool = False,
        only: Collection[int] | None = None,
        deliver: Callable[[], int] | None = None,
        collects: bool = True,
        stay_seconds: float = 0.0,
    ) -> TickReport:
        """Advance every order that is due, side by side, until nothing is left to do.

        Args:
            deadline: by the monotonic clock; after it, nothing new is started or waited for.
                Requests and downloads that are under way then continue in the background and are
                noted when they end.
            hurry: look at tasks now, because something hinted that there is news.
            only: submit no orders but these, by id.
            deliver: reports some of the videos that are stored, and returns how many.
            collects: fetch the files of finished tasks; False leaves them to `collect`.
            stay_seconds: how long to wait, from now, for looks that fall due in that time.
        """
        if hurry:
            self._work.is_hinted.set()
        thread = threading.get_ident()
        self._ticking.add(thread)
        try:
            return self._tick(
                deadline, only=only, deliver=deliver, collects=collects, stay_seconds=stay_seconds
            )
        finally:
            self._ticking.discard(thread)
            self._follower.nudge()  # there may be tasks to follow now

    def _tick(
        self,
        deadline: float,
        *,
        only: Collection[int] | None,
        deliver: Callable[[], int] | None,
        collects: bool,
        stay_seconds: float,
    ) -> TickReport:
        stay_until = self._monotonic() + stay_seconds
        # The budget's check is evaluated after purchases, so those between ticks are named too.
        report = TickReport(submitted=self._work.take_submitted())
        self._take_up_settings()
        collections = self._held.hold(self.context)
        report.notices += [
            f"Collection {orphan} has orders under way and no sensor; they are followed here."
            for orphan in collections[1:]
        ]
        report.notices += note_kept_answers(self.context, self._answers)
        if not self._account_is_known:
            self._use(learn_account(self.context))
        if not self._account_is_known:
            report.closed_reason = "Wiro has not said yet which account the key belongs to."
        self.context.gate.take_over(self.context.collection)
        self._work.recover(collections, deadline)
        self._work.purchases.renew_quotes(report, deadline, only=only)
        self._work.run(
            collections if collects else (),
            report,
            deadline,
            submits=self._account_is_known,
            deliver=deliver,
            stay_until=stay_until,
        )
        report.notices += decide_tries(self.context)
        report.takes = self.context.ledger.set_aside_superseded(self.context.collection)
        report.notices += self._work.take_notices()
        return report

    def collect(
        self, limit: int, *, run_id: str, heartbeat_seconds: float
    ) -> Generator[list[str], None, None]:
        """Fetch the files of finished orders for a run that reports them; see `collect_batch`."""
        return collect_batch(
            self._steps,
            self._work.downloads,
            self._held.hold(self.context),
            limit=limit,
            run_id=run_id,
            heartbeat_seconds=heartbeat_seconds,
        )

    def count_uncollected(self, limit: int) -> int:
        """Return how many orders `collect` would find now; of very many, `limit`."""
        return self.ledger.count_unwaited(self._held.names, UNCOLLECTED, limit=limit)

    def list_collecting_runs(self) -> set[str]:
        """Return the ids of runs that show signs of life as they collect or report."""
        return self.ledger.list_waiting_runs(self._held.names, (*UNCOLLECTED, "stored"))

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
        if is_recent(self._rebuilt_at, now, _REBUILD_SECONDS):
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
        return found.describe()

    def find_problem(self) -> AccountProblem | None:
        """Return why nothing can be submitted until the user acts; `None` if all is well."""
        return self.context.gate.find_problem()

    @property
    def ledger(self) -> Ledger:
        """The ledger of its orders."""
        return self.context.ledger

    @property
    def orphans(self) -> list[str]:
        """Collections of the project without a working sensor, whose orders are handled here."""
        return self._held.names[1:]

    def list_standing(self) -> list[Order]:
        """Return orders that stood still for too long, those of orphaned collections included."""
        return list_standing(self.context, self._held.names)

    def _use(self, context: OrderContext | None) -> None:
        """Use the name of the account from now on, if it is known."""
        if context is not None:
            self._steps.context = context
            self._account_is_known = True
            self._work.forget_watch()

    def _take_up_settings(self) -> None:
        """Apply settings that may have changed to what is under way, at the first tick.

        Files that could not be fetched with the old settings are tried at once, and orders placed
        without approval are proposed if approval is required now.
        """
        if self._has_ticked:
            return
        self._has_ticked = True
        self.ledger.retry_collecting(self.context.collection)
        if self.context.needs_approval:
            self.ledger.propose_unapproved(self.context.collection)

    def _look_between_ticks(self, *, buys: bool) -> bool:
        """Start what is due, and return whether anything is under way; a tick does so itself."""
        if self._ticking:
            return False
        # The first tick applies settings, such as that orders need approval.
        submits = buys and self._has_ticked and self._account_is_known
        collections = self._held.names if self._collects else ()
        return self._work.look(collections, submits=submits, deliver=self._deliver)
