"""The order desk: places orders, and moves all that is due one step on at each tick.

Who calls `tick` does not matter: the sensor, a waiting run, the CLI or the webhook receiver. Each
step is claimed in the ledger, so any number of callers share the work and none repeats another's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from wiro_dagster.errors import ApiError, MediaError, StoreError
from wiro_dagster.ledger import Order, OrderRequest, OrderState, Placement
from wiro_dagster.media import preview_markdown
from wiro_dagster.orders.collect import collect_order, is_in_store
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.lease import LeaseKeeper
from wiro_dagster.orders.poll import poll_order
from wiro_dagster.orders.recover import recover_orders
from wiro_dagster.orders.submit import quote_order, submit_order
from wiro_dagster.orders.worker_pool import Crew
from wiro_dagster.prompts import Prompt, inputs_to_json

_POLL_BATCH = 64
_RECOVER_BATCH = 200
_QUOTE_BATCH = 50
_DOWNLOADS = 4
_LINGER_SECONDS = 5.0
"""How long a tick waits for a download to end before it leaves it to the background."""

_Step = Callable[..., str | None]
"""`submit_order`, `poll_order` or `collect_order`."""


@dataclass
class TickReport:
    """What one tick did, and what a person should know of it.

    Args:
        submitted: orders sent to Wiro.
        polled: tasks looked at.
        collected: orders whose files were fetched, or were being fetched when the tick ended.
        held: orders that the budget held back.
        closed_reason: why the account submits nothing now, `None` where it does.
        notices: one line each.
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
    """

    def __init__(
        self, context: OrderContext, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.context = context
        self._monotonic = monotonic
        self._requests = Crew(context.threads, "wiro-request")
        self._downloads = Crew(_DOWNLOADS, "wiro-download")
        self._leases = LeaseKeeper(context.ledger, context.policy.lease_seconds)

    def close(self) -> None:
        """Lets requests that are under way end, and starts no more."""
        self._requests.close()
        self._downloads.close()
        self._leases.close()

    def place(self, partition: str, prompt: Prompt) -> Placement:
        """Orders the video of a prompt, or finds the order that stands for it already.

        Nothing is sent here: the next tick submits it, if budget and limits allow.

        Raises:
            StoreError: the store cannot tell whether it still has the video.
        """
        inputs = inputs_to_json(prompt.inputs)
        try:
            quote = self.context.quoter(prompt.model_slug, inputs)
            quote_usd, ceiling_usd = quote.amount_usd, quote.ceiling_usd
        except ApiError:
            quote_usd = ceiling_usd = None  # the tick asks again
        placement = self.context.ledger.place(
            OrderRequest(
                collection=self.context.collection,
                partition=partition,
                account=self.context.account,
                model_slug=prompt.model_slug,
                inputs=inputs,
                fingerprint=prompt.fingerprint,
                take=prompt.take,
                prompt_input=prompt.prompt_input,
                quote_usd=quote_usd,
                ceiling_usd=ceiling_usd,
            ),
            cancel_superseded=self.context.policy.superseded == "cancel",
        )
        if placement.order.is_owned and not is_in_store(self.context, placement.order):
            self.context.ledger.fetch_again(placement.order)
            found = self.context.ledger.get(placement.order.id)
            return replace(placement, order=found, outcome="taken_up")
        return placement

    def tick(self, deadline: float) -> TickReport:
        """Moves every order that is due one step on, as far as time allows.

        Args:
            deadline: by the monotonic clock, when to start and to wait for nothing more. Requests
                and downloads that are under way then go on in the background and are noted when
                they end.
        """
        report = TickReport()
        self.context.gate.take_over(self.context.collection)
        self._recover(deadline)
        self._submit(report, deadline)
        self._poll(report, deadline)
        self._collect(report, deadline)
        self.context.ledger.set_aside_superseded(self.context.collection)
        report.notices += self._requests.take_notices() + self._downloads.take_notices()
        return report

    def find_preview(self, order: Order) -> str | None:
        """Markdown that shows an owned video moving, `None` where it has no preview."""
        key = order.files[0].get("preview_key") if order.files else None
        if key is None:
            return None
        try:
            with self.context.store.local_copy(key) as path:
                return preview_markdown(path.read_bytes(), order.partition)
        except (StoreError, MediaError):
            return None

    def find_link(self, order: Order) -> str | None:
        """A URL that plays an owned video, `None` where there is none that lasts.

        Links into a remote store are signed: whoever has one can use it, until it expires. They are
        not for an event log.
        """
        store, key = self.context.store, order.files[0]["key"]
        return store.view_url(key) if store.uri_for(key).startswith("file:") else None

    def _has_time(self, deadline: float) -> bool:
        return self._monotonic() < deadline

    def _claim(self, states: Collection[OrderState], **options: Any) -> list[Order]:
        claimed = self.context.ledger.claim(
            self.context.collection,
            states,
            lease_seconds=self.context.policy.lease_seconds,
            **options,
        )
        self._leases.hold(claimed)
        return claimed

    def _recover(self, deadline: float) -> None:
        if not self.context.gate.may_read():
            return
        claimed = self._claim(("submitting", "unknown"), limit=_RECOVER_BATCH)
        if claimed:
            step = partial(self._take_step, claimed, partial(recover_orders, self.context, claimed))
            self._finish([self._requests.start(step)], deadline)

    def _submit(self, report: TickReport, deadline: float) -> None:
        self._quote(report, deadline)
        while self._has_time(deadline):
            # No more than can be sent at once: what waits for a thread waits in the ledger.
            free = self._requests.free
            if free == 0:
                return
            admission = self.context.gate.admit(
                self.context.collection,
                self.context.limits,
                limit=free,
                lease_seconds=self.context.policy.lease_seconds,
            )
            self._leases.hold(admission.orders)
            report.held += admission.held
            report.closed_reason = admission.closed_reason
            if not admission.orders and not admission.held:
                return
            report.submitted += len(admission.orders)
            self._finish(
                [
                    self._start(self._requests, submit_order, order, self._leases)
                    for order in admission.orders
                ],
                deadline,
            )

    def _quote(self, report: TickReport, deadline: float) -> None:
        for order in self.context.ledger.list_unquoted(self.context.collection, limit=_QUOTE_BATCH):
            # Prices are of no use while nothing can be submitted anyway.
            if not (self._has_time(deadline) and self.context.gate.may_submit()):
                return
            try:
                quote_order(self.context, order)
            except SQLAlchemyError:
                raise
            except Exception as error:  # one model's odd price must not hold up the others
                report.notices.append(
                    f"{order.name} cannot be priced: {type(error).__name__}: {error}"
                )

    def _poll(self, report: TickReport, deadline: float) -> None:
        while self._has_time(deadline) and self.context.gate.may_read():
            claimed = self._claim(["running"], limit=_POLL_BATCH)
            if not claimed:
                return
            report.polled += len(claimed)
            self._finish(
                [self._start(self._requests, poll_order, order) for order in claimed], deadline
            )

    def _collect(self, report: TickReport, deadline: float) -> None:
        while self._has_time(deadline):
            free = self._downloads.free
            if free > 0:
                claimed = self._claim(["finished"], limit=free, oldest_task_first=True)
                report.collected += len(claimed)
                for order in claimed:
                    self._start(self._downloads, collect_order, order, self._leases)
            under_way = self._downloads.list_unfinished()
            if not under_way:
                return
            linger = min(deadline, self._monotonic() + _LINGER_SECONDS)
            if not self._finish(under_way, linger, return_when=FIRST_COMPLETED):
                return  # slow downloads go on without us

    def _start(self, crew: Crew, step: _Step, order: Order, *others: LeaseKeeper) -> Future[None]:
        def take() -> list[str]:
            notice = step(self.context, *others, order)
            return [] if notice is None else [notice]

        return crew.start(partial(self._take_step, [order], take))

    def _take_step(self, orders: Sequence[Order], step: Callable[[], list[str]]) -> list[str]:
        """Takes one step of claimed orders. What is wrong with one must not hold up the others."""
        try:
            return step()
        except SQLAlchemyError:
            raise  # the claims end by themselves
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            for order in orders:
                self._put_off(order, f"Stopped unexpectedly: {reason}")
            names = ", ".join(order.name for order in orders)
            return [f"{names}: stopped unexpectedly and tried again later: {reason}"]
        finally:
            for order in orders:
                self._leases.release(order)

    def _put_off(self, order: Order, reason: str) -> None:
        # A submission may have got through: it is left to its lease, and then looked up.
        if order.state != "submitting":
            self.context.ledger.advance(
                order,
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
        """Waits for steps until the deadline. Whether any of them has ended."""
        left = min(max(0.0, deadline - self._monotonic()), threading.TIMEOUT_MAX)
        done, _ = wait(steps, timeout=left, return_when=return_when)
        for step in done:
            step.result()  # raises where the ledger cannot be used
        return bool(done)
