"""Prompts to videos in one process, as Dagster does it: an instance, a run, sensor ticks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg

from wiro_dagster.cli.project import DAGSTER_PORT, VIDEO_PORT, ProjectFolder
from wiro_dagster.defs.build import build_video_definitions
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.desks import load_prompts, opener_of
from wiro_dagster.defs.failures import list_ranges
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET, Emulator
from wiro_dagster.errors import ConfigurationError, InputError
from wiro_dagster.ledger import Order
from wiro_dagster.prompts import PromptFile
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.stores import FolderVideoStore


@dataclass
class LocalRun:
    """Orders and delivers the videos of one prompt file, as a daemon would.

    Args:
        instance: Dagster's instance.
        collection: whose videos.
        resources: by resource key.
        partitions: what was ordered.
        problems: what is wrong with the prompt file.
    """

    instance: dg.DagsterInstance
    collection: VideoCollection
    resources: dict[str, Any]
    partitions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _cursor: str | None = None

    @classmethod
    def on_emulator(
        cls, project: ProjectFolder, emulator: Emulator, *, prompts: Path, videos: Path
    ) -> LocalRun:
        """Prepare a run against an emulator, on the instance of a project folder."""
        os.environ["DAGSTER_HOME"] = str(project.dagster_home)
        return cls(
            instance=dg.DagsterInstance.get(),
            # `wiro-dagster dev` will open its UI there.
            collection=VideoCollection(
                prompt_file=prompts, dagster_url=f"http://127.0.0.1:{DAGSTER_PORT}"
            ),
            resources={
                "wiro": WiroResource(
                    api_key=EMULATOR_API_KEY,
                    api_secret=EMULATOR_API_SECRET,
                    base_url=emulator.base_url,
                    cdn_hosts=[emulator.cdn_host],
                ),
                "wiro_ledger": LedgerResource(url=project.ledger_url),
                # `wiro-dagster dev` will serve the folder there.
                "video_store": FolderVideoStore(
                    path=str(videos), base_url=f"http://127.0.0.1:{VIDEO_PORT}"
                ),
            },
        )

    def bring_prompts_in(self) -> None:
        """Tick `prompt_file_sensor` once, and apply its result as the daemon does.

        Raises:
            InputError: the prompt file has no prompt that could be ordered.
        """
        result = self._tick("prompt_file_sensor", None)
        for request in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(
                request.partitions_def_name, list(request.partition_keys)
            )
        prompts = self._load_prompts()
        self.problems = [str(problem) for problem in prompts.problems]
        self.partitions = list(prompts.prompts)
        if not self.partitions:
            raise InputError(*self.problems, f"{self.collection.prompt_file} has no prompts.")

    def _load_prompts(self) -> PromptFile:
        with dg.build_resources(self.resources) as resources:
            return load_prompts(self.collection, resources, self.instance)

    def order_all(self) -> None:
        """Materialize `video_order` for all prompts in one run.

        Raises:
            ConfigurationError: the run failed.
        """
        known = self.collection.partitions.get_partition_keys(
            dynamic_partitions_store=self.instance
        )
        for found in list_ranges(known, self.partitions):
            self._materialize(
                self.collection.order_key,
                {
                    "dagster/asset_partition_range_start": found[0],
                    "dagster/asset_partition_range_end": found[-1],
                },
            )

    def write_gallery(self) -> Path:
        """Materialize `video_gallery` and return the path of the page.

        Raises:
            ConfigurationError: the run failed.
        """
        metadata = self._materialize(self.collection.gallery_key).metadata
        return Path(str(metadata["wiro/gallery_file"].value))

    def _materialize(
        self, key: dg.AssetKey, tags: dict[str, str] | None = None
    ) -> dg.AssetMaterialization:
        """Run one asset and return its last materialization."""
        result = self._definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[key],
            instance=self.instance,
            # The run's log is in the instance; on a terminal it would bury everything else.
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=tags,
            raise_on_error=False,
        )
        if not result.success:
            raise ConfigurationError(
                f"Run {result.run_id} of {key.to_user_string()} failed. Its log says why; to read "
                "it, open Dagster with: wiro-dagster dev"
            )
        event = self.instance.get_latest_materialization_event(key)
        assert event is not None
        assert event.asset_materialization is not None
        return event.asset_materialization

    def follow(self) -> Iterator[list[Order]]:
        """Tick `video_order_sensor` until everything is settled; yield orders after each tick."""
        while True:
            result = self._tick("video_order_sensor", self._cursor)
            for event in result.asset_events or []:
                self.instance.report_runless_asset_event(event)
            self._cursor = result.cursor or self._cursor
            orders = self.orders()
            yield orders
            if not result.asset_events and all(order.is_settled for order in orders):
                return

    def orders(self) -> list[Order]:
        """Return the newest order of each prompt, in the prompt file's order."""
        ledger = opener_of(self.collection, SimpleNamespace(**self.resources)).open_ledger()
        found = [
            ledger.find_latest(self.collection.ledger_name, partition)
            for partition in self.partitions
        ]
        return [order for order in found if order is not None]

    @property
    def _definitions(self) -> dg.Definitions:
        return dg.Definitions.merge(
            build_video_definitions(self.collection), dg.Definitions(resources=self.resources)
        )

    def _tick(self, sensor: str, cursor: str | None) -> Any:
        with dg.build_sensor_context(
            instance=self.instance, cursor=cursor, resources=self.resources
        ) as context:
            return self._definitions.resolve_sensor_def(sensor).evaluate_tick(context)
