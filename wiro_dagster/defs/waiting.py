"""A run of `video` waiting for its orders: progress in its log, each video when it is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dagster as dg

from wiro_dagster.api.progress import ProgressEvent
from wiro_dagster.api.watch import ProgressFeed
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.events import (
    describe_state,
    failure_observation,
    video_materialization,
    video_metadata,
)
from wiro_dagster.defs.order_checks import describe_trouble, orders_check
from wiro_dagster.defs.provenance import add_tags, video_inputs
from wiro_dagster.defs.video_checks import evaluate_video_checks
from wiro_dagster.ledger import Order, Placement, TroubleKind
from wiro_dagster.orders import OrderDesk

_HEARTBEAT_SECONDS = 60.0
"""How long the sensor leaves a silent run's orders alone."""

_TICK_SECONDS = 10.0
_PAUSE_SECONDS = 2.0


class VideoWait:
    """Waits for the orders of one run and reports them, so that the run's backfill counts them.

    While it lives it holds the orders' waiter lease; when it dies the lease ends, and the sensor
    delivers what is left.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        collection: VideoCollection,
        desk: OrderDesk,
        placements: list[Placement],
    ) -> None:
        self._context = context
        self._collection = collection
        self._desk = desk
        self._ledger = desk.context.ledger
        self._pending = {placement.order.id for placement in placements}
        self._told: dict[int, str] = {}
        self._trouble: TroubleKind | None = None
        self._feed = collection.open_progress(context.resources)
        self._delivered: list[Order] = []
        self._alive_at = 0.0
        self.failures: dict[str, str] = {}

    def deliver_result(self) -> Iterator[dg.MaterializeResult[Any]]:
        """Waits for one order and yields its video as the step's result."""
        for order in self._wait():
            yield dg.MaterializeResult(
                metadata=video_metadata(
                    order,
                    preview=self._desk.find_preview(order),
                    link=self._desk.find_link(order),
                ),
                data_version=dg.DataVersion(order.fingerprint),
                # What this step's own order event is, Dagster looked up before it was written.
                tags=self._inputs(order),
            )
            self._note(order)

    def deliver_events(self) -> None:
        """Waits for several orders and logs each video as soon as it is there."""
        for order in self._wait():
            self._log_video(order)
            self._note(order)

    def repeat_events(self) -> None:
        """Logs the videos again, after a result for the whole step has covered them up."""
        for order in self._delivered:
            self._log_video(order)

    def _log_video(self, order: Order) -> None:
        event = video_materialization(
            order,
            self._collection.video_key,
            preview=self._desk.find_preview(order),
            link=self._desk.find_link(order),
        )
        self._context.log_event(add_tags(event, self._inputs(order)))

    def _inputs(self, order: Order) -> dict[str, str]:
        return video_inputs(self._context.instance, self._collection, [order])[order.id]

    def _note(self, order: Order) -> None:
        self._ledger.mark_reported([order.id])
        self._delivered.append(order)
        # Many videos at once take long to log: the sensor must not report the rest meanwhile.
        if time.monotonic() - self._alive_at > _HEARTBEAT_SECONDS / 3:
            self._tell_alive()

    def _tell_alive(self) -> None:
        until = self._ledger.clock() + _HEARTBEAT_SECONDS
        self._ledger.wait_for(self._pending, self._context.run_id, until=until)
        self._alive_at = time.monotonic()

    def _wait(self) -> Iterator[Order]:
        """Yields each order as its video is owned; failures are noted."""
        deadline = time.monotonic() + self._collection.wait_deadline_seconds
        run_id = self._context.run_id
        try:
            while self._pending:
                self._tell_alive()
                report = self._desk.tick(time.monotonic() + _TICK_SECONDS)
                for notice in report.notices:
                    self._context.log.warning(notice)
                self._tell_trouble()
                yield from self._settle()
                if time.monotonic() > deadline:
                    self._give_up()
                elif self._pending:
                    self._pause()
        except dg.DagsterExecutionInterruptedError:
            self._cancel_if_asked()
            raise
        finally:
            self._ledger.stop_waiting(run_id)
            if self._feed is not None:
                self._feed.close()
        failed = self._ledger.list_failed(self._collection.ledger_name)
        self._context.log_event(orders_check(failed, self._collection.order_key))
        owned = [order.id for order in self._delivered]
        for evaluation in evaluate_video_checks(self._collection, self._ledger, changed=owned):
            self._context.log_event(evaluation)

    def _tell_trouble(self) -> None:
        """Says once that Wiro refuses the account, and once that it does no more."""
        trouble = self._desk.context.gate.find_trouble()
        kind = None if trouble is None else trouble.kind
        if kind == self._trouble:
            return
        self._trouble = kind
        if trouble is None:
            self._context.log.info("Wiro takes the account's submissions again.")
        else:
            self._context.log.error(describe_trouble(trouble))

    def _settle(self) -> Iterator[Order]:
        for order in self._ledger.list_orders(ids=self._pending):
            self._tell(order)
            if order.superseded_by is not None:
                self._fail(order, f"Superseded by order {order.superseded_by} while it ran.")
            elif order.is_owned:
                self._pending.discard(order.id)
                yield order
            elif order.is_settled:
                for key in (self._collection.order_key, self._collection.video_key):
                    self._context.log_event(failure_observation(order, key))
                self._ledger.mark_reported([order.id])
                self._fail(order, describe_state(order))

    def _fail(self, order: Order, reason: str) -> None:
        self._pending.discard(order.id)
        self.failures[order.partition] = reason

    def _tell(self, order: Order) -> None:
        progress = describe_state(self._add_progress(order))
        if self._told.get(order.id) != progress:
            self._told[order.id] = progress
            self._context.log.info(f"{order.name}: {progress}")

    def _add_progress(self, order: Order) -> Order:
        """The order with what was heard of its task last, in steps of ten per cent."""
        if order.state != "running" or order.task_id is None:
            return order
        status, percent = order.task_status, order.progress_percent
        event = None if self._feed is None else self._follow(self._feed, order.task_id)
        if event is not None:
            # The newest frame may be one without a percentage.
            status = event.status
            percent = percent if event.percentage is None else event.percentage
            if event.is_last:
                self._ledger.make_due(order.id)  # a hint: the poll has the word
        steps = None if percent is None else percent // 10 * 10
        return replace(order, task_status=status, progress_percent=steps)

    def _follow(self, feed: ProgressFeed, task_id: str) -> ProgressEvent | None:
        client = self._desk.context.client
        feed.follow(task_id, lambda: client.get_task(task_id).token)
        return feed.find_latest(task_id)

    def _pause(self) -> None:
        """Sleeps until the next tick, or until a socket tells that a task has ended."""
        if self._feed is None:
            time.sleep(_PAUSE_SECONDS)
        else:
            self._feed.wait(_PAUSE_SECONDS)

    def _give_up(self) -> None:
        seconds = self._collection.wait_deadline_seconds
        for order in self._ledger.list_orders(ids=self._pending):
            self._fail(
                order,
                f"Not there after {seconds:g} s. {describe_state(order)} The order goes on, and "
                "the sensor delivers its video.",
            )

    def _cancel_if_asked(self) -> None:
        """Cancels the tasks where a person terminated the run and the collection wants that.

        A worker that is stopped by a deploy or an eviction gets the same signal, but its run is not
        being cancelled: its tasks are paid for, and go on.
        """
        run = self._context.instance.get_run_by_id(self._context.run_id)
        asked = run is not None and run.status == dg.DagsterRunStatus.CANCELING
        if not asked or self._collection.on_terminate == "leave":
            return
        for order_id in self._pending:
            self._ledger.request_stop(
                order_id, state="cancelled", reason="Its run was terminated (on_terminate=cancel)."
            )
