"""`WiroModels`: one call in an asset of the user's own runs any model, and pays for it once."""

# No `from __future__ import annotations`: Dagster reads the dependencies from the annotations.
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from wiro_dagster.catalogue import AssetFileInput, Catalogue, LocalFolders
from wiro_dagster.defs.asset_files import resolve_asset_files
from wiro_dagster.defs.choices import OnTerminate
from wiro_dagster.defs.desks import Opener
from wiro_dagster.defs.model_request import ModelRequest
from wiro_dagster.defs.model_result import ModelResult
from wiro_dagster.defs.model_run import FileKind, ModelRun
from wiro_dagster.defs.process_cache import ProcessCache
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.errors import ConfigurationError, InputError, OrderFailed
from wiro_dagster.orders import OrderPolicy
from wiro_dagster.prompts import Prompt, PromptFile, list_files, load_prompt_rows
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.stores import VideoStoreResource
from wiro_dagster.store import StoredFile

_SOURCE = "inputs"


class WiroModels(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Runs any model of Wiro's in an asset of your own, with all that a collection has.

    Example:
        @dg.asset
        def portrait(context: dg.AssetExecutionContext, wiro_models: WiroModels):
            return wiro_models.run(
                context, "bytedance/seedream-v4-5", prompt="A fox in the snow", max_usd=0.10
            ).materialize_result()
    """

    wiro: dg.ResourceDependency[WiroResource]
    """The account that pays."""
    ledger: dg.ResourceDependency[LedgerResource]
    """Keeps the orders, and the budget."""
    store: dg.ResourceDependency[VideoStoreResource]
    """Keeps the files."""
    model_folder: str | None = Field(
        default=None, description="A folder with catalogue entries of the project's own."
    )
    on_terminate: OnTerminate = Field(
        default="leave",
        description=(
            'What terminating a waiting run does to its task: "leave" lets the next run '
            'continue it, "cancel" cancels it at Wiro.'
        ),
    )
    wait_deadline_seconds: float = Field(
        default=86400.0, gt=0, description="The longest that a call waits for its files."
    )
    _cache: ProcessCache = PrivateAttr(default_factory=ProcessCache)

    def run(
        self,
        context: dg.AssetExecutionContext,
        model: str,
        *,
        prompt: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        take: int = 1,
        max_usd: float | Decimal | str | None = None,
        kind: FileKind | None = None,
        name: str | None = None,
        partition: str | None = None,
        attempts: int = 1,
        fallback_models: Sequence[str] = (),
    ) -> ModelResult:
        """Run a model once and return its files, which are in the video store.

        Asking again for the same in the same partition buys nothing, whether the first run ended,
        runs, or died.

        Args:
            context: of the asset. Its key and partition are what the run is paid for under.
            model: `owner/model`.
            prompt: the text; for models that take one.
            inputs: the model's other inputs. A file is a `Path`, a URL, an earlier `ModelResult`,
                one of its files, or a `dg.AssetKey`: the newest file of that asset in the same
                partition.
            take: counts the runs wanted of the same inputs, from 1.
            max_usd: the most that it may cost, all tries together.
            kind: what the files must be; anything else fails.
            name: tells several runs of one asset apart that are made side by side in one partition.
            partition: whose it is, if the run has several partitions.
            attempts: how often each model is tried, for reasons that may pass; see `OrderPolicy`.
            fallback_models: models to try next, for the same reasons.

        Raises:
            dg.Failure: there are no files: the inputs are wrong, it would cost too much, or the
                task failed. It names Wiro's reason and the cost; a retry would not help.
            LedgerError: the ledger cannot be used.
        """
        wanted = ModelRequest(
            model, prompt, inputs or {}, take, max_usd, kind, attempts, tuple(fallback_models)
        )
        collection = "/".join([*context.asset_key.path, *([] if name is None else [name])])
        try:
            read = self.read_prompt(
                wanted, partition or _find_partition(context), instance=context.instance
            )
            run = self.open_run(
                wanted, read, collection, waiter=context.run.run_id, log=context.log.info
            )
            return self._finish(context, run)
        except InputError as error:
            raise dg.Failure("\n".join(error.problems), allow_retries=False) from error
        except OrderFailed as error:
            raise _failure(error) from error

    def read_prompt(
        self,
        wanted: ModelRequest,
        partition: str,
        *,
        instance: dg.DagsterInstance | None = None,
        folders: LocalFolders | None = None,
    ) -> Prompt:
        """Check a request and look up its files. Nothing is ordered.

        Args:
            wanted: what is asked for.
            partition: what it is paid for under.
            instance: has the files of assets; `None` if they cannot be had.
            folders: where text may name local files; `None` refuses that. A `Path` may be anywhere.

        Raises:
            InputError: model, inputs or kind are wrong.
        """
        catalogue = self._opener(self.get_policy()).open_models().catalogue
        found = load_prompt_rows([wanted.to_row(partition)], _SOURCE, catalogue, folders=folders)
        _refuse_problems(found)
        if instance is not None:
            found = self._find_asset_files(found, instance)
            _refuse_problems(found)
        (prompt,) = found.prompts.values()
        _refuse_other_kind(catalogue, prompt.model_slug, wanted.kind)
        return prompt

    def open_run(
        self,
        wanted: ModelRequest,
        prompt: Prompt,
        collection: str,
        *,
        waiter: str,
        log: Callable[[str], None],
    ) -> ModelRun:
        """Return the run of a request that was read. Nothing is ordered until it is started.

        Args:
            wanted: what is asked for.
            prompt: the same, as `read_prompt` gave it.
            collection: what the ledger keeps it under, together with the prompt's id.
            waiter: names the Dagster run, or whatever else waits.
            log: is given one line for each change.

        Raises:
            ConfigurationError: attempts or fallback models are not valid, or a setting is wrong.
        """
        return ModelRun(
            desk=self._opener(wanted.policy(self.get_policy())).open_desk(collection),
            prompt=prompt,
            limit_usd=wanted.limit_usd,
            kind=wanted.kind,
            deadline_seconds=self.wait_deadline_seconds,
            waiter=waiter,
            timing=self.get_timing(),
            log=log,
        )

    @contextmanager
    def open_file(self, file: StoredFile | ModelResult) -> Iterator[Path]:
        """Yield a path to read a stored file from, until the `with` block ends.

        Args:
            file: of a result, or a result with one file.

        Raises:
            StoreError: the store cannot be reached, or has lost it.
        """
        stored = file.file if isinstance(file, ModelResult) else file
        with self.store.get_store().local_copy(stored.key) as path:
            yield path

    def get_policy(self) -> OrderPolicy:
        """Return rules and timings of the runs. Override it for others than the default."""
        return OrderPolicy()

    def get_timing(self) -> WaitTiming:
        """Return clocks and pauses of waiting calls; tests replace them."""
        return WaitTiming()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Let requests that are under way end."""
        self._cache.close()

    def _opener(self, policy: OrderPolicy) -> Opener:
        return Opener(
            wiro=self.wiro,
            budget=self.ledger,
            place=self.store,
            cache=self._cache,
            policy=policy,
            timing=self.get_timing(),
            model_folder=None if self.model_folder is None else Path(self.model_folder),
        )

    def _find_asset_files(self, found: PromptFile, instance: dg.DagsterInstance) -> PromptFile:
        files = [file for prompt in found.prompts.values() for file in list_files(prompt.inputs)]
        assets = {file.asset for file in files if isinstance(file, AssetFileInput)}
        return resolve_asset_files(
            found,
            source=_SOURCE,
            instance=instance,
            open_store=self._opener(self.get_policy()).open_store,
            input_assets=[dg.AssetKey.from_user_string(asset) for asset in assets],
            cache=self._cache,
        )

    def _finish(self, context: dg.AssetExecutionContext, run: ModelRun) -> ModelResult:
        try:
            return run.finish()
        except dg.DagsterExecutionInterruptedError:
            # A deploy or an eviction interrupts too. Only what a user cancelled is cancelled.
            dagster_run = context.instance.get_run_by_id(context.run.run_id)
            asked = dagster_run is not None and dagster_run.status == dg.DagsterRunStatus.CANCELING
            if asked:
                cancel = self.on_terminate == "cancel"
                run.drop("Its Dagster run was terminated.", cancel=cancel)
            raise


def _refuse_other_kind(catalogue: Catalogue, model: str, kind: FileKind | None) -> None:
    """Refuse a model that is known to make files of a different kind.

    Raises:
        InputError: it makes something else.
    """
    made = catalogue.get_schema(model).output_kind
    known = "file" if made == "text" else made
    if kind is not None and known not in (None, kind):
        raise InputError(f"{model} makes {known}; {kind} was asked for. Choose another model.")


def _find_partition(context: dg.AssetExecutionContext) -> str:
    """Return the partition of the run; for an asset without partitions, its own name."""
    if not context.has_partition_key:
        if context.has_partition_key_range:
            raise ConfigurationError(
                "This run has several partitions. Name one with partition=…, or give "
                "the asset a backfill policy of one run for each partition."
            )
        return str(context.asset_key.path[-1])
    return str(context.partition_key)


def _refuse_problems(found: PromptFile) -> None:
    if found.problems:
        problems = (f"{problem.field or ''}: {problem.message}" for problem in found.problems)
        raise InputError(*(problem.removeprefix(": ") for problem in problems))


def _failure(error: OrderFailed) -> dg.Failure:
    metadata: dict[str, Any] = {"wiro/cost_usd": float(error.cost_usd)}
    if error.order_id is not None:
        metadata["wiro/order_id"] = error.order_id
    return dg.Failure(str(error), metadata=metadata, allow_retries=False)
