"""A real project in one process: emulator, Dagster instance, definitions, sensor ticks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import yaml

from wiro_dagster import (
    FolderVideoStore,
    LedgerResource,
    OrderPolicy,
    VideoCollection,
    WiroResource,
    build_video_definitions,
)
from wiro_dagster.defs.desks import opener_of
from wiro_dagster.defs.process_cache import ProcessCache
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET, Emulator
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.orders.policy import Timing

FAST_TIMING = Timing(
    first_look_seconds=0.1,
    sweep_pause_seconds=0.1,
    look_maximum_seconds=0.3,
    settle_seconds=0.3,
    settle_missing_seconds=1.0,
    lease_seconds=5.0,
    recover_pause_seconds=0.2,
    recover_first_seconds=0.2,
)
FAST = OrderPolicy(timing=FAST_TIMING, resubmit_after_seconds=4.0)
QUICK = WaitTiming(pause_seconds=0.1, awake_seconds=0.0, stay_seconds=0.0)
SETTLE_SECONDS = 120.0
_NO_SETTINGS = {"instance", "emulator", "cursor", "cache", "loaded"}


@dataclass(frozen=True)
class Loaded:
    """What a code location keeps, and the settings it was made of."""

    settings: dict[str, Any]
    definitions: dg.Definitions
    collection: VideoCollection
    resources: SimpleNamespace


@dataclass
class Project:
    """What a user has: prompts in a file, an account, a ledger, a store, Dagster."""

    folder: Path
    emulator: Emulator
    instance: dg.DagsterInstance
    name: str = ""
    policy: OrderPolicy = FAST
    budget: str = "10"
    ledger_url: str = ""
    collection_options: dict[str, Any] = field(default_factory=dict)
    cursor: str | None = None
    cache: ProcessCache = field(default_factory=ProcessCache)
    loaded: Loaded | None = field(default=None, repr=False)

    @property
    def collection(self) -> VideoCollection:
        return VideoCollection(
            prompt_file=self.prompt_file,
            name=self.name,
            policy=self.policy,
            cache=self.cache,
            **{"timing": QUICK, **self.collection_options},
        )

    @property
    def prompt_file(self) -> Path:
        return self.folder / f"{self.name or 'prompts'}.yaml"

    @property
    def resources(self) -> dict[str, Any]:
        return {
            "wiro": WiroResource(
                api_key=EMULATOR_API_KEY,
                api_secret=EMULATOR_API_SECRET,
                base_url=self.emulator.base_url,
                cdn_hosts=[self.emulator.cdn_host],
            ),
            "wiro_ledger": LedgerResource(
                url=self.ledger_url or f"sqlite:///{self.folder / 'ledger.db'}",
                daily_budget_usd=self.budget,
            ),
            "video_store": FolderVideoStore(path=str(self.folder / "videos")),
        }

    @property
    def definitions(self) -> dg.Definitions:
        return dg.Definitions.merge(
            build_video_definitions(self.collection),
            dg.Definitions(resources=self.load_resources()),
        )

    def load_resources(self) -> dict[str, Any]:
        """The resources as they are. Dagster would make each anew, several times a tick and a run.

        That was a fifth of the time of these tests. What Dagster makes of resources is tested in
        `tests/resources` and `tests/system/test_secrets.py`, and by everything in a process.
        """
        return {
            name: dg.ResourceDefinition.hardcoded_resource(resource)
            for name, resource in self.resources.items()
        }

    def load(self) -> dg.Definitions:
        """The definitions as a code location keeps them: built again if a setting has changed."""
        return self._keep().definitions

    def _keep(self) -> Loaded:
        settings = {
            name: copy(value) for name, value in vars(self).items() if name not in _NO_SETTINGS
        }
        settings["cache"] = id(self.cache)
        if self.loaded is None or self.loaded.settings != settings:
            resources = SimpleNamespace(**self.resources)
            self.loaded = Loaded(settings, self.definitions, self.collection, resources)
        return self.loaded

    @property
    def ledger(self) -> Ledger:
        kept = self._keep()
        return opener_of(kept.collection, kept.resources).open_ledger()

    def write_prompts(
        self, *prompts: dict[str, Any], defaults: dict[str, Any] | None = None
    ) -> None:
        """Writes the prompt file and brings it in as the sensor and the daemon do."""
        self.write_file(*prompts, defaults=defaults)
        self.bring_prompts_in()

    def write_file(self, *prompts: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
        text = {"defaults": defaults or {"model": "minimax/hailuo-2-3"}, "prompts": list(prompts)}
        self.prompt_file.write_text(yaml.safe_dump(text))

    def bring_prompts_in(self) -> Any:
        result = self.tick_sensor(self.collection.prefixed("prompt_file_sensor"), None)
        for request in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(
                request.partitions_def_name, list(request.partition_keys)
            )
        return result

    def materialize(
        self, *keys: dg.AssetKey, partitions: Sequence[str], **options: Any
    ) -> dg.ExecuteInProcessResult:
        """One run over one partition, or over a range of them."""
        one = {"partition_key": partitions[0]}
        span = {
            "tags": {
                "dagster/asset_partition_range_start": partitions[0],
                "dagster/asset_partition_range_end": partitions[-1],
            }
        }
        return (
            self.load()
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                asset_selection=list(keys),
                instance=self.instance,
                raise_on_error=False,
                **(one if len(partitions) == 1 else span),
                **options,
            )
        )

    def order(self, *partitions: str) -> dg.ExecuteInProcessResult:
        return self.materialize(self.collection.order_key, partitions=partitions)

    def tick_sensor(self, name: str, cursor: str | None) -> Any:
        with dg.build_sensor_context(
            instance=self.instance, cursor=cursor, resources=self.load().resources
        ) as context:
            return self.load().resolve_sensor_def(name).evaluate_tick(context)

    def tick(self) -> Any:
        """One tick of the order sensor, with what the daemon does of its result."""
        result = self.tick_sensor(self.collection.prefixed("video_order_sensor"), self.cursor)
        for event in result.asset_events or []:
            self.instance.report_runless_asset_event(event)
        self.cursor = result.cursor
        return result

    def settle(self) -> list[Order]:
        """Ticks until every order is at rest and reported."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            result = self.tick()
            orders = self.ledger.list_orders(collection=self.collection.ledger_name)
            if not result.asset_events and all(order.due_at is None for order in orders):
                return orders
            assert time.monotonic() < deadline, [order.state for order in orders]
            _wait_for_work(orders)

    def materializations(self, key: dg.AssetKey, partition: str) -> list[dg.AssetMaterialization]:
        """The newest first."""
        wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
        records = self.instance.fetch_materializations(wanted, limit=100).records
        return [record.asset_materialization for record in records if record.asset_materialization]

    def videos(self, partition: str) -> list[dg.AssetMaterialization]:
        return self.materializations(self.collection.video_key, partition)


def _wait_for_work(orders: list[Order]) -> None:
    """Sleep until the first order is due."""
    due = min((order.due_at for order in orders if order.due_at is not None), default=0.0)
    time.sleep(min(max(due - time.time(), 0.0), 0.2))
