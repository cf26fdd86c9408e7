"""How a run of `video` waits for its videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dagster as dg

from wiro_dagster.api.progress import ProgressEvent, ProgressFeed
from wiro_dagster.defs.order_checks import orders_check
from wiro_dagster.defs.report import Reporter
from wiro_dagster.defs.video_checks import evaluate_video_checks
from wiro_dagster.ledger import Order, Placement, ProblemKind
from wiro_dagster.orders.describe import describe_problem, describe_state


class VideoWait:
    """Waits for the orders of one run and reports them, so that its backfill counts them.

    The run holds a lease as the orders' waiter. If it dies, the lease expires and the sensor
    delivers the remaining videos.

    Args:
        context: of the run's step.
        reporter: writes the run's events.
        placements: what the run waits for, and whether it ordered it itself.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        reporter: Reporter,
        placements: list[Placement],
    ) -> None:
        self._context = context
        self._reporter = reporter
        self._collection = reporter.collection
        self._timing = reporter.collection.timing
        self._desk = reporter.desk
        self._ledger = reporter.desk.ledger
        self._pending = {placement.order.id for placement in placements}
        # Only what this run itself has ordered is ever cancelled with it.
        self._own = {placed.order.id for placed in placements if placed.outcome == "placed"}
        self._owned_before = {p.order.id for p in placements if p.outcome == "owned"}
        self._logged: dict[int, str] = {}
        self._problem: ProblemKind | None = None
        self._feed = getattr(context.resources, reporter.collection.wiro).open_progress()
        self._delivered: list[Order] = []
        self._alive_at = 0.0
        self._has_ended = False
        self.failures: dict[str, str] = {}

    def deliver_result(self) -> Iterator[dg.MaterializeResult[Any]]:
        """Wait for one order and yield its video as the step's result."""
        for order in self._wait():
            if self._may_report(order):
                yield self._reporter.video_result(order)
            self._note(order)

    def deliver_events(self) -> None:
        """Wait for several orders and log each video as it arrives."""
        for order in self._wait():
            if self._may_report(order):
                self._log_video(order)
            self._note(order)

    def repeat_events(self) -> None:
        """Log the videos again: a result for the whole step has replaced them as the newest."""
        for order in self._delivered:
            self._log_video(order)

    def _may_report(self, order: Order) -> bool:
        """Whether the order is still ours to report: a frozen run may find it reported."""
        until = self._ledger.clock() + self._timing.heartbeat_seconds
        is_new = order.state == "stored" or order.id in self._owned_before
        is_ours = is_new and self._ledger.hold_report(order, self._context.run.run_id, until=until)
        if not is_ours:
            self._context.log.info(f"{order.name}: reported in the meantime.")
        return is_ours

    def _log_video(self, order: Order) -> None:
        for event in self._reporter.build_videos([order]):
            self._context.log_event(event)

    def _note(self, order: Order) -> None:
        self._ledger.mark_reported([order.id])
        self._delivered.append(order)
        # Logging many videos takes long; the sensor must not report the rest in the meantime.
        if self._timing.monotonic() - self._alive_at > self._timing.heartbeat_seconds / 3:
            self._show_alive()

    def _show_alive(self) -> None:
        until = self._ledger.clock() + self._timing.heartbeat_seconds
        self._ledger.register_waiter(self._pending, self._context.run.run_id, until=until)
        self._alive_at = self._timing.monotonic()

    def _wait(self) -> Iterator[Order]:
        """Yield each order once its video is in the store; note failures."""
        deadline = self._timing.monotonic() + self._collection.wait_deadline_seconds
        run_id = self._context.run.run_id
        try:
            while self._pending:
                self._show_alive()
                deadline_of_tick = self._timing.monotonic() + self._timing.tick_seconds
                report = self._desk.tick(deadline_of_tick, hurry=self._has_ended)
                for notice in report.notices:
                    self._context.log.warning(notice)
                for event in self._reporter.build_takes(report.takes):
                    self._context.log_event(event)
                self._log_problem()
                yield from self._settle()
                if self._timing.monotonic() > deadline:
                    self._give_up()
                elif self._pending:
                    self._pause()
        except dg.DagsterExecutionInterruptedError:
            self._cancel_if_asked()
            raise
        finally:
            self._ledger.release_waiter(run_id)
            if self._feed is not None:
                self._feed.close()
        failed = self._ledger.list_failed(self._collection.ledger_name)
        self._context.log_event(orders_check(failed, self._collection.order_key))
        owned = [order.id for order in self._delivered]
        for evaluation in evaluate_video_checks(self._collection, self._ledger, changed=owned):
            self._context.log_event(evaluation)

    def _log_problem(self) -> None:
        """Log once that Wiro refuses the account, and once that it accepts it again."""
        problem = self._desk.find_problem()
        kind = None if problem is None else problem.kind
        if kind == self._problem:
            return
        self._problem = kind
        if problem is None:
            self._context.log.info("Wiro accepts the account's submissions again.")
        else:
            self._context.log.error(describe_problem(problem))

    def _settle(self) -> Iterator[Order]:
        waited = self._ledger.list_orders(ids=self._pending)
        for order in waited:
            if order.id not in self._pending:
                continue  # another take has come
            self._log_state(order)
            following = self._ledger.find_next_try(order)
            if following is not None:
                self._follow_try(order, following)
            elif order.superseded_by is not None:
                self._follow_take(order)
            elif order.state == "proposed":  # its price has risen
                self._fail(order, describe_state(order))
            elif order.is_settled and self._ledger.elect(order).id != order.id:
                continue  # the next look follows the take that represents the partition
            elif order.is_owned:
                # The other takes are the sensor's.
                self._pending -= {one.id for one in waited if one.partition == order.partition}
                yield order
            elif order.is_settled and not order.awaits_next_try:
                for event in self._reporter.build_failures(order):
                    self._context.log_event(event)
                self._ledger.mark_reported([order.id])
                self._fail(order, describe_state(order))

    def _follow_take(self, order: Order) -> None:
        """Wait for the take that represents the partition; fail if the prompt has changed."""
        stands = self._ledger.find_latest(order.collection, order.partition)
        if stands is None or stands.prompt_version != order.prompt_version:
            self._fail(order, f"Superseded by order {order.superseded_by} while it ran.")
        else:
            self._pending.discard(order.id)
            self._pending.add(stands.id)

    def _follow_try(self, failed: Order, following: Order) -> None:
        """Wait for the order that follows a failed one: it is as much ours as that one was."""
        for waited in (self._pending, self._own):
            if failed.id in waited:
                waited.discard(failed.id)
                waited.add(following.id)

    def _fail(self, order: Order, reason: str) -> None:
        self._pending.discard(order.id)
        self.failures[order.partition] = reason

    def _log_state(self, order: Order) -> None:
        progress = describe_state(self._add_progress(order))
        if self._logged.get(order.id) != progress:
            self._logged[order.id] = progress
            self._context.log.info(f"{order.name}: {progress}")

    def _add_progress(self, order: Order) -> Order:
        """Return the order with the newest progress of its task, rounded down to ten per cent."""
        if order.state != "running" or order.task_id is None:
            return order
        status, percent = order.task_status, order.progress_percent
        event = None if self._feed is None else self._follow(self._feed, order.task_id)
        if event is not None:
            # The newest frame may be one without a percentage.
            status = event.status
            percent = percent if event.percentage is None else event.percentage
        steps = None if percent is None else percent // 10 * 10
        return replace(order, task_status=status, progress_percent=steps)

    def _follow(self, feed: ProgressFeed, task_id: str) -> ProgressEvent | None:
        client = self._desk.context.client
        feed.follow(task_id, lambda: client.get_task(task_id).token)
        return feed.find_latest(task_id)

    def _pause(self) -> None:
        """Sleep until the next tick, or until the socket reports the end of a task."""
        if self._feed is None:
            self._timing.sleep(self._timing.pause_seconds)
            return
        self._has_ended = self._feed.wait(self._timing.pause_seconds)
        if self._has_ended:
            followed = self._ledger.list_orders(ids=self._pending)
            ended = [order.id for order in followed if self._is_last(order)]
            self._ledger.make_due(ended)  # a hint: the poll is authoritative

    def _is_last(self, order: Order) -> bool:
        event = None if self._feed is None else self._feed.find_latest(str(order.task_id))
        return event is not None and event.is_last

    def _give_up(self) -> None:
        seconds = self._collection.wait_deadline_seconds
        for order in self._ledger.list_orders(ids=self._pending):
            self._fail(
                order,
                f"No video after {seconds:g} s. {describe_state(order)} The order continues, and "
                "the sensor delivers its video.",
            )

    def _cancel_if_asked(self) -> None:
        """Cancel the tasks if a user terminated the run and `on_terminate` is "cancel".

        A deploy or an eviction sends the same signal, but leaves the run's status as it is. Its
        tasks are paid for and must not be cancelled.
        """
        run = self._context.instance.get_run_by_id(self._context.run.run_id)
        asked = run is not None and run.status == dg.DagsterRunStatus.CANCELING
        if not asked or self._collection.on_terminate == "leave":
            return
        for order_id in self._pending & self._own:
            self._ledger.request_stop(
                order_id, state="cancelled", reason="Its run was terminated (on_terminate=cancel)."
            )
