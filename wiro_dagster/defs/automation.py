"""What orders videos without a click: the collection's policy, and a schedule."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from wiro_dagster.defs.collection import OrderBy, VideoCollection
from wiro_dagster.defs.events import order_materialization
from wiro_dagster.defs.order_checks import orders_check, prompts_check
from wiro_dagster.defs.prompt_sources import asset_loader
from wiro_dagster.defs.provenance import add_tags, observe_prompts, order_inputs
from wiro_dagster.errors import InputError, StoreError
from wiro_dagster.ledger import Ledger, Order, OrderState
from wiro_dagster.orders import OrderDesk
from wiro_dagster.prompts import Prompt

_LOOKED_UP_AT_ONCE = 500
_WORTH_ANOTHER_TRY: tuple[OrderState, ...] = ("failed", "uncollected")

ReportMaterialization = Callable[[dg.AssetMaterialization], object]


@dataclass
class OrderedPrompts:
    """What ordering several prompts came to.

    Args:
        placed: the orders that stand for them now.
        failures: by prompt id, why one could not be ordered.
        left: how many there was no time for.
    """

    placed: list[Order] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    left: int = 0


def list_wanted(
    ledger: Ledger, collection: VideoCollection, prompts: Iterable[Prompt]
) -> list[Prompt]:
    """The prompts that the collection's policy orders by itself."""
    orders: OrderBy = collection.orders
    if orders == "manual":
        return []
    return [
        prompt
        for prompt, placed in _with_orders(ledger, collection, prompts)
        if not placed or (orders == "new_and_changed" and _find_current(placed, prompt) is None)
    ]


def list_missing(
    ledger: Ledger, collection: VideoCollection, prompts: Iterable[Prompt]
) -> list[Prompt]:
    """The prompts that have no video, and no order under way that would bring it.

    What failed is among them; what a person cancelled is not.
    """
    missing: list[Prompt] = []
    for prompt, placed in _with_orders(ledger, collection, prompts):
        order = _find_current(placed, prompt)
        if order is None or order.state in _WORTH_ANOTHER_TRY:
            missing.append(prompt)
    return missing


def _with_orders(
    ledger: Ledger, collection: VideoCollection, prompts: Iterable[Prompt]
) -> Iterator[tuple[Prompt, list[Order]]]:
    every = list(prompts)
    for start in range(0, len(every), _LOOKED_UP_AT_ONCE):
        some = every[start : start + _LOOKED_UP_AT_ONCE]
        by_partition: dict[str, list[Order]] = {prompt.id: [] for prompt in some}
        for order in ledger.list_orders(
            collection=collection.ledger_name, partitions=list(by_partition)
        ):
            by_partition[order.partition].append(order)
        yield from ((prompt, by_partition[prompt.id]) for prompt in some)


def _find_current(orders: Sequence[Order], prompt: Prompt) -> Order | None:
    """The newest order that stands for the prompt as it is now."""
    fitting = [
        order
        for order in orders
        if order.superseded_by is None and order.fingerprint == prompt.fingerprint
    ]
    return fitting[-1] if fitting else None


def order_prompts(
    instance: dg.DagsterInstance,
    collection: VideoCollection,
    desk: OrderDesk,
    prompts: Sequence[Prompt],
    report: ReportMaterialization,
    *,
    deadline: float = math.inf,
) -> OrderedPrompts:
    """Orders the videos of prompts that have been observed, and materializes `video_order`.

    Whoever calls it again, after whatever crash, buys nothing twice: the ledger knows.

    Args:
        instance: keeps the event log.
        collection: whose prompts.
        desk: takes the orders.
        prompts: what to order.
        report: writes one materialization.
        deadline: by the monotonic clock, when to start no more.
    """
    ordered = OrderedPrompts()
    for count, prompt in enumerate(prompts):
        if time.monotonic() > deadline:
            ordered.left = len(prompts) - count
            break
        try:
            order = desk.place(prompt.id, prompt).order
        except (InputError, StoreError) as error:
            ordered.failures[prompt.id] = str(error)
            continue
        inputs = order_inputs(instance, collection, [order])[order.id]
        report(add_tags(order_materialization(order, collection.order_key), inputs))
        ordered.placed.append(order)
    return ordered


def build_missing_videos_schedule(
    collection: VideoCollection,
    *,
    cron_schedule: str,
    execution_timezone: str | None = None,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.RUNNING,
) -> dg.ScheduleDefinition:
    """A schedule that orders what is missing, inside the budget.

    Its job `order_missing_videos` can be launched by hand too. It orders, in one short run, every
    prompt that has no video and no order under way: also what failed, but not what a person
    cancelled.

    Args:
        collection: whose videos.
        cron_schedule: such as `"0 6 * * *"`, every morning at six.
        execution_timezone: such as `"Europe/Berlin"`; UTC where none is given.
        default_status: whether it runs from the start.

    Example:
        dg.Definitions(
            schedules=[build_missing_videos_schedule(ads, cron_schedule="0 6 * * *")]
        )
    """
    return dg.ScheduleDefinition(
        name=collection.prefixed("missing_videos_schedule"),
        job=_build_missing_videos_job(collection),
        cron_schedule=cron_schedule,
        execution_timezone=execution_timezone,
        default_status=default_status,
        description="Orders what is missing: prompts without a video and without an order.",
    )


def _build_missing_videos_job(collection: VideoCollection) -> dg.JobDefinition:
    @dg.op(
        name=collection.prefixed("order_missing"),
        required_resource_keys=collection.resource_keys,
        description="Places an order for every prompt that has no video and no order under way.",
    )
    def order_missing(context: dg.OpExecutionContext) -> None:
        desk = collection.open_desk(context.resources)
        prompts = collection.load_prompts(
            context.resources, context.instance, asset_loader(context)
        )
        known = set(
            collection.partitions.get_partition_keys(dynamic_partitions_store=context.instance)
        )
        every = [prompt for prompt in prompts.prompts.values() if prompt.id in known]
        missing = list_missing(desk.context.ledger, collection, every)
        context.log.info(f"{len(missing)} of {len(every)} prompts have no video.")
        observe_prompts(context.instance, collection, missing, context.log_event)
        ordered = order_prompts(context.instance, collection, desk, missing, context.log_event)
        for order in ordered.placed:
            context.log.info(f"{order.name} stands for {order.model_slug}: {order.state}.")
        failed = desk.context.ledger.list_failed(collection.ledger_name)
        report_check: Callable[[Any], None] = context.log_event  # takes them, for all its types say
        report_check(prompts_check(prompts, collection.order_key))
        report_check(orders_check(failed, collection.order_key))
        if ordered.failures:
            lines = [f'- "{name}": {reason}' for name, reason in ordered.failures.items()]
            raise dg.Failure(
                f"{len(ordered.failures)} prompts were not ordered:\n" + "\n".join(lines),
                allow_retries=False,
            )

    @dg.job(
        name=collection.prefixed("order_missing_videos"),
        tags={"wiro/collection": collection.ledger_name},
        description="Orders what is missing: prompts without a video and without an order.",
    )
    def order_missing_videos() -> None:
        order_missing()

    return order_missing_videos
