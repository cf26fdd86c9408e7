"""A collection of videos as a component: `defs.yaml` in, the builders' definitions out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, get_args

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, InstanceOf, PrivateAttr

from wiro_dagster.component.scaffolder import WiroVideoScaffolder
from wiro_dagster.component.settings import (
    ACCOUNT,
    CHECKS,
    FILE,
    LEDGER,
    POLICY,
    RESOURCE_KEYS,
    SCHEDULE,
    STORE,
    TABLE,
    MissingVideosSchedule,
    locate_ledger,
    locate_store,
)
from wiro_dagster.component.yaml_reading import (
    BareSecret,
    argument_descriptions,
    find_place,
    refuse_bare_secret,
    with_exact_schema,
)
from wiro_dagster.defs.build import build_video_definitions
from wiro_dagster.defs.collection import OnTerminate, OrderBy, VideoCollection
from wiro_dagster.defs.prompt_sources import (
    AssetPrompts,
    PromptSource,
    S3Prompts,
    build_prompt_source,
)
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.orders import OrderPolicy
from wiro_dagster.orders.verdicts import VideoChecks
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.stores import VideoStoreResource

_DESCRIPTIONS = argument_descriptions(VideoCollection)


def _like_collection(name: str, *examples: Any, more: str = "", **schema: Any) -> dg.Resolver:
    """A field that `VideoCollection` has too, in its words."""
    resolver: dg.Resolver = dg.Resolver.default(
        description=f"{_DESCRIPTIONS.get(name, '')} {more}".strip(),
        examples=list(examples),
        json_schema_extra=schema,
    )
    return resolver


@dg.scaffold_with(WiroVideoScaffolder)
class WiroVideoComponent(dg.Component, dg.Model, dg.Resolvable):
    """Paid, generated videos from a file of prompts: each entry is one partition and one video.

    Makes what `build_video_definitions` makes. Where `account`, `ledger` or `video_store` is left
    out, the project's resource `wiro`, `wiro_ledger` or `video_store` is used, so that several
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

    model_config = ConfigDict(arbitrary_types_allowed=True)

    prompt_file: Annotated[
        S3Prompts | str | None,
        FILE.resolver(
            "YAML, JSON or CSV, relative to this file; or s3://bucket/key.yaml, or that and the "
            "resource that reads it. Leave it out where prompt_asset is given.",
            examples=["prompts.yaml", "s3://bucket/prompts.yaml"],
            pattern=r"^(s3://[^/]+/.+|(?!.*://).+)$",
        ),
    ] = None
    prompt_asset: Annotated[
        InstanceOf[AssetPrompts] | None,
        TABLE.resolver(
            "An asset that makes a table of prompts, instead of a file.",
            examples=[{"asset_key": "marketing/prompts"}],
        ),
    ] = None
    name: Annotated[str, _like_collection("name", "ads", pattern=r"^\w*$")] = ""
    orders: Annotated[
        OrderBy,
        _like_collection(
            "orders",
            *get_args(OrderBy),
            more='"manual": nothing, a person or a schedule does. "new": the sensor orders prompts '
            'that never were. "new_and_changed": changed ones too. The budget holds in every case.',
        ),
    ] = "manual"
    order_missing: Annotated[
        MissingVideosSchedule | None,
        SCHEDULE.resolver(
            "A schedule that orders every prompt that has no video.",
            examples=[{"cron_schedule": "0 6 * * *", "execution_timezone": "Europe/Berlin"}],
        ),
    ] = None
    account: Annotated[
        InstanceOf[WiroResource] | BareSecret | None,
        ACCOUNT.resolver(
            "The Wiro account that pays.",
            examples=[
                {"api_key": "{{ env.WIRO_API_KEY }}", "api_secret": "{{ env.WIRO_API_SECRET }}"}
            ],
        ),
    ] = None
    ledger: Annotated[
        InstanceOf[LedgerResource] | BareSecret | None,
        LEDGER.resolver(
            "The database of orders, and the budget in USD. A relative SQLite path starts from the "
            "project's folder.",
            examples=[{"url": "sqlite:///.wiro/ledger.db", "daily_budget_usd": 10}],
        ),
    ] = None
    video_store: Annotated[
        InstanceOf[VideoStoreResource] | BareSecret | str | None,
        STORE.resolver(
            "Where videos go: a folder of the project, s3://bucket/prefix, or path or bucket and "
            "what they need.",
            examples=["videos", "s3://media/videos"],
            pattern=r"^(s3://[^/]+.*|(?!.*://).+)$",
        ),
    ] = None
    resource_keys: Annotated[
        dict[str, str],
        RESOURCE_KEYS.resolver(
            "What the project's own resources are called, where account, ledger or video_store is "
            "left out.",
            examples=[{"wiro": "wiro_of_marketing"}],
        ),
    ] = Field(default_factory=dict)
    policy: Annotated[
        OrderPolicy,
        POLICY.resolver(_DESCRIPTIONS.get("policy", ""), examples=[{"run_deadline_seconds": 1800}]),
    ] = Field(default_factory=OrderPolicy)
    checks: Annotated[
        VideoChecks,
        CHECKS.resolver(
            _DESCRIPTIONS.get("checks", ""), examples=[{"frozen": "off", "black_share": 0.5}]
        ),
    ] = Field(default_factory=VideoChecks)
    model_folder: Annotated[
        str | None, _like_collection("model_folder", "models", more="A folder of the project.")
    ] = None
    input_assets: Annotated[list[str], _like_collection("input_assets", ["portraits"])] = Field(
        default_factory=list
    )
    allowed_folders: Annotated[list[str], _like_collection("allowed_folders", ["../media"])] = (
        Field(default_factory=list)
    )
    group_name: Annotated[str, _like_collection("group_name", "marketing")] = "wiro"
    owners: Annotated[list[str], _like_collection("owners", ["team:marketing"])] = Field(
        default_factory=list
    )
    tags: Annotated[dict[str, str], _like_collection("tags", {"campaign": "spring"})] = Field(
        default_factory=dict
    )
    on_terminate: Annotated[
        OnTerminate,
        _like_collection(
            "on_terminate",
            *get_args(OnTerminate),
            more='"leave": they go on, and the sensor delivers them. "cancel": Wiro cancels them.',
        ),
    ] = "leave"
    wait_deadline_seconds: Annotated[float, _like_collection("wait_deadline_seconds", 3600)] = (
        86400.0
    )
    pool: Annotated[str | None, _like_collection("pool", "wiro_waiting")] = None

    _place: str = PrivateAttr(default="defs.yaml")

    @classmethod
    def model(cls) -> type[BaseModel]:
        """What `attributes` may hold; its schema is what editors and `dg check yaml` go by."""
        return with_exact_schema(super().model())

    @classmethod
    def resolve_from_model(
        cls, context: dg.ResolutionContext, model: BaseModel
    ) -> WiroVideoComponent:
        """The component as YAML describes it."""
        component: WiroVideoComponent = super().resolve_from_model(context, model)
        component._place = find_place(context)
        return component

    def build_collection(self, folder: Path, project: Path) -> VideoCollection:
        """The collection that these settings describe.

        Args:
            folder: what a relative prompt file starts from.
            project: what a relative model folder starts from.

        Raises:
            ConfigurationError: settings do not fit each other.
        """
        collection = VideoCollection(
            prompt_source=self.build_source(folder),
            name=self.name,
            group_name=self.group_name,
            on_terminate=self.on_terminate,
            wait_deadline_seconds=self.wait_deadline_seconds,
            policy=self.policy,
            model_folder=None if self.model_folder is None else project / self.model_folder,
            checks=self.checks,
            owners=tuple(self.owners),
            tags=tuple(self.tags.items()),
            orders=self.orders,
            pool=self.pool,
            input_assets=tuple(self.input_assets),
            allowed_folders=tuple(self.allowed_folders),
        )
        # What is given here is this collection's own; what is not is the project's.
        given = {"wiro": self.account, "ledger": self.ledger, "store": self.video_store}
        keys = {
            name: (str if value is None else collection.prefixed)(getattr(collection, name))
            for name, value in given.items()
        } | self.resource_keys
        return replace(collection, wiro=keys["wiro"], ledger=keys["ledger"], store=keys["store"])

    def build_source(self, folder: Path) -> PromptSource:
        """Where the prompts come from. Override it to bring a source of your own.

        Args:
            folder: what a relative prompt file starts from.

        Raises:
            ConfigurationError: no place is named, or two are.
        """
        if self.prompt_file is not None and self.prompt_asset is None:
            if isinstance(self.prompt_file, S3Prompts):
                return self.prompt_file
            return build_prompt_source(self.prompt_file, folder)
        if self.prompt_asset is not None and self.prompt_file is None:
            return self.prompt_asset
        raise ConfigurationError(
            "It must say where the prompts come from. Give either prompt_file or prompt_asset."
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the collection, with the resources that are given here.

        Raises:
            ConfigurationError: settings do not fit each other, or a secret stands in the file.
        """
        for part in (self.account, self.ledger, self.video_store):
            refuse_bare_secret(part)
        try:
            collection = self.build_collection(context.path, context.project_root)
            resources = self._build_resources(collection, context.project_root)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._place}: {error}") from None
        defs = [build_video_definitions(collection), dg.Definitions(resources=resources)]
        if self.order_missing is not None:
            defs.append(dg.Definitions(schedules=[self.order_missing.build(collection)]))
        return dg.Definitions.merge(*defs)

    def _build_resources(self, collection: VideoCollection, project: Path) -> dict[str, Any]:
        resources: dict[str, Any] = {}
        if isinstance(self.account, WiroResource):
            resources[collection.wiro] = self.account
        if isinstance(self.ledger, LedgerResource):
            resources[collection.ledger] = locate_ledger(self.ledger, project)
        if isinstance(self.video_store, (str, VideoStoreResource)):
            resources[collection.store] = locate_store(self.video_store, project)
        return resources
