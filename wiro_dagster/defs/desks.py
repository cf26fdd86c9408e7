"""From Dagster's resources to an order desk and its prompts.

Dagster makes new resources for every tick. What they open is kept in a cache that the code location
owns, so that connections and downloads outlive a tick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg

from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.sockets import TaskSockets
from wiro_dagster.catalogue import Catalogue
from wiro_dagster.defs.asset_files import resolve_asset_files
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.process_cache import ProcessCache
from wiro_dagster.defs.prompt_sources import LoadAsset
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.ledger import Ledger
from wiro_dagster.orders import OrderContext, OrderDesk, OrderPolicy
from wiro_dagster.orders.end_hints import EndHints
from wiro_dagster.orders.models import Models
from wiro_dagster.prompts import PromptFile, list_changes
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.stores import VideoStoreResource
from wiro_dagster.store import VideoStore

T = TypeVar("T")


@dataclass(frozen=True)
class Opener:
    """Opens what resources describe, once for each of their settings.

    Every method raises `ConfigurationError` if a resource is missing a setting or has a wrong one,
    and `LedgerError` if the ledger cannot be used.

    Args:
        wiro: the account that pays.
        budget: the ledger, and what may be spent.
        place: where the files are kept.
        cache: keeps what was opened.
        policy: rules and timings of orders.
        timing: has the clock of deadlines.
        model_folder: the project's own catalogue entries.
        needs_approval: whether orders wait until they are approved.
        priority: of orders whose prompt states none.
    """

    wiro: WiroResource
    budget: LedgerResource
    place: VideoStoreResource
    cache: ProcessCache
    policy: OrderPolicy
    timing: WaitTiming
    model_folder: Path | None = None
    needs_approval: bool = False
    priority: int = 0

    def open_ledger(self) -> Ledger:
        """Return the ledger."""
        return self._open_once(self.budget, self.budget.get_ledger)

    def open_client(self) -> WiroClient:
        """Return the client of the account."""
        return self._open_once(self.wiro, self.wiro.get_client)

    def open_store(self) -> VideoStore:
        """Return the store of the files."""
        return self._open_once(self.place, self.place.get_store)

    def open_models(self) -> Models:
        """Return what the models take and cost, as Wiro last said."""
        return Models(
            self.open_ledger(),
            self.open_client(),
            model_folder=self.model_folder,
            longest_run_seconds=self.policy.run_deadline_seconds,
            max_age_seconds=self.policy.model_max_age_seconds,
        )

    def open_hints(self) -> EndHints:
        """Return what hears of ends between two ticks."""
        return EndHints(self.cache.get((TaskSockets, _digest(self.wiro)), self.wiro.open_sockets))

    def open_desk(self, collection: str) -> OrderDesk:
        """Return the desk that works for one collection.

        Args:
            collection: what the ledger calls it.
        """
        ledger, client, store = self.open_ledger(), self.open_client(), self.open_store()
        limits = self.budget.get_limits()

        def make() -> OrderDesk:
            models = self.open_models()
            return OrderDesk(
                OrderContext(
                    ledger=ledger,
                    client=client,
                    store=store,
                    quoter=models.quote,
                    fit_inputs=models.fit_inputs,
                    account=self.wiro.get_account(),
                    collection=collection,
                    limits=limits,
                    policy=self.policy,
                    identify_runs=self.wiro.identify_runs,
                    callback_base_url=self.wiro.callback_base_url,
                    answers_folder=ledger.answers_folder,
                    threads=self.wiro.concurrent_requests,
                    needs_approval=self.needs_approval,
                    priority=self.priority,
                    hints=self.open_hints(),
                ),
                monotonic=self.timing.monotonic,
            )

        settings = (
            self.policy,
            self.timing,
            self.model_folder,
            self.needs_approval,
            self.priority,
            limits,
        )
        return self.cache.get(("desk", collection, *settings, ledger, client, store), make)

    def _open_once(self, resource: Any, open_it: Callable[[], T]) -> T:
        return self.cache.get((type(resource), _digest(resource)), open_it)


def _digest(resource: Any) -> str:
    # Settings hold secrets, which must not stay in memory as keys.
    return hashlib.sha256(resource.model_dump_json().encode()).hexdigest()


def opener_of(collection: VideoCollection, resources: Any) -> Opener:
    """Return what opens the resources of a collection.

    Args:
        collection: names them, and owns the cache.
        resources: of a Dagster context.
    """
    folder = collection.model_folder
    return Opener(
        wiro=getattr(resources, collection.wiro),
        budget=getattr(resources, collection.ledger),
        place=getattr(resources, collection.store),
        cache=collection.cache,
        policy=collection.policy,
        timing=collection.timing,
        model_folder=None if folder is None else Path(folder),
        needs_approval=collection.needs_approval,
        priority=collection.priority,
    )


def open_desk(collection: VideoCollection, resources: Any) -> OrderDesk:
    """Return the order desk of a collection.

    Args:
        collection: whose orders.
        resources: of a Dagster context.

    Raises:
        ConfigurationError: a resource is missing a setting, or has a wrong one.
        LedgerError: the ledger cannot be used.
    """
    return opener_of(collection, resources).open_desk(collection.ledger_name)


def load_prompts(
    collection: VideoCollection,
    resources: Any,
    instance: dg.DagsterInstance,
    load_asset: LoadAsset | None = None,
) -> PromptFile:
    """Read and check the prompts, and look up the files of assets that they name.

    Args:
        collection: whose prompts.
        resources: of a Dagster context.
        instance: keeps the event log.
        load_asset: loads values of other assets, for prompts that come from one; see
            `asset_loader`.

    Raises:
        InputError: they cannot be read at all.
    """

    def load(catalogue: Catalogue) -> PromptFile:
        return collection.source.load(catalogue, resources, load_asset)

    opener = opener_of(collection, resources)
    catalogue = opener.open_models().catalogue
    found = load(catalogue)
    return resolve_asset_files(
        replace(found, changes=list_changes(found, catalogue, load)),
        source=collection.source.name,
        instance=instance,
        open_store=opener.open_store,
        input_assets=collection.input_keys,
        cache=collection.cache,
    )
