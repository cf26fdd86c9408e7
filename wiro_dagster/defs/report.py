"""The one door to Dagster's event log: place orders, record them, report what became of them.

A run logs its events, the sensors report theirs without a run, and the order sensor returns some
with its tick. All of them use a `Reporter`, so each event has the same metadata and lineage tags
whoever writes it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.desks import open_desk
from wiro_dagster.defs.event_files import keep_connections, share_statements
from wiro_dagster.defs.event_log import OrderEvent, find_order_events
from wiro_dagster.defs.lineage import (
    find_observed_versions,
    order_lineage_tags,
    video_lineage_tags,
)
from wiro_dagster.defs.metadata import (
    failure_metadata,
    order_metadata,
    progress_metadata,
    prompt_metadata,
    prompt_tags,
    tries_metadata,
    version_tags,
    video_metadata,
)
from wiro_dagster.defs.placed import Placed
from wiro_dagster.defs.prices import find_quote
from wiro_dagster.errors import InputError, StoreError
from wiro_dagster.ledger import Order
from wiro_dagster.ledger.kept_connections import KeptConnections
from wiro_dagster.orders import OrderDesk
from wiro_dagster.orders.describe import describe_placement, describe_state, describe_take
from wiro_dagster.orders.showing import find_link, find_preview
from wiro_dagster.prompts import Prompt

AssetEvent = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation

_PLACED_AT_ONCE = 50
"""So many share a transaction, while no other process writes."""

_RECORDED_AT_ONCE = 20
"""A process that dies leaves at most this many orders without an event; the sensor adds them."""


@dataclass(frozen=True)
class Reporter:
    """Places a collection's orders and writes its events.

    Args:
        collection: whose prompts, orders and videos.
        desk: takes the orders.
        instance: has the event log.
        write: writes one event. A run logs it; everything else reports it without a run.
    """

    collection: VideoCollection
    desk: OrderDesk
    instance: dg.DagsterInstance
    write: Callable[[Any], object]

    @classmethod
    def in_run(
        cls, context: dg.OpExecutionContext | dg.AssetExecutionContext, collection: VideoCollection
    ) -> Reporter:
        """Make the reporter of a run."""
        desk, instance = open_desk(collection, context.resources), context.instance
        _make_events_cheap(collection, run_id=context.run.run_id)
        return cls(collection, desk, instance, context.log_event)

    @classmethod
    def in_sensor(
        cls, context: dg.SensorEvaluationContext, collection: VideoCollection, resources: Any
    ) -> Reporter:
        """Make the reporter of a sensor. It writes at once, not with the tick's result."""
        desk, instance = open_desk(collection, resources), context.instance
        _make_events_cheap(collection)
        return cls(collection, desk, instance, instance.report_runless_asset_event)

    def observe_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Record each prompt that differs from its last observation; see `observe`."""
        self.observe(self.list_changed(prompts))

    def list_changed(self, prompts: Iterable[Prompt]) -> list[Prompt]:
        """Return the prompts whose text, model or inputs differ from their last observation."""
        now = {prompt.id: prompt for prompt in prompts}
        versions = find_observed_versions(self.instance, self.collection.prompt_key, now)
        return [p for p in now.values() if versions.get(p.id) != p.fingerprint]

    def observe(self, prompts: Sequence[Prompt], *, deadline: float = math.inf) -> int:
        """Record prompts as they are now.

        The observation is what Dagster judges staleness by. The materialization beside it fills the
        partition, with the price.

        Args:
            prompts: that have changed.
            deadline: by the monotonic clock, when to start no more.

        Returns:
            How many prompts are still to be observed.
        """
        for count, prompt in enumerate(prompts):
            if self.collection.timing.monotonic() > deadline:
                return len(prompts) - count
            event: dict[str, Any] = {
                "asset_key": self.collection.prompt_key,
                "partition": prompt.id,
                "metadata": prompt_metadata(prompt, quote_usd=find_quote(self.desk, prompt)),
                "tags": prompt_tags(prompt),
            }
            # The observation comes last: if the process dies between the two, both come again.
            self.write(dg.AssetMaterialization(**event))
            self.write(dg.AssetObservation(**event))
        return 0

    def place(
        self,
        prompts: Iterable[Prompt],
        *,
        present: Container[str] | None = None,
        deadline: float = math.inf,
    ) -> Placed:
        """Place an order for each prompt. One wrong prompt does not stop the others.

        A repeated call, after any crash, buys nothing twice: the ledger knows every order.

        Args:
            prompts: already observed, so that the orders' lineage finds them.
            present: the ids of all prompts; the video of one that was renamed is taken over.
            deadline: by the monotonic clock, when to start no more.
        """
        placed, listed = Placed(), list(prompts)
        for start in range(0, len(listed), _PLACED_AT_ONCE):
            few = listed[start : start + _PLACED_AT_ONCE]
            if self.collection.timing.monotonic() > deadline:
                placed.left += len(few)
                continue
            new = self.desk.place_new(few)
            for prompt in few:
                if prompt.id in new:
                    placed.placements[prompt.id] = [new[prompt.id]]
                elif self.collection.timing.monotonic() > deadline:
                    placed.left += 1
                else:
                    self._place_takes(prompt, present, placed)
        return placed

    def _place_takes(self, prompt: Prompt, present: Container[str] | None, placed: Placed) -> None:
        try:
            placements = self.desk.place_takes(prompt.id, prompt, present=present)
        except (InputError, StoreError) as error:
            placed.failures[prompt.id] = str(error)
            return
        if placements[0].outcome == "billed_failure":
            # Only the user pays for it once more, never a retry or a schedule.
            placed.failures[prompt.id] = "\n".join(map(describe_placement, placements))
        else:
            placed.placements[prompt.id] = placements

    def place_and_record(
        self,
        prompts: Sequence[Prompt],
        *,
        present: Container[str] | None = None,
        deadline: float = math.inf,
    ) -> Placed:
        """Place an order for each prompt, and materialize `video_order` for it.

        Args:
            prompts: already observed.
            present: the ids of all prompts, as for `place`.
            deadline: by the monotonic clock, when to start no more.
        """
        placed = Placed()
        for start in range(0, len(prompts), _RECORDED_AT_ONCE):
            few = prompts[start : start + _RECORDED_AT_ONCE]
            some = self.place(few, present=present, deadline=deadline)
            self.record(some.orders)
            placed.add(some)
        return placed

    def record(self, orders: Collection[Order]) -> None:
        """Materialize `video_order` for each order."""
        tags = order_lineage_tags(self.instance, self.collection, orders)
        for order in orders:
            self.write(
                dg.AssetMaterialization(
                    asset_key=self.collection.order_key,
                    partition=order.partition,
                    metadata={**order_metadata(order), **self._witness},
                    tags={**version_tags(order.prompt_version), **tags[order.id]},
                )
            )

    def record_missing(self, orders: Collection[Order]) -> dict[int, OrderEvent]:
        """Materialize `video_order` for orders whose process died before it could.

        Returns:
            What the materializations say of lineage, by order id.
        """
        recorded = find_order_events(self.instance, self.collection.order_key, orders)
        missing = [order for order in orders if order.id not in recorded]
        if missing:
            self.record(missing)
            recorded |= find_order_events(self.instance, self.collection.order_key, missing)
        return recorded

    def order_result(self, order: Order) -> dg.MaterializeResult[Any]:
        """Return an order as the result of a step over one partition."""
        tags = order_lineage_tags(self.instance, self.collection, [order])
        return dg.MaterializeResult(
            metadata={**order_metadata(order), **self._witness},
            data_version=dg.DataVersion(order.prompt_version),
            tags=tags[order.id],
        )

    def video_result(self, order: Order) -> dg.MaterializeResult[Any]:
        """Return a video as the result of a step over one partition.

        Dagster looked up the step's inputs before the step recorded its own order: the tags name
        that order too.
        """
        events = find_order_events(self.instance, self.collection.order_key, [order])
        tags = video_lineage_tags(self.collection, [order], events)
        return dg.MaterializeResult(
            metadata=self._video_metadata(order),
            data_version=dg.DataVersion(order.fingerprint),
            tags=tags[order.id],
        )

    def build_videos(self, orders: Collection[Order]) -> list[dg.AssetMaterialization]:
        """Build the materializations of `video` for orders whose files are in the store.

        If a process died before it could materialize `video_order`, that is done here.
        """
        recorded = self.record_missing(orders)
        tags = video_lineage_tags(self.collection, orders, recorded)
        return [
            dg.AssetMaterialization(
                asset_key=self.collection.video_key,
                partition=order.partition,
                metadata=self._video_metadata(order),
                tags={**version_tags(order.fingerprint), **tags[order.id]},
            )
            for order in orders
        ]

    def build_takes(self, orders: Collection[Order]) -> list[dg.AssetMaterialization]:
        """Build the materializations of `video_order` that say that further takes have come.

        They are not shown as `video`, but can be chosen. The gallery is renewed by these events.
        """
        tags = order_lineage_tags(self.instance, self.collection, orders)
        return [
            dg.AssetMaterialization(
                asset_key=self.collection.order_key,
                partition=order.partition,
                description=describe_take(order),
                metadata={**self._video_metadata(order), "wiro/choose": describe_take(order)},
                tags={**version_tags(order.prompt_version), **tags[order.id]},
            )
            for order in orders
        ]

    def build_failures(self, order: Order) -> list[dg.AssetObservation]:
        """Build observations that say why an order ended without a video.

        Both assets get one: the UI shows no observations on a partition that was never
        materialized, which `video` may be.
        """
        return [
            dg.AssetObservation(
                asset_key=asset_key,
                partition=order.partition,
                description=describe_state(order),
                metadata={**failure_metadata(order), **self._tries_metadata(order)},
            )
            for asset_key in (self.collection.order_key, self.collection.video_key)
        ]

    def build_progress(self, order: Order) -> dg.AssetObservation:
        """Build the observation of how far a running task is.

        It goes to the order, since the UI shows an observation on the page of a partition only if
        that is materialized.
        """
        return dg.AssetObservation(
            asset_key=self.collection.order_key,
            partition=order.partition,
            description=describe_state(order),
            metadata=progress_metadata(order, now=self.desk.context.now()),
        )

    def _video_metadata(self, order: Order) -> dict[str, Any]:
        found = video_metadata(
            order,
            preview=find_preview(self.desk.context, order),
            link=find_link(self.desk.context, order),
        )
        return {**found, **self._tries_metadata(order), **self._witness}

    def _tries_metadata(self, order: Order) -> dict[str, Any]:
        return tries_metadata(self.desk.ledger.list_tries(order))

    @cached_property
    def _witness(self) -> dict[str, Any]:
        """Which ledger the event comes from, and how far it had come: evidence outside it."""
        identity = self.desk.ledger.identity()
        return {"wiro/ledger_id": identity.ledger_id, "wiro/ledger_sequence": identity.sequence}


def _make_events_cheap(collection: VideoCollection, *, run_id: str = "") -> None:
    home, cache = os.environ.get("DAGSTER_HOME"), collection.cache
    kept = cache.get("event connections", KeptConnections)
    keep_connections(kept, home, run_id=run_id)
    cache.get(("event statements", home), lambda: share_statements(home))


def check_result(evaluation: dg.AssetCheckEvaluation) -> dg.AssetCheckResult:
    """Return an evaluation as the result of a check's own step."""
    return dg.AssetCheckResult(
        asset_key=evaluation.asset_key,
        check_name=evaluation.check_name,
        passed=evaluation.passed,
        severity=evaluation.severity,
        description=evaluation.description,
        metadata=evaluation.metadata,
    )
