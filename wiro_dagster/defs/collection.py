"""A collection: a set of prompts, the videos they become, and the names Dagster knows them by."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal, cast, get_args

import dagster as dg

from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.progress import ProgressFeed
from wiro_dagster.catalogue import Catalogue
from wiro_dagster.defs.asset_files import resolve_asset_files
from wiro_dagster.defs.prompt_sources import FilePrompts, LoadAsset, PromptSource
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.ledger import Ledger
from wiro_dagster.orders import OrderContext, OrderDesk, OrderPolicy
from wiro_dagster.orders.models import Models
from wiro_dagster.orders.verdicts import VideoChecks
from wiro_dagster.prompts import PromptFile, list_changes
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.stores import VideoStoreResource

OnTerminate = Literal["leave", "cancel"]
"""What terminating a run that waits for videos does to their tasks: nothing (the sensor delivers
them), or cancel them at Wiro. A worker that is merely restarted never cancels."""

OrderBy = Literal["manual", "new", "new_and_changed"]
"""What orders videos.

manual           a person, a schedule, or a condition of your own
new              the sensor, as soon as it sees a prompt that was never ordered
new_and_changed  the same, and prompts whose text, model or inputs have changed since

What failed or was cancelled is not ordered again by the sensor. The budget holds in every case.
"""

# Sensors get new resources at every tick; connections, thread pools and downloads that are under
# way outlive them here.
_desks: dict[Hashable, OrderDesk] = {}
_desks_lock = Lock()


@dataclass(frozen=True)
class VideoCollection:
    """One set of prompts and the Dagster definitions that make its videos.

    The default collection has the asset keys `prompt`, `video_order` and `video`, the partitions
    `prompts` and the sensors `prompt_file_sensor` and `video_order_sensor`. A collection named
    `ads` has `ads/video_order`, `ads/video`, `ads_prompts`, `ads_prompt_file_sensor` and so on, so
    that several live side by side.

    Args:
        prompt_file: YAML, JSON or CSV; see the README.
        prompt_source: where the prompts come from instead of a file: an `AssetPrompts`, an
            `S3Prompts`, or your own.
        name: empty for the default collection; else letters, digits and `_`.
        group_name: asset group in Dagster.
        wiro: resource key of the `WiroResource`.
        ledger: resource key of the `LedgerResource`.
        store: resource key of the `VideoStoreResource`.
        on_terminate: what terminating a waiting run does to its tasks.
        wait_deadline_seconds: how long a run of `video` waits at the most. What has not come by
            then is delivered by the sensor.
        policy: timings of orders, and what becomes of files at Wiro.
        model_folder: the project's own catalogue entries, written by `wiro-dagster models add`.
        checks: how much each check on the videos matters.
        owners: Dagster owners of the assets.
        tags: Dagster tags of the assets.
        orders: what orders videos by itself.
        pool: Dagster concurrency pool of the step that waits for videos, to limit how many
            workers wait at once.
        input_assets: assets whose files prompts may name as inputs, as `{asset: portraits}`; keys,
            or `dg.AssetDep` with a partition mapping of its own. `video_order` depends on them,
            each partition on the one of the same key where they have partitions.
        allowed_folders: folders from which a prompt file may take local files, beside its own
            folder; relative ones start from there.
    """

    prompt_file: Path | None = None
    name: str = ""
    group_name: str = "wiro"
    wiro: str = "wiro"
    ledger: str = "wiro_ledger"
    store: str = "video_store"
    on_terminate: OnTerminate = "leave"
    wait_deadline_seconds: float = 86400.0
    policy: OrderPolicy = field(default_factory=OrderPolicy)
    model_folder: Path | None = None
    checks: VideoChecks = field(default_factory=VideoChecks)
    owners: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    orders: OrderBy = "manual"
    pool: str | None = None
    prompt_source: PromptSource | None = None
    input_assets: Sequence[str | dg.AssetKey | dg.AssetDep] = field(default=(), hash=False)
    allowed_folders: tuple[str | Path, ...] = ()

    def __post_init__(self) -> None:
        """Refuses what Dagster would refuse later, and less clearly."""
        if (self.prompt_file is None) == (self.prompt_source is None):
            raise ConfigurationError(
                "A collection's prompts come from one place. Give either prompt_file or "
                "prompt_source."
            )
        if self.orders not in get_args(OrderBy):
            choices = ", ".join(f'"{choice}"' for choice in get_args(OrderBy))
            raise ConfigurationError(f'orders is "{self.orders}". Write one of {choices}.')
        if self.name and not self.name.replace("_", "a").isalnum():
            raise ConfigurationError(
                f'The collection name "{self.name}" may have letters, digits and "_" only.'
            )

    @property
    def source(self) -> PromptSource:
        """Where the prompts come from."""
        source = self.prompt_source
        if self.prompt_file is not None:
            source = FilePrompts(self.prompt_file)
        if isinstance(source, FilePrompts) and self.allowed_folders:
            return replace(source, allowed_folders=tuple(map(Path, self.allowed_folders)))
        return cast("PromptSource", source)  # one of the two is given

    @property
    def prompt_key(self) -> dg.AssetKey:
        """Asset key of the prompts."""
        return self._key("prompt")

    @property
    def order_key(self) -> dg.AssetKey:
        """Asset key of the orders."""
        return self._key("video_order")

    @property
    def video_key(self) -> dg.AssetKey:
        """Asset key of the videos."""
        return self._key("video")

    @property
    def cost_key(self) -> dg.AssetKey:
        """Asset key of what the videos cost."""
        return self._key("video_costs")

    def _key(self, name: str) -> dg.AssetKey:
        return dg.AssetKey([self.name, name] if self.name else [name])

    def prefixed(self, name: str) -> str:
        """A name that is this collection's own: `ads_prompts` for `prompts`."""
        return f"{self.name}_{name}" if self.name else name

    @property
    def partitions(self) -> dg.DynamicPartitionsDefinition:
        """One partition a prompt."""
        return dg.DynamicPartitionsDefinition(name=self.prefixed("prompts"))

    @property
    def ledger_name(self) -> str:
        """What the ledger calls this collection."""
        return self.video_key.to_user_string()

    @property
    def input_deps(self) -> list[dg.AssetDep]:
        """The assets whose files prompts may name, as dependencies."""
        return [_input_dep(asset) for asset in self.input_assets]

    @property
    def input_keys(self) -> list[dg.AssetKey]:
        """Their keys."""
        return [dep.asset_key for dep in self.input_deps]

    @property
    def io_manager(self) -> str:
        """Resource key of the IO manager that gives videos to other assets."""
        return self.prefixed("video_io_manager")

    @property
    def resource_keys(self) -> set[str]:
        """Resources that this collection's definitions need."""
        return {self.wiro, self.ledger, self.store, *self.source.resource_keys}

    def open_desk(self, resources: Any) -> OrderDesk:
        """The order desk of this collection, one for each process and configuration.

        Args:
            resources: of a Dagster context.

        Raises:
            ConfigurationError: a resource is missing a setting, or has a wrong one.
            LedgerError: the ledger cannot be used.
        """
        wiro: WiroResource = getattr(resources, self.wiro)
        ledger: LedgerResource = getattr(resources, self.ledger)
        store: VideoStoreResource = getattr(resources, self.store)
        client, opened, limits = wiro.get_client(), ledger.get_ledger(), ledger.get_limits()
        key = (self, client, opened, limits, type(store), store.model_dump_json())
        with _desks_lock:
            if key not in _desks:
                _desks[key] = OrderDesk(
                    OrderContext(
                        ledger=opened,
                        client=client,
                        store=store.get_store(),
                        quoter=self._open_models(opened, client).quote,
                        account=wiro.get_account(),
                        collection=self.ledger_name,
                        limits=limits,
                        policy=self.policy,
                        identify_runs=wiro.identify_runs,
                        callback_base_url=wiro.callback_base_url,
                        answers_folder=opened.answers_folder,
                        threads=wiro.concurrent_requests,
                    )
                )
            return _desks[key]

    def load_prompts(
        self, resources: Any, instance: dg.DagsterInstance, load_asset: LoadAsset | None = None
    ) -> PromptFile:
        """Reads and checks the prompts, and looks up the files of assets that they name.

        Args:
            resources: of a Dagster context.
            instance: keeps the event log.
            load_asset: gives values of other assets, for prompts that come from one; see
                `asset_loader`.

        Raises:
            InputError: they cannot be read at all.
        """

        def load(catalogue: Catalogue) -> PromptFile:
            return self.source.load(catalogue, resources, load_asset)

        catalogue = self._open_catalogue(resources)
        found = load(catalogue)
        found = replace(found, changes=list_changes(found, catalogue, load))
        store: VideoStoreResource = getattr(resources, self.store)
        return resolve_asset_files(
            found,
            source=self.source.name,
            instance=instance,
            open_store=store.get_store,
            input_assets=self.input_keys,
        )

    def open_progress(self, resources: Any) -> ProgressFeed | None:
        """A feed of tasks' events; `None` where the service has none."""
        wiro: WiroResource = getattr(resources, self.wiro)
        return wiro.open_progress()

    def _open_catalogue(self, resources: Any) -> Catalogue:
        wiro: WiroResource = getattr(resources, self.wiro)
        ledger: LedgerResource = getattr(resources, self.ledger)
        return self._open_models(ledger.get_ledger(), wiro.get_client()).catalogue

    def _open_models(self, ledger: Ledger, client: WiroClient) -> Models:
        return Models(
            ledger,
            client,
            model_folder=self.model_folder,
            longest_run_seconds=self.policy.run_deadline_seconds,
            max_age_seconds=self.policy.model_max_age_seconds,
        )


def _input_dep(asset: str | dg.AssetKey | dg.AssetDep) -> dg.AssetDep:
    if isinstance(asset, dg.AssetDep):
        return asset
    key = dg.AssetKey.from_user_string(asset) if isinstance(asset, str) else asset
    # Dagster's own choice for two kinds of partitions is "every one depends on all".
    return dg.AssetDep(key, partition_mapping=dg.IdentityPartitionMapping())
