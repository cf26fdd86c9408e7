"""The order desk: places orders, and moves all that is due one step on at each tick.

Who calls `tick` does not matter: the sensor, a waiting run, the CLI or the webhook receiver. Each
step is claimed in the ledger, so any number of callers share the work and none repeats another's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from dataclasses import dataclass, field, replace

from wiro_dagster.errors import ApiError, MediaError, StoreError
from wiro_dagster.ledger import Order, OrderRequest, Placement
from wiro_dagster.media import preview_markdown
from wiro_dagster.orders.collect import COLLECT_LEASE_SECONDS, collect_order
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.poll import poll_order
from wiro_dagster.orders.recover import recover_orders
from wiro_dagster.orders.submit import quote_order, submit_order
from wiro_dagster.prompts import Prompt, inputs_to_json

_POLL_BATCH = 64
_POLL_LEASE_SECONDS = 180.0
_RECOVER_BATCH = 200
_RECOVER_LEASE_SECONDS = 120.0
_QUOTE_BATCH = 50
_DOWNLOADS = 4
_LINGER_SECONDS = 5.0
"""How long a tick waits for a download to end before it leaves it to the background."""


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
        self._requests = ThreadPoolExecutor(context.threads, thread_name_prefix="wiro-request")
        self._downloads = ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="wiro-download")
        self._collecting: set[Future[str | None]] = set()

    def close(self) -> None:
        """Lets requests that are under way end, and starts no more."""
        self._requests.shutdown()
        self._downloads.shutdown()

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
                quote_usd=quote_usd,
                ceiling_usd=ceiling_usd,
            )
        )
        if placement.order.is_owned and not self._is_in_store(placement.order):
            self.context.ledger.fetch_again(placement.order)
            found = self.context.ledger.get(placement.order.id)
            return replace(placement, order=found, outcome="taken_up")
        return placement

    def _is_in_store(self, order: Order) -> bool:
        sizes = (self.context.store.find_size(file["key"]) for file in order.files)
        return all(
            size == file["size_bytes"] for size, file in zip(sizes, order.files, strict=True)
        )

    def tick(self, deadline: float) -> TickReport:
        """Moves every order that is due one step on, as far as time allows.

        Args:
            deadline: by the monotonic clock, when to start nothing more. Downloads that are under
                way then go on in the background and are noted when they end.
        """
        report = TickReport()
        self._recover(report)
        self._submit(report, deadline)
        self._poll(report, deadline)
        self._collect(report, deadline)
        self.context.ledger.set_aside_superseded(self.context.collection)
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

    def _has_time(self, deadline: float) -> bool:
        return self._monotonic() < deadline

    def _recover(self, report: TickReport) -> None:
        claimed = self.context.ledger.claim(
            self.context.collection,
            ("submitting", "unknown"),
            limit=_RECOVER_BATCH,
            lease_seconds=_RECOVER_LEASE_SECONDS,
        )
        if claimed:
            report.notices += recover_orders(self.context, claimed)

    def _submit(self, report: TickReport, deadline: float) -> None:
        for order in self.context.ledger.list_unquoted(self.context.collection, limit=_QUOTE_BATCH):
            quote_order(self.context, order)
        while self._has_time(deadline):
            admission = self.context.gate.admit(
                self.context.collection,
                self.context.limits,
                limit=self.context.threads,
                lease_seconds=self.context.policy.submit_lease_seconds,
            )
            report.held += admission.held
            report.closed_reason = admission.closed_reason
            if not admission.orders and not admission.held:
                return
            notices = self._requests.map(
                lambda order: submit_order(self.context, order), admission.orders
            )
            report.notices += filter(None, notices)
            report.submitted += len(admission.orders)

    def _poll(self, report: TickReport, deadline: float) -> None:
        while self._has_time(deadline):
            claimed = self.context.ledger.claim(
                self.context.collection,
                ("running",),
                limit=_POLL_BATCH,
                lease_seconds=_POLL_LEASE_SECONDS,
            )
            if not claimed:
                return
            changes = self._requests.map(lambda order: poll_order(self.context, order), claimed)
            self.context.ledger.advance_all(list(zip(claimed, changes, strict=True)))
            report.polled += len(claimed)

    def _collect(self, report: TickReport, deadline: float) -> None:
        while self._has_time(deadline):
            free = _DOWNLOADS - len(self._collecting)
            claimed = self.context.ledger.claim(
                self.context.collection,
                ("finished",),
                limit=free,
                lease_seconds=COLLECT_LEASE_SECONDS,
                oldest_task_first=True,
            )
            report.collected += len(claimed)
            self._collecting |= {
                self._downloads.submit(collect_order, self.context, order) for order in claimed
            }
            if not self._collecting:
                return
            done, _ = wait_for_all(
                self._collecting,
                timeout=min(_LINGER_SECONDS, max(0.0, deadline - self._monotonic())),
                return_when="FIRST_COMPLETED",
            )
            if not done:
                return  # slow downloads go on without us
            self._collecting -= done
            report.notices += filter(None, map(_notice, done))


def _notice(done: Future[str | None]) -> str | None:
    error = done.exception()
    if error is None:
        return done.result()
    # The order's lease ends by itself, and it is tried again.
    return f"Fetching a file stopped unexpectedly: {type(error).__name__}: {error}"
