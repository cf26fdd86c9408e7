"""A collection of videos as a component: `defs.yaml` in, the builders' definitions out."""

# No `from __future__ import annotations`: Dagster resolves the fields by their annotations.
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import dagster as dg
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver
from pydantic import BaseModel, ConfigDict, Field, InstanceOf, PrivateAttr, ValidationError

from wiro_dagster.component.parts import (
    ACCOUNT,
    LEDGER,
    STORE,
    Checks,
    LedgerSettings,
    MissingVideosSchedule,
    Policy,
    PromptTable,
    ResourceKeys,
    Retries,
    S3File,
    locate_store,
)
from wiro_dagster.component.resolvers import BareSecret, described, find_place, refuse_bare_secret
from wiro_dagster.component.scaffolder import WiroVideoScaffolder
from wiro_dagster.defs.build import build_video_definitions
from wiro_dagster.defs.choices import AutoOrder, Collect, Failures, OnTerminate
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.prompt_sources import PromptSource, build_prompt_source
from wiro_dagster.defs.translator import VideoAssetProps, VideoTranslator
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.stores import VideoStoreResource

# Settings that the collection has too, with the same name and type.
_PASSED_ON = (
    "name",
    "auto_order",
    "needs_approval",
    "priority",
    "group_name",
    "owners",
    "tags",
    "input_assets",
    "allowed_folders",
    "failures",
    "collect",
    "collect_batch",
    "collect_runs",
    "on_terminate",
    "wait_deadline_seconds",
    "pool",
    "op_tags",
    "minimum_interval_seconds",
    "dagster_url",
)


def _translation_variables(props: VideoAssetProps) -> dict[str, Any]:
    return {"asset": props.asset, "collection": props.collection}


_TRANSLATION = TranslationFnResolver[VideoAssetProps](_translation_variables)


