"""Placing: a prompt's video is ordered, or found among what is under way or owned already.

Nothing is sent here. The evidence is asked first: a video that is in the store is owned and free,
whatever the ledger knows.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import replace

from wiro_dagster.errors import InputError, StoreError
from wiro_dagster.ledger import OrderRequest, Placement
from wiro_dagster.orders.collect import is_in_store
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.evidence import restore_owned
from wiro_dagster.orders.requests import build_request
from wiro_dagster.orders.retries import decide_tries
from wiro_dagster.prompts import Prompt


def place_one(
    context: OrderContext, request: OrderRequest, *, present: Container[str] | None = None
) -> Placement:
    """Place one order; see `OrderDesk.place`."""
    ledger = context.ledger
    # A process that died may have left it open whether another try follows: it is the next one.
    decide_tries(context, partition=request.partition)
    if ledger.find_live(request) is None and restore_owned(context, request) is None:
        _take_over_renamed(context, request, present)
    placement = ledger.place(
        request,
        cancel_superseded=context.policy.superseded == "cancel",
        needs_approval=context.needs_approval,
    )
    if placement.order.is_owned and not is_in_store(context, placement.order):
        ledger.fetch_again(placement.order)
        found = ledger.get(placement.order.id)
        return replace(placement, order=found, outcome="taken_up")
    return placement


def place_takes(
    context: OrderContext,
    partition: str,
    prompt: Prompt,
    *,
    present: Container[str] | None = None,
) -> list[Placement]:
    """Place an order for every take of a prompt; see `OrderDesk.place_takes`."""
    takes = prompt.list_takes()
    placed: dict[int, Placement] = {}
    for take in takes:
        request = build_request(context, partition, take, version=prompt.fingerprint)
        placement = place_one(context, request, present=present)
        placed.setdefault(placement.order.id, placement)
    if len(takes) == 1:
        return list(placed.values())
    # A later take may have taken the place of an earlier one, which had failed.
    orders = context.ledger.list_orders(ids=list(placed))
    standing = [
        replace(placed[order.id], order=order) for order in orders if order.superseded_by is None
    ]
    possible = [placement for placement in standing if placement.outcome != "billed_failure"]
    return possible or standing or list(placed.values())


def place_new(context: OrderContext, prompts: Iterable[Prompt]) -> dict[str, Placement]:
    """Order the videos of new prompts in one transaction, which costs far less than one for each.

    Left out, for `OrderDesk.place`: partitions that have orders, videos that are owned under
    another id or by the store's evidence, several takes, and what cannot be ordered.

    Returns:
        The placements, by partition.
    """
    ledger, collection = context.ledger, context.collection
    single = {prompt.id: prompt for prompt in prompts if prompt.takes == 1}
    known = ledger.list_partitions(collection, among=single)
    owned = ledger.list_owned_fingerprints(
        collection, among=[prompt.fingerprint for prompt in single.values()]
    )
    requests = []
    for partition, prompt in single.items():
        if partition in known or prompt.fingerprint in owned:
            continue
        with suppress(InputError, StoreError):
            request = build_request(context, partition, prompt)
            if restore_owned(context, request) is None:
                requests.append(request)
    placed = ledger.place_all(
        requests,
        cancel_superseded=context.policy.superseded == "cancel",
        needs_approval=context.needs_approval,
    )
    return {
        request.partition: placement
        for request, placement in zip(requests, placed, strict=True)
        if placement.outcome == "placed"  # another process may have come first
    }


def _take_over_renamed(
    context: OrderContext, request: OrderRequest, present: Container[str] | None
) -> None:
    owned = context.ledger.find_owned(request.collection, request.fingerprint)
    if owned is not None and present is not None and owned.partition not in present:
        context.ledger.rename(owned, request.partition)
