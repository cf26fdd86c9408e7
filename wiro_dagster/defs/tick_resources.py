"""The resources of a sensor's tick.

Dagster opens the resources that a sensor declares before each of its ticks, and its instance for
them: some 50 ms of CPU. If the definitions are given their resources, the sensors declare none and
open them here, once a tick has found something to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection


class TickResources:
    """Opens the resources of a collection for its sensors.

    Args:
        collection: names the resources.
        given: the resources by key; `None`, or with some left out, leaves them to Dagster.
    """

    def __init__(self, collection: VideoCollection, given: Mapping[str, Any] | None = None) -> None:
        keys = collection.resource_keys
        self._given = {key: given[key] for key in keys} if given and keys <= set(given) else None
        self.declared = keys if self._given is None else set[str]()
        """The resource keys that a sensor declares to Dagster."""

    @property
    def are_fixed(self) -> bool:
        """Whether all ticks of the process have the same resources."""
        return self._given is not None

    @contextmanager
    def open(self, context: dg.SensorEvaluationContext) -> Iterator[Any]:
        """Open the resources for the rest of a tick."""
        if self._given is None:
            yield context.resources
            return
        with dg.build_resources(self._given, instance=context.instance) as resources:
            yield resources
