"""Purchases: orders are priced, admitted and sent, as many at once as there are threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial

from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Order
from wiro_dagster.orders.answers import AnswerSpool
from wiro_dagster.orders.permission import Permission, record_purchase
from wiro_dagster.orders.steps import Steps, notices_of
from wiro_dagster.orders.submit import quote_order, submit_order
from wiro_dagster.orders.tick_report import TickReport
from wiro_dagster.orders.worker_pool import Intake, WorkerPool

_QUOTE_BATCH = 50
_QUOTE_SECONDS = 60.0
_AGAIN_SECONDS = 1.0
"""How soon the gate is asked again after it has admitted nothing."""

_GATHER_SECONDS = 0.25
"""How long threads that are free wait for others, so that one admission serves them all."""


class Purchases:
    """Sends the orders of one collection to Wiro.

    Args:
        steps: claims orders and takes their steps.
        requests: the threads that send.
        answers: keeps Wiro's answers that the ledger cannot take.
        monotonic: gives seconds.
    """

    def __init__(
        self,
        steps: Steps,
        requests: WorkerPool,
        answers: AnswerSpool,
        monotonic: Callable[[], float],
    ) -> None:
        self._steps = steps
        self._requests = requests
        self._answers = answers
        self._monotonic = monotonic
        self._permission = Permission()
        self._again_at: float | None = None
        self._intake = Intake(requests, monotonic)
        self._only: Collection[int] | None = None
        self._turn = threading.Lock()

    def renew_quotes(
        self, report: TickReport, deadline: float, *, only: Collection[int] | None
    ) -> None:
        """Price orders whose price is missing or too old, and let the gate be asked at once.

        Args:
            report: of the tick.
            deadline: when to price no more.
            only: send no orders but these, by id.
        """
        self._again_at, self._only = None, only
        context = self._steps.context
        for order in context.ledger.list_unquoted(
            context.collection, limit=_QUOTE_BATCH, quoted_before=self._oldest_quote()
        ):
            # Prices are of no use while nothing can be submitted anyway.
            if not (self._monotonic() < deadline and context.gate.may_submit()):
                return
            try:
                quote_order(context, order)
            except LedgerError:
                raise
            except Exception as error:  # one model's odd price must not stop the others
                report.notices.append(
                    f"{order.name} cannot be priced: {type(error).__name__}: {error}"
                )

    def ask_again(self) -> None:
        """Let the gate be asked at once: orders may have been placed since it admitted nothing."""
        self._again_at = None

    def start(self, report: TickReport) -> bool:
        """Start to send what may be bought now. Return whether there may be more."""
        # A tick may begin while the process looks for orders between two ticks.
        with self._turn:
            return self._start(report)

    def _start(self, report: TickReport) -> bool:
        fitting, size = self._intake.count(), self._requests.size
        # No more than can be sent in a moment: what waits for long waits in the ledger. And no
        # fewer than half the threads take, as an admission costs much the same for any number.
        is_soon = fitting < size and self._intake.seconds_since_claim() < _GATHER_SECONDS
        if is_soon or 2 * fitting < size:
            return True  # all of them may be free a moment later, when nothing else goes on
        if self._again_at is not None and self._monotonic() < self._again_at:
            return False
        self._again_at = None
        self._intake.note_claim()
        if self._admit(report, fitting):
            return True
        self._again_at = self._monotonic() + _AGAIN_SECONDS
        return False

    def _admit(self, report: TickReport, limit: int) -> bool:
        context, leases = self._steps.context, self._steps.leases
        report.closed_reason = self._permission.find_objection(context)
        if report.closed_reason is not None:
            return False
        admission = context.gate.admit(
            context.collection,
            context.limits,
            limit=limit,
            lease_seconds=context.policy.timing.lease_seconds,
            quoted_after=self._oldest_quote(),
            only=self._only,
            needs_approval=context.needs_approval,
        )
        leases.hold(admission.orders)
        report.held += admission.held
        report.closed_reason = admission.closed_reason
        try:
            objection = record_purchase(context, admission.orders)
        except LedgerError:
            self._let_go(admission.orders)
            raise
        if objection is not None:
            report.closed_reason = objection
            for order in admission.orders:
                leases.release(order)
            return False
        for order in admission.orders:
            self._send(order)
        report.submitted += len(admission.orders)
        return bool(admission.orders or admission.held)

    def _let_go(self, orders: Sequence[Order]) -> None:
        """Keep for the ledger, which is away, that nothing was sent, and renew no claim."""
        for order in orders:
            self._answers.keep_unsent(order)
            self._steps.leases.release(order)

    def _send(self, order: Order) -> None:
        steps = self._steps
        send = partial(submit_order, steps.context, steps.leases, self._answers, order)
        steps.start(self._requests, [order], partial(notices_of, send))

    def _oldest_quote(self) -> float:
        # A quote that was renewed in this tick is always young enough.
        age = max(self._steps.context.policy.model_max_age_seconds, _QUOTE_SECONDS)
        return self._steps.context.now() - age
