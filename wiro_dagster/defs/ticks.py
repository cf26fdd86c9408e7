"""What the ticks of sensors share: Dagster's instance and the desk, each opened once.

For a sensor that declares resources, Dagster opens an instance and builds the resources before each
tick. That costs several times what a tick without work does, so our sensors declare none, and build
those of their collection when they need them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.desks import open_desk
from wiro_dagster.orders import OrderDesk

_KEPT_SECONDS = 120.0
"""How soon the settings of resources are read again."""


def find_instance(
    context: dg.SensorEvaluationContext, collection: VideoCollection
) -> dg.DagsterInstance:
    """Return the instance of a tick, which is kept for later ones."""
    ref = context.instance_ref
    if ref is None:  # a test has given its own
        return context.instance
    key = ("instance", hashlib.sha256(repr(ref).encode()).hexdigest())
    return collection.cache.get(key, lambda: dg.DagsterInstance.from_ref(ref))


@contextmanager
def open_resources(
    context: dg.SensorEvaluationContext, collection: VideoCollection
) -> Iterator[Any]:
    """Build the resources of a collection, and yield them."""
    wanted = _list_resources(context, collection)
    if wanted is None:
        yield context.resources
        return
    with dg.build_resources(wanted, instance=find_instance(context, collection)) as resources:
        yield resources


def find_desk(context: dg.SensorEvaluationContext, collection: VideoCollection) -> OrderDesk:
    """Return the desk of a tick: that of an earlier one, while the resources are the same.

    They are built again once in a while: their settings may come from a place that changes, such as
    a vault.
    """
    wanted = _list_resources(context, collection)
    given = list((context.resource_defs or {} if wanted is None else wanted).values())
    now, key = collection.timing.monotonic(), ("desk of ticks", collection.ledger_name)
    kept = collection.cache.find(key, _KeptDesk)
    if kept is not None and kept.is_good(given, now):
        return kept.desk
    with open_resources(context, collection) as resources:
        desk = open_desk(collection, resources)
    collection.cache.put(key, _KeptDesk(desk, given, now))
    return desk


@dataclass(frozen=True)
class _KeptDesk:
    """A desk, and what it was opened from."""

    desk: OrderDesk
    given: list[Any]
    opened_at: float

    def is_good(self, given: list[Any], now: float) -> bool:
        is_same = list(map(id, given)) == list(map(id, self.given))
        return is_same and 0 <= now - self.opened_at < _KEPT_SECONDS


def _list_resources(
    context: dg.SensorEvaluationContext, collection: VideoCollection
) -> Mapping[str, dg.ResourceDefinition] | None:
    """Return the definitions of a collection's resources, with all that those need.

    Returns:
        `None` if the context has resources of its own, which a test has given.
    """
    if context.resource_defs or context.repository_def is None:
        return None
    given = context.repository_def.get_top_level_resources()
    wanted: dict[str, dg.ResourceDefinition] = {}
    names = sorted(collection.resource_keys)
    while names:
        name = names.pop(0)
        if name not in wanted and name in given:
            wanted[name] = given[name]
            names += sorted(given[name].get_required_resource_keys(given))
    return wanted
