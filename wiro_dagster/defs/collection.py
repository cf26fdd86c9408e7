"""A collection: a set of prompts, the videos they become, and the names Dagster knows them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import quote

import dagster as dg

from wiro_dagster.defs.arguments import refuse_wrong_arguments
from wiro_dagster.defs.choices import AutoOrder, Collect, Failures, OnTerminate
from wiro_dagster.defs.process_cache import ProcessCache
from wiro_dagster.defs.prompt_sources import FilePrompts, PromptSource
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.defs.translator import AssetName, VideoAssetProps, VideoTranslator
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.orders import OrderPolicy
from wiro_dagster.orders.verdicts import VideoChecks


@dataclass(frozen=True)
class VideoCollection:
    """One set of prompts and the Dagster definitions that make its videos.

    The default collection has the asset keys `prompt`, `video_order` and `video`, the partitions
    `prompts` and the sensors `prompt_file_sensor` and `video_order_sensor`. A collection named
    `ads` has `ads/video_order`, `ads/video`, `ads_prompts`, `ads_prompt_file_sensor` and so on, so
    that several collections fit into one code location.

    Args:
        prompt_file: YAML, JSON or CSV; see the README.
        prompt_source: where prompts come from instead of a file: an `AssetPrompts`, an
            `S3Prompts`, or your own.
        name: empty for the default collection; else letters, digits and `_`.
        auto_order: what the prompt sensor orders.
        needs_approval: whether orders wait, with their quotes, until they are approved.
        priority: of orders whose prompt states none; higher goes first, 10 is urgent.
        group_name: asset group in Dagster.
        owners: Dagster owners of the assets.
        tags: Dagster tags of the assets.
        translator: changes keys, groups, descriptions, owners or tags of single assets.
        input_assets: assets whose files prompts may name as inputs, as `{asset: portraits}`: keys,
            or `dg.AssetDep` with its own partition mapping. `video_order` depends on them. If they
            are partitioned, each partition depends on the one with the same key.
        allowed_folders: folders, beside its own, from which a prompt file may take local files;
            relative to the prompt file's folder.
        checks: severities and limits of the checks on the videos.
        failures: how a failed order shows in Dagster.
        collect: where finished videos are fetched, verified and stored.
        collect_batch: the most videos that one run collects, if `collect` is "runs".
        collect_runs: how many such runs may be under way at once.
        policy: timings of orders, and what happens to files at Wiro.
        model_folder: the project's own catalogue entries, written by `wiro-dagster models add`.
        on_terminate: what terminating a waiting run does to its tasks.
        wait_deadline_seconds: the longest that a run of `video` waits. The sensor delivers what
            has not arrived by then.
        pool: Dagster concurrency pool of the step that waits for videos, to limit how many
            workers wait at once.
        op_tags: tags of the steps of `video_order` and `video`, such as resource requests.
        retry_policy: Dagster's retries of these steps after a crash. A retry orders nothing twice.
        default_status: whether the sensors run from the start.
        minimum_interval_seconds: the shortest time between two ticks of a sensor. Between them,
            orders are sent, followed and delivered all the same. Prompts are looked at every 20
            seconds at most, and the gallery once a minute.
        dagster_url: where Dagster's UI is, such as http://127.0.0.1:3000: the gallery links to the
            videos' partitions there.
        wiro: resource key of the `WiroResource`.
        ledger: resource key of the `LedgerResource`.
        store: resource key of the `VideoStoreResource`.
        timing: clocks and pauses of waiting runs; tests replace them.
        cache: what outlives a tick; tests that build a collection anew share one.

    Raises:
        ConfigurationError: an argument has a wrong type or value.
    """

    prompt_file: str | PathLike[str] | None = None
    name: str = ""
    auto_order: AutoOrder = "never"
    needs_approval: bool = False
    priority: int = 0
    group_name: str = "wiro"
    owners: Sequence[str] = field(default=(), hash=False)
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    translator: VideoTranslator = field(default_factory=VideoTranslator, compare=False)
    prompt_source: PromptSource | None = None
    input_assets: Sequence[str | dg.AssetKey | dg.AssetDep] = field(default=(), hash=False)
    allowed_folders: Sequence[str | PathLike[str]] = field(default=(), hash=False)
    checks: VideoChecks = field(default_factory=VideoChecks)
    failures: Failures = "run"
    collect: Collect = "sensor"
    collect_batch: int = 20
    collect_runs: int = 2
    policy: OrderPolicy = field(default_factory=OrderPolicy)
    model_folder: str | PathLike[str] | None = None
    on_terminate: OnTerminate = "leave"
    wait_deadline_seconds: float = 86400.0
    pool: str | None = None
    op_tags: Mapping[str, Any] = field(default_factory=dict, hash=False)
    retry_policy: dg.RetryPolicy | None = None
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING
    minimum_interval_seconds: int = 29
    dagster_url: str | None = None
    wiro: str = "wiro"
    ledger: str = "wiro_ledger"
    store: str = "video_store"
    timing: WaitTiming = field(default_factory=WaitTiming, compare=False, repr=False)
    cache: ProcessCache = field(default_factory=ProcessCache, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse here what a tick would refuse later, and less clearly."""
        refuse_wrong_arguments(self)
        refuse_wrong_arguments(self.policy)
        if (self.prompt_file is None) == (self.prompt_source is None):
            raise ConfigurationError(
                "A collection has one source of prompts. Give either prompt_file or prompt_source."
            )
        if self.prompt_source is not None and not hasattr(self.prompt_source, "load"):
            raise ConfigurationError(
                f"prompt_source is {self.prompt_source!r}, which is not a prompt source. Use "
                "FilePrompts, S3Prompts, AssetPrompts, or a class with their methods."
            )
        if self.name and not self.name.replace("_", "a").isalnum():
            raise ConfigurationError(
                f'The collection name "{self.name}" is not valid. Use letters, digits and "_" only.'
            )
        if self.dagster_url and not self.dagster_url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f'dagster_url is "{self.dagster_url}". Write it as http://127.0.0.1:3000.'
            )
        for name in (
            "wait_deadline_seconds",
            "minimum_interval_seconds",
            "collect_batch",
            "collect_runs",
        ):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}. Use more than 0.")

    @property
    def video_url(self) -> str | None:
        """The page of `video` in Dagster's UI; None if it is not known where that is."""
        if self.dagster_url is None:
            return None
        path = "/".join(quote(part, safe="") for part in self.video_key.path)
        return f"{self.dagster_url.rstrip('/')}/assets/{path}"

    @property
    def source(self) -> PromptSource:
        """Where the prompts come from."""
        source = self.prompt_source
        if self.prompt_file is not None:
            source = FilePrompts(Path(self.prompt_file).expanduser())
        if isinstance(source, FilePrompts) and self.allowed_folders:
            return replace(source, allowed_folders=tuple(map(Path, self.allowed_folders)))
        return cast("PromptSource", source)  # __post_init__ requires one of the two

    def translate(self, asset: AssetName, spec: dg.AssetSpec) -> dg.AssetSpec:
        """Return how an asset looks after the translator.

        Args:
            asset: which of the collection's assets.
            spec: description, kinds and what else is special about it; its key is not used.
        """
        base = spec.replace_attributes(
            key=[self.name, asset] if self.name else [asset],
            group_name=self.group_name,
            owners=list(self.owners),
        ).merge_attributes(tags=dict(self.tags))
        return self.translator.get_asset_spec(VideoAssetProps(asset, self.name, base))

    @cached_property
    def _keys(self) -> dict[AssetName, dg.AssetKey]:
        return {name: self.translate(name, dg.AssetSpec(name)).key for name in get_args(AssetName)}

    @property
    def prompt_key(self) -> dg.AssetKey:
        """Asset key of the prompts."""
        return self._keys["prompt"]

    @property
    def order_key(self) -> dg.AssetKey:
        """Asset key of the orders."""
        return self._keys["video_order"]

    @property
    def video_key(self) -> dg.AssetKey:
        """Asset key of the videos."""
        return self._keys["video"]

    @property
    def gallery_key(self) -> dg.AssetKey:
        """Asset key of the page that shows the videos."""
        return self._keys["video_gallery"]

    @property
    def cost_key(self) -> dg.AssetKey:
        """Asset key of what the videos cost."""
        return self._keys["video_costs"]

    def prefixed(self, name: str) -> str:
        """Return a name that no other collection has: `ads_prompts` for `prompts`."""
        return f"{self.name}_{name}" if self.name else name

    @property
    def partitions(self) -> dg.DynamicPartitionsDefinition:
        """One partition for each prompt."""
        return dg.DynamicPartitionsDefinition(name=self.prefixed("prompts"))

    @property
    def ledger_name(self) -> str:
        """What the ledger calls this collection: the same, whatever a translator does to keys."""
        return f"{self.name}/video" if self.name else "video"

    @property
    def input_deps(self) -> list[dg.AssetDep]:
        """The assets whose files prompts may name, as dependencies."""
        return [_input_dep(asset) for asset in self.input_assets]

    @property
    def input_keys(self) -> list[dg.AssetKey]:
        """The keys of these assets."""
        return [dep.asset_key for dep in self.input_deps]

    @property
    def io_manager(self) -> str:
        """Resource key of the IO manager through which other assets read videos."""
        return self.prefixed("video_io_manager")

    @property
    def resource_keys(self) -> set[str]:
        """Resources that this collection's definitions need."""
        return {self.wiro, self.ledger, self.store, *self.source.resource_keys}


def _input_dep(asset: str | dg.AssetKey | dg.AssetDep) -> dg.AssetDep:
    if isinstance(asset, dg.AssetDep):
        return asset
    key = dg.AssetKey.from_user_string(asset) if isinstance(asset, str) else asset
    # By default, Dagster would make every partition depend on all of the other asset's.
    return dg.AssetDep(key, partition_mapping=dg.IdentityPartitionMapping())
