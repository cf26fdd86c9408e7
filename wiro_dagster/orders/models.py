"""What the models take and what they cost, as Wiro last stated, kept beside the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wiro_dagster.api.client import WiroClient
from wiro_dagster.catalogue import CachedModel, Catalogue, ModelSchema
from wiro_dagster.catalogue.reading import read_value
from wiro_dagster.errors import InputError
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.models import KeptModels
from wiro_dagster.orders.context import FittedInputs
from wiro_dagster.orders.recent import RecentlyRead
from wiro_dagster.pricing import LONGEST_RUN_SECONDS, Quote, quote_run
from wiro_dagster.prompts import inputs_from_json, inputs_to_json

MODEL_MAX_AGE_SECONDS = 3600.0
_KNOWN_SECONDS = 1.0
"""How long what was read of a model is used before the ledger is asked again."""


class Models:
    """Schemas and prices of models: the package's own, the project's, and Wiro's.

    Args:
        ledger: keeps Wiro's answers in its database, for all processes.
        client: asks Wiro.
        model_folder: the project's own catalogue entries, which take precedence; see
            `wiro-dagster models add`.
        longest_run_seconds: when a run is stopped. This bounds the cost of runs that are billed by
            the second.
        max_age_seconds: how old Wiro's answers may be.

    Raises:
        InputError: the folder is missing, or an entry in it is wrong.
    """

    def __init__(
        self,
        ledger: Ledger,
        client: WiroClient,
        *,
        model_folder: Path | None = None,
        longest_run_seconds: float = LONGEST_RUN_SECONDS,
        max_age_seconds: float = MODEL_MAX_AGE_SECONDS,
    ) -> None:
        catalogue = Catalogue.builtin(
            client.get_model,
            LedgerSchemaCache(ledger),
            max_age_seconds=max_age_seconds,
            clock=ledger.clock,
        )
        self.catalogue = (
            catalogue if model_folder is None else catalogue.with_entries_from(model_folder)
        )
        self._longest_run_seconds = longest_run_seconds

    def quote(self, model_slug: str, inputs: Mapping[str, Any]) -> Quote:
        """Price a run.

        Args:
            model_slug: the model.
            inputs: as an order keeps them, plain JSON.

        Raises:
            ApiError: Wiro must be asked for the price, and cannot be.
        """
        return quote_run(
            self.catalogue,
            model_slug,
            inputs_from_json(inputs),
            longest_run_seconds=self._longest_run_seconds,
        )

    def fit_inputs(
        self, model_slug: str, other_slug: str, inputs: Mapping[str, Any]
    ) -> FittedInputs:
        """Give the inputs of one model's run to another model.

        An input that the other one does not take is left out if it only states the first one's
        default. Anything else that it does not take, or takes differently, is refused: it would
        be a different video.

        Args:
            model_slug: the model that the inputs were written for.
            other_slug: the model to run.
            inputs: as an order keeps them, plain JSON.

        Raises:
            InputError: the other model does not take them, or makes a different kind of output.
            ApiError: Wiro must be asked about a model, and cannot be.
        """
        schema, other = (self.catalogue.get_schema(slug) for slug in (model_slug, other_slug))
        if None not in (schema.output_kind, other.output_kind) and (
            schema.output_kind != other.output_kind
        ):
            raise InputError(f"{other_slug} makes {other.output_kind}, not {schema.output_kind}.")
        given: dict[str, Any] = {}
        for name, value in inputs_from_json(inputs).items():
            is_prompt = name == schema.prompt_input and other.prompt_input is not None
            place = str(other.prompt_input) if is_prompt else name
            if (
                not other.can_validate
                or place in other.names
                or not _is_default(schema, name, value)
            ):
                given[place] = value
        fitted, problems = other.validate(given)
        if problems:
            raise InputError(*(f"{other_slug}, {problem}" for problem in problems))
        return FittedInputs(inputs_to_json(fitted), other.prompt_input)


def _is_default(schema: ModelSchema, name: str, value: object) -> bool:
    spec = schema.find_input(name)
    if spec is None or spec.default is None or spec.is_file:
        return False
    return str(value) == str(read_value(spec, spec.default)[0])


class LedgerSchemaCache:
    """Keeps Wiro's answers about models in the ledger. Thread-safe.

    Thousands of prompts of one model are priced at once, so what was read is used for a moment.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._kept = KeptModels(ledger)
        self._known = RecentlyRead[CachedModel | None](_KNOWN_SECONDS, ledger.clock)

    def get(self, slug: str) -> CachedModel | None:
        """Return what is kept for a model; `None` if there is nothing, or nothing readable."""
        return self._known.get(slug, self._read)

    def put(self, slug: str, model: CachedModel) -> None:
        """Keep `model` instead of what was kept."""
        self._kept.keep(slug, model.to_json(), fetched_at=model.fetched_at)
        self._known.put(slug, model)

    def _read(self, slug: str) -> CachedModel | None:
        content = self._kept.find(slug)
        try:
            return None if content is None else CachedModel.from_json(content)
        except ValueError:
            return None
