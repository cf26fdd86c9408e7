"""Dagster beside a simulated shop: the real sensor, on a real instance, in processes that die."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import dagster as dg

from tests.simulation.wire import API_HOST, FILES_HOST
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.event_log import list_materializations
from wiro_dagster.defs.metadata import TASK_ID_KEY
from wiro_dagster.defs.order_sensor import build_video_order_sensor
from wiro_dagster.defs.process_cache import ProcessCache
from wiro_dagster.defs.report import Reporter
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.emulator.settings import EMULATOR_API_KEY, EMULATOR_API_SECRET
from wiro_dagster.orders import OrderDesk
from wiro_dagster.prompts import Prompt
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.stores import FolderVideoStore

T = TypeVar("T")


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what a tick says in its log: thousands of lines about faults."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


class _ProcessOf(ProcessCache):
    """What a code location keeps: a desk with a clock and a wire that no resource can describe."""

    def __init__(self, desk: OrderDesk) -> None:
        super().__init__()
        self._desk = desk

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        if isinstance(key, tuple) and key[0] == "desk":
            return cast("T", self._desk)
        return super().get(key, make)


class Reports:
    """An event log, and the daemon that runs the order sensor of the process that works now.

    Args:
        folder: of the shop.
        now: the virtual clock.
        live_or_die: called before and after each event, and before a cursor is kept.
    """

    def __init__(
        self, folder: Path, now: Callable[[], float], live_or_die: Callable[[], None]
    ) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self._now, self._live_or_die = now, live_or_die
        self._resources = _build_resources(folder)
        self._prompt_file, self._prompts = folder / "prompts.json", dict[str, Prompt]()
        self._cursor: str | None = None
        self._written = 0
        self._write = self.instance.report_runless_asset_event
        self.instance.report_runless_asset_event = self._report  # type: ignore[method-assign]

    def start(self, desk: OrderDesk) -> None:
        """Let a new process load the code location; the daemon's cursor outlives it."""
        self.stop()
        self._cache, self._desk = _ProcessOf(desk), desk
        self.collection = VideoCollection(
            prompt_file=self._prompt_file,
            failures="event",
            cache=self._cache,
            # Its clock stands still during a tick, and a thread between ticks obeys no seed.
            timing=WaitTiming(monotonic=self._now, awake_seconds=0.0, stay_seconds=0.0),
        )
        self._sensor = build_video_order_sensor(self.collection)

    def stop(self) -> None:
        """Let the process end."""
        if hasattr(self, "_cache"):
            self._cache.close()

    def place(self, prompts: Sequence[Prompt]) -> None:
        """Write prompts to the file, and do what the sensor and a run do to order their videos."""
        self._prompts |= {prompt.id: prompt for prompt in prompts}
        rows = [
            {"id": prompt.id, "model": prompt.model_slug, **prompt.inputs}
            for prompt in self._prompts.values()
        ]
        self._prompt_file.write_text(json.dumps({"prompts": rows}))
        reporter = Reporter(self.collection, self._desk, self.instance, self._report)
        reporter.observe_prompts(prompts)
        reporter.place_and_record(prompts)

    def tick(self) -> bool:
        """One tick, with what the daemon does after it. Return whether anything was reported."""
        before = self._written
        with (
            dg.build_sensor_context(
                instance=self.instance, cursor=self._cursor, resources=self._resources
            ) as context,
            _quiet(),
        ):
            result = cast("dg.SensorResult", self._sensor.evaluate_tick(context))
        for event in result.asset_events or ():
            self._report(event)
        self._live_or_die()
        self._cursor = result.cursor or self._cursor
        return self._written > before

    def list_shown(self) -> dict[str, list[dict[str, Any]]]:
        """Return the metadata of the materializations of `video`, by partition; newest first."""
        key, shown = self.collection.video_key, dict[str, list[dict[str, Any]]]()
        partitions = self.instance.get_materialized_partitions(key)
        for record in list_materializations(self.instance, key, partitions):
            event = record.asset_materialization
            if event is not None and record.partition_key is not None:
                values = {name: entry.value for name, entry in event.metadata.items()}
                shown.setdefault(record.partition_key, []).append(values)
        return shown

    def count_shown(self) -> Counter[tuple[str, str]]:
        """Return how often `video` was materialized, by partition and task."""
        return Counter(
            (partition, str(event[TASK_ID_KEY]))
            for partition, events in self.list_shown().items()
            for event in events
        )

    def close(self) -> None:
        """Close everything."""
        self.stop()
        self.instance.dispose()

    def _report(self, event: Any) -> None:
        self._live_or_die()
        self._write(event)
        self._written += 1
        self._live_or_die()


def _build_resources(folder: Path) -> dict[str, dg.ResourceDefinition]:
    """Build the resources that the sensor asks for; the desk of a process uses its own."""
    resources: dict[str, Any] = {
        "wiro": WiroResource(
            api_key=EMULATOR_API_KEY,
            api_secret=EMULATOR_API_SECRET,
            base_url=f"http://{API_HOST}/v1",
            cdn_hosts=[FILES_HOST],
        ),
        "wiro_ledger": LedgerResource(url=f"sqlite:///{folder / 'ledger.db'}"),
        "video_store": FolderVideoStore(path=str(folder / "videos")),
    }
    # Dagster would make each anew several times a tick.
    return {
        name: dg.ResourceDefinition.hardcoded_resource(resource)
        for name, resource in resources.items()
    }
