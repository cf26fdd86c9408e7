"""A collection of videos as a component: `defs.yaml` in, the builders' definitions out."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import dagster as dg
from pydantic import Field

from wiro_dagster.automation import build_missing_videos_schedule
from wiro_dagster.collection import OnTerminate, OrderBy, VideoCollection
from wiro_dagster.component_settings import MorningOrders, WiroAccount, WiroLedger, one_of
from wiro_dagster.definitions import build_video_definitions
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.prompt_sources import AssetPrompts, PromptSource, build_prompt_source
from wiro_dagster.scaffolder import WiroVideoScaffolder
from wiro_dagster.store_resources import VideoStoreResource, build_video_store
from wiro_dagster.verdicts import VideoChecks


@dg.scaffold_with(WiroVideoScaffolder)
class WiroVideoComponent(dg.Component, dg.Model, dg.Resolvable):
    """Paid, generated videos from a file of prompts: each entry is one partition and one video.

    Makes what `build_video_definitions` makes. Where `account`, `ledger` or `video_store` is left
    out, the resource `wiro`, `wiro_ledger` or `video_store` of the project is used, so that several
    collections can share them.

    Example:
        type: wiro_dagster.WiroVideoComponent
        attributes:
          prompt_file: prompts.yaml
          name: ads
          account: {api_key: "{{ env.WIRO_API_KEY }}", api_secret: "{{ env.WIRO_API_SECRET }}"}
          ledger: {url: "sqlite:///.wiro/ledger.db", daily_budget_usd: 10}
          video_store: videos
    """

    prompt_file: Annotated[
        str | None,
        dg.Resolver.default(
            description=(
                "YAML, JSON or CSV, relative to this file; or s3://bucket/key.yaml. Leave it out "
                "where prompt_asset is given."
            ),
            examples=["prompts.yaml", "s3://bucket/prompts.yaml"],
        ),
    ] = None
    prompt_asset: Annotated[
        str | None,
        dg.Resolver.default(
            description="Key of an asset that makes a table of prompts, instead of a file.",
            examples=["marketing/prompts"],
        ),
    ] = None
    name: Annotated[
        str,
        dg.Resolver.default(
            description=(
                "Part of the names of assets, partitions and sensors: letters, digits and _. Empty "
                "for the default collection."
            ),
            examples=["ads"],
        ),
    ] = ""
    orders: Annotated[
        OrderBy,
        dg.Resolver.default(
            description=(
                'What orders videos: "manual" (a person or a schedule does), "new" (prompts that '
                'were never ordered are), "new_and_changed". The budget holds in every case.'
            ),
            examples=list(get_args(OrderBy)),
            json_schema_extra=one_of(OrderBy),
        ),
    ] = "manual"
    order_missing: Annotated[
        MorningOrders | None,
        dg.Resolver.default(
            description="A schedule that orders every prompt that has no video.",
            examples=[{"cron_schedule": "0 6 * * *", "execution_timezone": "Europe/Berlin"}],
        ),
    ] = None
    account: Annotated[
        WiroAccount | None,
        dg.Resolver.default(
            description="The Wiro account that pays.",
            examples=[
                {"api_key": "{{ env.WIRO_API_KEY }}", "api_secret": "{{ env.WIRO_API_SECRET }}"}
            ],
        ),
    ] = None
    ledger: Annotated[
        WiroLedger | None,
        dg.Resolver.default(
            description="The database of orders, and the budget.",
            examples=[{"url": "sqlite:///.wiro/ledger.db", "daily_budget_usd": 10}],
        ),
    ] = None
    video_store: Annotated[
        str | None,
        dg.Resolver.default(
            description="Where videos go: a folder of the project, or s3://bucket/prefix.",
            examples=["videos", "s3://bucket/videos"],
        ),
    ] = None
    checks: Annotated[
        dict[str, str | float],
        dg.Resolver.default(
            description=(
                'How much each check on the videos matters: "error", "warn" or "off" for playable, '
                "duration, resolution, black, frozen, aspect_ratio, cost and size; black_share and "
                "frozen_share are shares of a video, 0 to 1."
            ),
            examples=[{"frozen": "off", "black_share": 0.5}],
        ),
    ] = Field(default_factory=dict)
    group_name: Annotated[
        str, dg.Resolver.default(description="Asset group in Dagster.", examples=["marketing"])
    ] = "wiro"
    owners: Annotated[
        list[str],
        dg.Resolver.default(
            description="Dagster owners of the assets.", examples=[["team:marketing"]]
        ),
    ] = Field(default_factory=list)
    tags: Annotated[
        dict[str, str],
        dg.Resolver.default(
            description="Dagster tags of the assets.", examples=[{"campaign": "spring"}]
        ),
    ] = Field(default_factory=dict)
    on_terminate: Annotated[
        OnTerminate,
        dg.Resolver.default(
            description=(
                "What terminating a run that waits for videos does to their tasks: they go on, and "
                'the sensor delivers them ("leave"), or they are cancelled at Wiro ("cancel").'
            ),
            examples=list(get_args(OnTerminate)),
            json_schema_extra=one_of(OnTerminate),
        ),
    ] = "leave"
    wait_deadline_seconds: Annotated[
        float,
        dg.Resolver.default(
            description=(
                "How long a run of video waits at the most; the sensor delivers what is late."
            ),
            examples=[3600],
        ),
    ] = 86400.0
    pool: Annotated[
        str | None,
        dg.Resolver.default(
            description="Dagster concurrency pool of the step that waits for videos.",
            examples=["wiro_waiting"],
        ),
    ] = None

    def build_collection(self, folder: Path) -> VideoCollection:
        """The collection that these settings describe.

        Args:
            folder: what a relative prompt file starts from.

        Raises:
            ConfigurationError: settings do not fit each other.
        """
        collection = VideoCollection(
            prompt_source=self._build_source(folder),
            name=self.name,
            group_name=self.group_name,
            on_terminate=self.on_terminate,
            wait_deadline_seconds=self.wait_deadline_seconds,
            owners=tuple(self.owners),
            tags=tuple(self.tags.items()),
            orders=self.orders,
            pool=self.pool,
            checks=self._build_checks(),
        )
        # What is given here is this collection's own; what is not is the project's.
        own = collection.prefixed
        return replace(
            collection,
            wiro=collection.wiro if self.account is None else own(collection.wiro),
            ledger=collection.ledger if self.ledger is None else own(collection.ledger),
            store=collection.store if self.video_store is None else own(collection.store),
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the collection, with the resources that are given here."""
        collection = self.build_collection(context.path)
        defs = [build_video_definitions(collection)]
        if self.order_missing is not None:
            schedule = build_missing_videos_schedule(
                collection,
                cron_schedule=self.order_missing.cron_schedule,
                execution_timezone=self.order_missing.execution_timezone,
            )
            defs.append(dg.Definitions(schedules=[schedule]))
        resources = self._build_resources(collection, context.project_root)
        return dg.Definitions.merge(*defs, dg.Definitions(resources=resources))

    def _build_source(self, folder: Path) -> PromptSource:
        if self.prompt_file is not None and self.prompt_asset is None:
            return build_prompt_source(self.prompt_file, folder)
        if self.prompt_asset is not None and self.prompt_file is None:
            return AssetPrompts(dg.AssetKey.from_user_string(self.prompt_asset))
        raise ConfigurationError(
            f"{folder / 'defs.yaml'} must say where the prompts come from. Give either prompt_file "
            "or prompt_asset."
        )

    def _build_checks(self) -> VideoChecks:
        known = [setting.name for setting in fields(VideoChecks)]
        for name in self.checks:
            if name not in known:
                raise ConfigurationError(
                    f'checks in defs.yaml has "{name}". Choose from {", ".join(known)}.'
                )
        return VideoChecks(**cast("Any", self.checks))

    def _build_resources(self, collection: VideoCollection, project: Path) -> dict[str, Any]:
        resources: dict[str, Any] = {}
        if self.account is not None:
            resources[collection.wiro] = self.account.build_resource()
        if self.ledger is not None:
            resources[collection.ledger] = self.ledger.build_resource(project)
        if self.video_store is not None:
            resources[collection.store] = _build_store(self.video_store, project)
        return resources


def _build_store(place: str, project: Path) -> VideoStoreResource:
    is_folder = "://" not in place
    return build_video_store(str(project / Path(place).expanduser()) if is_folder else place)
