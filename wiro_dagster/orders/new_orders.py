"""Orders for prompts that the ledger knows nothing of: placed together, as that costs far less."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from wiro_dagster.errors import InputError, StoreError
from wiro_dagster.ledger import Placement
from wiro_dagster.orders.context import OrderContext
from wiro_dagster.orders.evidence import restore_owned
from wiro_dagster.orders.requests import build_request
from wiro_dagster.prompts import Prompt


def place_new(context: OrderContext, prompts: Iterable[Prompt]) -> dict[str, Placement]:
    """Order the videos of new prompts in one transaction; leave out all other prompts.

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