@dg.scaffold_with(WiroVideoScaffolder)
class WiroVideoComponent(dg.Component, dg.Model, dg.Resolvable):
    """Paid, generated videos from a file of prompts: each entry is one partition and one video.

    Makes what `build_video_definitions` makes. Without `account`, `ledger` or `video_store`, it
    uses the project's resource `wiro`, `wiro_ledger` or `video_store`, so that several collections
    can share them.

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
        S3File | str | None,
        described(
            "YAML, JSON or CSV, relative to this file; or s3://bucket/key.yaml, or that and the "
            "resource that reads it. Leave it out if prompt_asset is given.",
            "prompts.yaml",
            "s3://bucket/prompts.yaml",
        ),
    ] = None
    prompt_asset: Annotated[
        PromptTable | None,
        described(
            "An asset that makes a table of prompts, instead of a file.",
            {"asset_key": "marketing/prompts"},
        ),
    ] = None
    name: Annotated[
        str,
        described(
            "Prefix of assets, partitions and sensors; empty for the default collection.", "ads"
        ),
    ] = ""
    auto_order: Annotated[
        AutoOrder,
        described(
            'What the prompt sensor orders: "never" nothing, "new" prompts that were never '
            'ordered, "new_and_changed" changed ones too. The budget applies to every order.'
        ),
    ] = "never"
    needs_approval: Annotated[
        bool,
        described(
            "Orders wait, with their quotes, until you approve them: in the command line, by "
            "materializing video_order with approve: true, or from your own code."
        ),
    ] = False
    priority: Annotated[
        int,
        described(
            "Of orders whose prompt states none. If Wiro's limit or the budget lets only some "
            "through, higher goes first; 10 is urgent."
        ),
    ] = 0
    order_missing: Annotated[
        MissingVideosSchedule | None,
        described(
            "A schedule that orders every prompt that has no video.",
            {"cron_schedule": "0 6 * * *", "execution_timezone": "Europe/Berlin"},
        ),
    ] = None
    account: Annotated[
        InstanceOf[WiroResource] | BareSecret | None,
        described(
            "The Wiro account that pays.",
            {"api_key": "{{ env.WIRO_API_KEY }}", "api_secret": "{{ env.WIRO_API_SECRET }}"},
            by=ACCOUNT,
        ),
    ] = None
    ledger: Annotated[
        InstanceOf[LedgerResource] | LedgerSettings | BareSecret | None,
        described(
            "The database of orders, and the budget in USD. A relative SQLite path is relative to "
            "the project's folder.",
            {"url": "sqlite:///.wiro/ledger.db", "daily_budget_usd": 10},
            by=LEDGER,
        ),
    ] = None
    video_store: Annotated[
        InstanceOf[VideoStoreResource] | BareSecret | str | None,
        described(
            "Where videos are kept: a folder of the project, s3://bucket/prefix, or a mapping with "
            "path or bucket.",
            "videos",
            "s3://media/videos",
            by=STORE,
        ),
    ] = None
    resource_keys: Annotated[
        ResourceKeys,
        described(
            "The names of the project's own resources, if account, ledger or video_store is left "
            "out.",
            {"wiro": "wiro_of_marketing"},
        ),
    ] = ResourceKeys()
    policy: Annotated[
        Policy,
        described(
            "What happens to orders, and to their files at Wiro.", {"run_deadline_seconds": 1800}
        ),
    ] = Policy()
    checks: Annotated[
        Checks,
        described(
            "Severities (error, warn, off) and limits of the checks on the videos.",
            {"frozen": "off", "black_share": 0.5},
        ),
    ] = Checks()
    model_folder: Annotated[
        str | None,
        described("A folder of the project with catalogue entries of its own.", "models"),
    ] = None
    input_assets: Annotated[
        list[str], described("Assets whose files prompts may name as inputs.", ["portraits"])
    ] = Field(default_factory=list)
    allowed_folders: Annotated[
        list[str],
        described(
            "Folders, beside its own, from which a prompt file may take local files.", ["../media"]
        ),
    ] = Field(default_factory=list)
    group_name: Annotated[str, described("Asset group in Dagster.")] = "wiro"
    owners: Annotated[list[str], described("Owners of the assets.", ["team:marketing"])] = Field(
        default_factory=list
    )
    tags: Annotated[dict[str, str], described("Tags of the assets.", {"campaign": "spring"})] = (
        Field(default_factory=dict)
    )
    translation: Annotated[
        TranslationFn[VideoAssetProps] | None,
        described(
            "Key, key_prefix, group_name, description, owners, tags or kinds of single assets. "
            "{{ asset }} is prompt, video_order, video, video_gallery or video_costs.",
            {"key_prefix": "media", "description": "The {{ asset }} of our campaign."},
            by=_TRANSLATION,
        ),
    ] = None
    failures: Annotated[
        Failures,
        described(
            'How a failed order shows: "run" turns its partition red by a short run that fails, '
            '"event" is an observation.'
        ),
    ] = "run"
    collect: Annotated[
        Collect,
        described(
            'Where finished videos are fetched, verified and stored: "sensor" in its process, '
            '"runs" in runs that it requests.'
        ),
    ] = "sensor"
    collect_batch: Annotated[int, described("The most videos that one such run collects.")] = 20
    collect_runs: Annotated[int, described("How many such runs may be under way at once.")] = 2
    on_terminate: Annotated[
        OnTerminate,
        described(
            'What terminating a waiting run does to its tasks: "leave" lets the sensor deliver '
            'them, "cancel" cancels them at Wiro.'
        ),
    ] = "leave"
    wait_deadline_seconds: Annotated[float, described("The longest that a run of video waits.")] = (
        86400.0
    )
    pool: Annotated[
        str | None, described("Concurrency pool of the step that waits for videos.", "wiro_waiting")
    ] = None
    op_tags: Annotated[
        dict[str, Any],
        described(
            "Tags of the steps of video_order and video, such as resource requests.",
            {"dagster-k8s/config": {"container_config": {}}},
        ),
    ] = Field(default_factory=dict)
    retry_policy: Annotated[
        Retries | None,
        described(
            "Retries of these steps after a crash. A retry orders nothing twice.",
            {"max_retries": 2, "delay": 10},
        ),
    ] = None
    default_status: Annotated[
        Literal["RUNNING", "STOPPED"], described("Whether the sensors run from the start.")
    ] = "RUNNING"
    minimum_interval_seconds: Annotated[
        int, described("The shortest time between two ticks of a sensor.")
    ] = 29

    dagster_url: Annotated[
        str | None,
        described("Where Dagster's UI is: the gallery links there.", "http://127.0.0.1:3000"),
    ] = None

    _place: str = PrivateAttr(default="defs.yaml")

    @classmethod
    def resolve_from_model(
        cls, context: dg.ResolutionContext, model: BaseModel
    ) -> "WiroVideoComponent":
        """Resolve the component that YAML describes.

        Raises:
            ConfigurationError: a value does not fit its field.
        """
        try:
            component: WiroVideoComponent = super().resolve_from_model(context, model)
        except ValidationError as error:
            raise ConfigurationError(_explain(error, context)) from None
        component._place = find_place(context)
        return component

    def get_asset_spec(self, props: VideoAssetProps) -> dg.AssetSpec:
        """Return how an asset looks in Dagster. Override it for what `translation` cannot say.

        Args:
            props: which asset, and its default.
        """
        return props.spec if self.translation is None else self.translation(props.spec, props)

    def build_collection(self, folder: Path, project: Path) -> VideoCollection:
        """Build the collection that these settings describe.

        Args:
            folder: what a relative prompt file is relative to.
            project: what a relative model folder is relative to.

        Raises:
            ConfigurationError: settings contradict each other.
        """
        collection = VideoCollection(
            **{name: getattr(self, name) for name in _PASSED_ON},
            prompt_source=self.build_source(folder),
            translator=_ComponentTranslator(self),
            policy=self.policy.build(),
            checks=self.checks.build(),
            model_folder=None if self.model_folder is None else project / self.model_folder,
            retry_policy=None if self.retry_policy is None else self.retry_policy.build(),
            default_status=dg.DefaultSensorStatus(self.default_status),
        )
        # A part that YAML gives is a resource of this collection alone; the others are the
        # project's.
        own: dict[str, Any] = {
            "wiro": self.account,
            "ledger": self.ledger,
            "store": self.video_store,
        }
        keys: dict[str, Any] = {
            name: getattr(self.resource_keys, name)
            if part is None or name in self.resource_keys.model_fields_set
            else collection.prefixed(getattr(collection, name))
            for name, part in own.items()
        }
        return replace(collection, **keys)

    def build_source(self, folder: Path) -> PromptSource:
        """Build the source of prompts. Override it to use a source of your own.

        Args:
            folder: what a relative prompt file is relative to.

        Raises:
            ConfigurationError: no source is given, or two are.
        """
        if (self.prompt_file is None) == (self.prompt_asset is None):
            raise ConfigurationError(
                "A collection has one source of prompts. Give either prompt_file or prompt_asset."
            )
        if self.prompt_asset is not None:
            return self.prompt_asset.build()
        if isinstance(self.prompt_file, S3File):
            return self.prompt_file.build()
        return build_prompt_source(str(self.prompt_file), folder)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build the definitions of the collection, with the resources that are given here.

        Raises:
            ConfigurationError: settings contradict each other, or the file contains a secret.
        """
        for part in (self.account, self.ledger, self.video_store):
            refuse_bare_secret(part)
        try:
            collection = self.build_collection(context.path, context.project_root)
            resources = self._build_resources(collection, context.project_root)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._place}: {error}") from None
        defs = [build_video_definitions(collection, resources)]
        if self.order_missing is not None:
            defs.append(dg.Definitions(schedules=[self.order_missing.build(collection)]))
        return dg.Definitions.merge(*defs)

    def _build_resources(self, collection: VideoCollection, project: Path) -> dict[str, Any]:
        resources: dict[str, Any] = {}
        if isinstance(self.account, WiroResource):
            resources[collection.wiro] = self.account
        if isinstance(self.ledger, LedgerSettings):
            resources[collection.ledger] = self.ledger.build(project)
        elif isinstance(self.ledger, LedgerResource):
            resources[collection.ledger] = self.ledger
        if isinstance(self.video_store, (str, VideoStoreResource)):
            resources[collection.store] = locate_store(self.video_store, project)
        return resources


def _explain(error: ValidationError, context: dg.ResolutionContext) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(problem["loc"][0])
        lines.append(f"{find_place(context.at_path(name))}: {name}: {problem['msg']}.")
    return "\n".join(lines)


class _ComponentTranslator(VideoTranslator):
    """Asks the component how an asset looks."""

    def __init__(self, component: WiroVideoComponent) -> None:
        self._component = component

    def get_asset_spec(self, props: VideoAssetProps) -> dg.AssetSpec:
        return self._component.get_asset_spec(props)
