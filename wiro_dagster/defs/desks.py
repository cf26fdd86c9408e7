"""From Dagster's resources to an order desk."""

from __future__ import annotations

from pathlib import Path

from wiro_dagster.catalogue import Catalogue
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.orders import OrderContext, OrderDesk, OrderPolicy
from wiro_dagster.orders.models import Models
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.stores import VideoStoreResource


def build_desk(
    wiro: WiroResource,
    ledger: LedgerResource,
    store: VideoStoreResource,
    *,
    collection: str,
    policy: OrderPolicy,
    timing: WaitTiming,
    model_folder: Path | None = None,
    needs_approval: bool = False,
) -> OrderDesk:
    """Build a desk that works for one collection.

    Args:
        wiro: the account that pays.
        ledger: keeps the orders, and the budget.
        store: keeps the files.
        collection: what the ledger calls the collection.
        policy: rules and timings.
        timing: has the clock of deadlines.
        model_folder: the project's own catalogue entries.
        needs_approval: whether orders wait until they are approved.

    Raises:
        ConfigurationError: a resource is missing a setting, or has a wrong one.
        LedgerError: the ledger cannot be used.
    """
    opened = ledger.get_ledger()
    models = open_models(wiro, ledger, policy=policy, model_folder=model_folder)
    return OrderDesk(
        OrderContext(
            ledger=opened,
            client=wiro.get_client(),
            store=store.get_store(),
            quoter=models.quote,
            fit_inputs=models.fit_inputs,
            account=wiro.get_account(),
            collection=collection,
            limits=ledger.get_limits(),
            policy=policy,
            identify_runs=wiro.identify_runs,
            callback_base_url=wiro.callback_base_url,
            answers_folder=opened.answers_folder,
            threads=wiro.concurrent_requests,
            needs_approval=needs_approval,
        ),
        monotonic=timing.monotonic,
    )


def open_catalogue(
    wiro: WiroResource, ledger: LedgerResource, *, policy: OrderPolicy, model_folder: Path | None
) -> Catalogue:
    """Return the catalogue of the models that the account can run."""
    return open_models(wiro, ledger, policy=policy, model_folder=model_folder).catalogue


def open_models(
    wiro: WiroResource, ledger: LedgerResource, *, policy: OrderPolicy, model_folder: Path | None
) -> Models:
    """Return what the models take and cost, as Wiro last said."""
    return Models(
        ledger.get_ledger(),
        wiro.get_client(),
        model_folder=model_folder,
        longest_run_seconds=policy.run_deadline_seconds,
        max_age_seconds=policy.model_max_age_seconds,
    )
