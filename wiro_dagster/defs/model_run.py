"""One run of one model: ordered, followed to its end, its files handed over. No sensor is needed.

It goes through the same ledger, desk and store as a collection's videos. So asking again for the
same buys nothing, and the next call continues a run whose process died.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NoReturn

from wiro_dagster.defs.metadata import tries_metadata, video_metadata
from wiro_dagster.defs.model_result import ModelResult
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.errors import ApiError, OrderFailed
from wiro_dagster.ledger import Order, Placement
from wiro_dagster.ledger.budget import why_never
from wiro_dagster.orders import OrderDesk
from wiro_dagster.orders.describe import describe_placement, describe_problem, describe_state
from wiro_dagster.orders.showing import find_link, find_preview
from wiro_dagster.orders.verdicts import VideoChecks, judge_order
from wiro_dagster.prompts import Prompt
from wiro_dagster.store import StoredFile

FileKind = Literal["video", "image", "audio", "file"]
"""What a file holds, by its bytes; "file" is anything else, such as text."""


@dataclass
class ModelRun:
    """A run of a model, from the order to its files.

    Args:
        desk: of the collection that the run belongs to.
        prompt: model and inputs, checked; its id is the partition.
        limit_usd: the most that it may cost, all tries together; `None` leaves it to the budget.
        kind: what all of its files must be; `None` takes anything.
        deadline_seconds: the longest that this process waits.
        waiter: names the Dagster run that waits.
        timing: clocks and pauses.
        log: is given one line for each change.
        order_id: of the order that is waited for.
        is_new: whether this call made it.
    """

    desk: OrderDesk
    prompt: Prompt
    limit_usd: Decimal | None = None
    kind: FileKind | None = None
    deadline_seconds: float = 86400.0
    waiter: str = "command"
    timing: WaitTiming = field(default_factory=WaitTiming)
    log: Callable[[str], None] = print
    order_id: int | None = None
    is_new: bool = False
    _logged: str = ""
    _alive_at: float | None = None

    def place(self) -> Placement:
        """Order it, unless it is ordered or owned already. Nothing is sent to Wiro yet.

        Raises:
            OrderFailed: it may not be bought: it costs too much, its price is not known, or it was
                billed before and brought nothing.
        """
        placement = self.desk.place(self.prompt.id, self.prompt, limit_usd=self.limit_usd)
        self.log(describe_placement(placement))
        self.order_id, self.is_new = placement.order.id, placement.outcome == "placed"
        if placement.outcome == "billed_failure":
            self._fail(placement.order, describe_placement(placement))
        if placement.order.state == "ordered":
            self._refuse_if_too_expensive(placement.order)
        return placement

    def finish(self) -> ModelResult:
        """Wait for the files. Every step is this process's own, if no other one takes it.

        Raises:
            OrderFailed: there will be no files, or not by the deadline, or of a different kind.
        """
        if self.order_id is None:
            self.place()
        ledger = self.desk.ledger
        try:
            order = self._follow()
        finally:
            ledger.release_waiter(self.waiter)
            self.desk.release_watch()
        if not order.is_settled:
            self._fail(
                order,
                f"No file after {self.deadline_seconds:g} s. {describe_state(order)} The order "
                "continues; ask for the same again to resume it.",
            )
        ledger.mark_reported([order.id])
        if not order.is_owned:
            self._fail(order, _describe_end(order))
        result = self._build_result(order)
        self._refuse_wrong_kind(order, result)
        for check, problem in result.problems.items():
            self.log(f"{check}: {problem}")
        return result

    def drop(self, reason: str, *, cancel: bool) -> None:
        """Leave the order: drop it if nothing was sent, cancel it at Wiro only if that is wanted.

        Args:
            reason: why.
            cancel: whether a task that runs is stopped. It is paid for, and a later call may
                continue it.
        """
        if self.order_id is None or not self.is_new:
            return
        ledger = self.desk.ledger
        if cancel or ledger.get(self.order_id).state == "ordered":
            ledger.request_stop(self.order_id, state="cancelled", reason=reason)

    def _follow(self) -> Order:
        """Return the order as it has ended, or as it is at the deadline."""
        timing, ledger = self.timing, self.desk.ledger
        deadline = timing.monotonic() + self.deadline_seconds
        while True:
            self._show_alive()
            only = [] if self.order_id is None else [self.order_id]
            report = self.desk.tick(timing.monotonic() + timing.tick_seconds, only=only)
            for notice in report.notices:
                self.log(notice)
            order = self._find_newest_try(ledger.get(only[0]))
            self._log_state(order)
            is_over = order.is_settled and not order.awaits_next_try
            if is_over or timing.monotonic() > deadline:
                return order
            self._rebuild_if_behind()
            timing.sleep(timing.pause_seconds)

    def _find_newest_try(self, order: Order) -> Order:
        while True:
            following = self.desk.ledger.find_next_try(order)
            if following is None:
                self.order_id = order.id
                return order
            order = following

    def _show_alive(self) -> None:
        """Keep a sensor that works for a collection of this name from reporting the order."""
        now, beat = self.timing.monotonic(), self.timing.heartbeat_seconds
        is_time = self._alive_at is None or now > self._alive_at + beat / 3
        if self.order_id is not None and is_time:
            ledger = self.desk.ledger
            ledger.register_waiter([self.order_id], self.waiter, until=ledger.clock() + beat)
            self._alive_at = now

    def _log_state(self, order: Order) -> None:
        problem = self.desk.find_problem()
        state = _describe_end(order) if order.is_settled else describe_state(order)
        if order.state == "ordered" and problem is not None:
            state = describe_problem(problem)
        if state != self._logged:
            self._logged = state
            self.log(f"{order.name}: {state}")

    def _rebuild_if_behind(self) -> None:
        problem = self.desk.find_problem()
        if problem is not None and problem.kind == "ledger":
            notice = self.desk.rebuild({self.prompt.id: self.prompt})
            if notice is not None:
                self.log(notice)

    def _refuse_if_too_expensive(self, order: Order) -> None:
        """Drop an order that could only wait: what one run may cost does not change by waiting."""
        context = self.desk.context
        try:
            quote = context.quoter(order.model_slug, order.inputs)
        except ApiError:
            return  # the tick asks again, and the gate judges
        objection = why_never(
            quote.ceiling_usd,
            context.limits,
            earlier_usd=order.earlier_usd,
            limit_usd=self.limit_usd,
        )
        if objection is not None:
            context.ledger.request_stop(order.id, state="cancelled", reason=objection)
            self._fail(order, f"{order.model_slug} was not ordered: {objection}")

    def _refuse_wrong_kind(self, order: Order, result: ModelResult) -> None:
        wrong = [file for file in result.files if self.kind not in (None, file.media.kind)]
        if wrong:
            made = f"{wrong[0].uri} holds {wrong[0].media.kind}, and {self.kind} was asked for"
            self._fail(order, f"{order.model_slug}: {made}. The file is yours; it was paid for.")

    def _build_result(self, order: Order) -> ModelResult:
        context = self.desk.context
        identity = context.ledger.identity()
        problems = {
            check: problem
            for check, problem in judge_order(order, VideoChecks()).items()
            if problem
        }
        metadata: dict[str, Any] = {
            **video_metadata(
                order, preview=find_preview(context, order), link=find_link(context, order)
            ),
            **tries_metadata(context.ledger.list_tries(order)),
            **({"wiro/problems": problems} if problems else {}),
            "wiro/ledger_id": identity.ledger_id,
            "wiro/ledger_sequence": identity.sequence,
        }
        return ModelResult(
            model=order.model_slug,
            files=tuple(StoredFile.from_json(file) for file in order.files),
            cost_usd=order.cost_usd,
            task_id=str(order.task_id),
            order_id=order.id,
            is_new=self.is_new,
            fingerprint=order.fingerprint,
            problems=problems,
            metadata=metadata,
        )

    def _fail(self, order: Order, reason: str) -> NoReturn:
        tries = self.desk.ledger.list_tries(order)
        costs = [each.cost_usd for each in tries if each.cost_usd is not None]
        raise OrderFailed(reason, order_id=order.id, cost_usd=sum(costs, Decimal(0)))


def _describe_end(order: Order) -> str:
    """Say how an order ended, and what to do in an asset of the user's own or on a terminal."""
    is_free = order.state in ("failed", "cancelled") and not order.is_billed_failure
    if not is_free or order.superseded_by is not None:
        return describe_state(order)
    how = "Failed" if order.state == "failed" else "Cancelled"
    reason = (order.error or "no reason given").rstrip(".")
    return f"{how}: {reason}. Ask for it again to try once more."
