"""The order desk: places orders, and at each tick moves all that is due one step on.

It does not matter what calls `tick`: the sensor, a waiting run, or the CLI. Each step is claimed in
the ledger, so any number of callers share the work and none repeats another's.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

from wiro_dagster.errors import ApiError, LedgerError, StoreError
from wiro_dagster.ledger import AccountProblem, Order, OrderRequest, OrderState, Placement
from wiro_dagster.orders.answers import AnswerSpool
from wiro_dagster.orders.collect import collect_order, is_in_store
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.evidence import rebuild, restore_owned
from wiro_dagster.orders.lease import LeaseKeeper
from wiro_dagster.orders.permission import (
    Permission,
    learn_account,
    record_purchase,
    use_known_account,
)
from wiro_dagster.orders.recover import recover_orders
from wiro_dagster.orders.requests import build_request
from wiro_dagster.orders.retries import decide_tries
from wiro_dagster.orders.standing import list_standing
from wiro_dagster.orders.submit import note_kept_answers, quote_order, submit_order
from wiro_dagster.orders.watch import Watch
from wiro_dagster.orders.worker_pool import WorkerPool
from wiro_dagster.prompts import Prompt

_RECOVER_BATCH = 200
_QUOTE_BATCH = 50
_QUOTE_SECONDS = 60.0
_DOWNLOADS = 4
_LINGER_SECONDS = 5.0
"""How long a tick waits for a download to end before it leaves it to the background."""

_HOLD_SECONDS = 30.0
"""How often a desk notes that it works for its collection."""

_REBUILD_SECONDS = 300.0
"""How often a ledger that is behind its witnesses tries to catch up without the user."""

_KEY_HASH = re.compile(r"[0-9a-f]{16}")


@dataclass
class TickReport:
    """What one tick did.

    Args:
        submitted: orders sent to Wiro.
        polled: tasks looked at.
        collected: orders whose files were fetched, or were being fetched when the tick ended.
        held: orders that the budget held back.
        closed_reason: why the account submits nothing now, `None` if it does.
        notices: one line each, for the tick's log.
    """

    submitted: int = 0
    polled: int = 0
    collected: int = 0
    held: int = 0
    closed_reason: str | None = None
    notices: list[str] = field(default_factory=list)


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
        self._leases = LeaseKeeper(context.ledger, context.policy.timing.lease_seconds)
        self._answers = AnswerSpool(context.answers_folder)
        self._watch: Watch | None = None
        self._account_is_known = not _KEY_HASH.fullmatch(context.account)
        self._permission = Permission()
        self._held_at: float | None = None
        self._rebuilt_at: float | None = None
        self._collections = [context.collection]
        known = use_known_account(context)
        if known is not None:
            self._use(known)
        # The settings may be new: what could not be fetched by the old ones is tried at once, and
        # what was ordered without approval is proposed if it is asked for now.
        context.ledger.retry_collecting(context.collection)
        if context.needs_approval:
            context.ledger.propose_unapproved(context.collection)

    def release_watch(self) -> None:
        """Leave the account's tasks to another desk at once, instead of after a while."""
        if self._watch is not None:
            self._watch.release()

    def close(self) -> None:
        """Let requests that are under way end, and start no more."""
        self._requests.close()
        self._downloads.close()
        self._leases.close()

    def place(
        self,
        partition: str,
        prompt: Prompt,
        *,
        present: Container[str] | None = None,
        limit_usd: Decimal | None = None,
    ) -> Placement:
        """Order the video of a prompt, or find the order that it has already.

        Nothing is sent here: the next tick submits it, if budget and limits allow. The evidence is
        asked first: a video that is in the store is owned and free, whatever the ledger knows.

        Args:
            partition: the prompt's id.
            prompt: what is wanted.
            present: the ids of all prompts. A video whose id is no longer among them is taken over
                by a prompt that asks for the same: its id was changed.
            limit_usd: the most that the video may cost, all tries together; `None` leaves it to
                the budget.

        Raises:
            StoreError: the store cannot say whether it has the video.
        """
        request = build_request(self.context, partition, prompt, limit_usd=limit_usd)
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

    def _take_over_renamed(self, request: OrderRequest, present: Container[str] | None) -> None:
        owned = self.context.ledger.find_owned(request.collection, request.fingerprint)
        if owned is not None and present is not None and owned.partition not in present:
            self.context.ledger.rename(owned, request.partition)

    def tick(
        self, deadline: float, *, hurry: bool = False, only: Collection[int] | None = None
    ) -> TickReport:
        """Move every order that is due one step on, while there is time.

        Args:
            deadline: by the monotonic clock, when to start and to wait for nothing more. Requests
                and downloads that are under way then go on in the background and are noted when
                they end.
            hurry: look at tasks now, because something hinted that there is news.
            only: submit no orders but these, by id.
        """
        report = TickReport()
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
        self._submit(report, deadline, only)
        self._follow(report, deadline, hurry=hurry)
        report.notices += decide_tries(self.context)
        self._collect(collections, report, deadline)
        self.context.ledger.set_aside_superseded(self.context.collection)
        report.notices += self._requests.take_notices() + self._downloads.take_notices()
        return report

    def rebuild(self, prompts: Mapping[str, Prompt]) -> str | None:
        """Fill a ledger that is behind its witnesses from the evidence, if that is unambiguous.

        Args:
            prompts: what is wanted now, by partition.

        Returns:
            A notice; `None` if it is not time for another try.
        """
        now = self.context.now()
        if self._rebuilt_at is not None and 0 <= now - self._rebuilt_at < _REBUILD_SECONDS:
            return None
        self._rebuilt_at = now
        requests = [build_request(self.context, key, prompt) for key, prompt in prompts.items()]
        try:
            found = rebuild(self.context, requests)
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
    def orphans(self) -> list[str]:
        """Collections of the project without a working sensor, whose orders are cared for here."""
        return self._collections[1:]

    def list_standing(self) -> list[Order]:
        """Return orders that stood still for too long, those of orphaned collections included."""
        return list_standing(self.context, self._collections)

    # ---- steps ----

    def _use(self, context: OrderContext | None) -> None:
        """Go on with the name of the account, if it is known now."""
        if context is not None:
            self.context = context
            self._account_is_known = True
            self._watch = None

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

    def _claim(
        self, collections: Sequence[str], states: Collection[OrderState], limit: int, **options: Any
    ) -> list[Order]:
        claimed: list[Order] = []
        for collection in collections:
            if len(claimed) < limit:
                claimed += self.context.ledger.claim(
                    collection,
                    states,
                    limit=limit - len(claimed),
                    lease_seconds=self.context.policy.timing.lease_seconds,
                    **options,
                )
        self._leases.hold(claimed)
        return claimed

    def _recover(self, collections: Sequence[str], deadline: float) -> None:
        if not self.context.gate.may_read():
            return
        claimed = self._claim(collections, ("submitting", "unknown"), _RECOVER_BATCH)
        if claimed:
            step = partial(self._take_step, claimed, partial(recover_orders, self.context, claimed))
            self._finish([self._requests.start(step)], deadline)

    def _submit(self, report: TickReport, deadline: float, only: Collection[int] | None) -> None:
        if not self._account_is_known:
            report.closed_reason = "Wiro could not say yet to which account the key belongs."
            return
        self._quote(report, deadline)
        while self._has_time(deadline):
            # No more than can be sent at once: what waits for a thread waits in the ledger.
            free = self._requests.free
            if free == 0:
                return
            report.closed_reason = self._permission.find_objection(self.context)
            if report.closed_reason is not None:
                return
            admission = self.context.gate.admit(
                self.context.collection,
                self.context.limits,
                limit=free,
                lease_seconds=self.context.policy.timing.lease_seconds,
                quoted_after=self._oldest_quote(),
                only=only,
                needs_approval=self.context.needs_approval,
            )
            self._leases.hold(admission.orders)
            report.held += admission.held
            report.closed_reason = admission.closed_reason
            if not admission.orders and not admission.held:
                return
            objection = record_purchase(self.context, admission.orders)
            if objection is not None:
                report.closed_reason = objection
                for order in admission.orders:
                    self._leases.release(order)
                return
            report.submitted += len(admission.orders)
            self._finish([self._start_submission(order) for order in admission.orders], deadline)

    def _start_submission(self, order: Order) -> Future[None]:
        step = partial(submit_order, self.context, self._leases, self._answers, order)
        return self._start(self._requests, step, order)

    def _oldest_quote(self) -> float:
        # A quote that was renewed in this tick is always young enough.
        age = max(self.context.policy.model_max_age_seconds, _QUOTE_SECONDS)
        return self.context.now() - age

    def _quote(self, report: TickReport, deadline: float) -> None:
        ledger, oldest = self.context.ledger, self._oldest_quote()
        for order in ledger.list_unquoted(
            self.context.collection, limit=_QUOTE_BATCH, quoted_before=oldest
        ):
            # Prices are of no use while nothing can be submitted anyway.
            if not (self._has_time(deadline) and self.context.gate.may_submit()):
                return
            try:
                quote_order(self.context, order)
            except LedgerError:
                raise
            except Exception as error:  # one model's odd price must not stop the others
                report.notices.append(
                    f"{order.name} cannot be priced: {type(error).__name__}: {error}"
                )

    def _follow(self, report: TickReport, deadline: float, *, hurry: bool) -> None:
        if self._watch is None:
            self._watch = Watch(self.context)
        if self._has_time(deadline):
            swept = self._watch.sweep(partial(self._run_all, deadline=deadline), hurry=hurry)
            report.polled += swept.looked
            report.notices += swept.notices

    def _run_all(self, steps: Sequence[Callable[[], list[str]]], *, deadline: float) -> None:
        """Run looks side by side. What goes wrong with one must not stop the others."""
        self._finish([self._requests.start(partial(_run_safely, step)) for step in steps], deadline)

    def _collect(self, collections: Sequence[str], report: TickReport, deadline: float) -> None:
        while self._has_time(deadline):
            free = self._downloads.free
            if free > 0:
                claimed = self._claim(collections, ["finished"], free, oldest_task_first=True)
                report.collected += len(claimed)
                for order in claimed:
                    step = partial(collect_order, self.context, self._leases, order)
                    self._start(self._downloads, step, order)
            under_way = self._downloads.list_unfinished()
            if not under_way:
                return
            linger = min(deadline, self._monotonic() + _LINGER_SECONDS)
            if not self._finish(under_way, linger, return_when=FIRST_COMPLETED):
                return  # slow downloads go on without us

    def _start(
        self, pool: WorkerPool, step: Callable[[], str | None], order: Order
    ) -> Future[None]:
        def take() -> list[str]:
            notice = step()
            return [] if notice is None else [notice]

        return pool.start(partial(self._take_step, [order], take))

    def _take_step(self, orders: Sequence[Order], step: Callable[[], list[str]]) -> list[str]:
        """Take one step of claimed orders. What goes wrong with one must not stop the others."""
        try:
            return step()
        except LedgerError:
            raise  # the claims end with their leases
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            for order in orders:
                self._postpone(order, f"Stopped unexpectedly: {reason}")
            names = ", ".join(order.name for order in orders)
            return [f"{names}: stopped unexpectedly and tried again later: {reason}"]
        finally:
            for order in orders:
                self._leases.release(order)

    def _postpone(self, order: Order, reason: str) -> None:
        # A submission may have got through: it is left to its lease, and then looked up.
        if order.state == "finished":
            self.context.ledger.apply(
                order,
                "postpone",
                attempts=order.attempts + 1,
                hold=reason,
                due_at=self.context.retry_at(order),
            )

    def _finish(
        self,
        steps: Collection[Future[None]],
        deadline: float,
        *,
        return_when: str = ALL_COMPLETED,
    ) -> bool:
        """Wait for steps until the deadline. Return whether any of them has ended."""
        left = min(max(0.0, deadline - self._monotonic()), threading.TIMEOUT_MAX)
        done, _ = wait(steps, timeout=left, return_when=return_when)
        for step in done:
            step.result()  # raises if the ledger cannot be used
        return bool(done)


def _run_safely(step: Callable[[], list[str]]) -> list[str]:
    try:
        return step()
    except LedgerError:
        raise
    except Exception as error:  # one task's odd answer must not stop the others
        return [f"A task could not be looked at: {type(error).__name__}: {error}"]
