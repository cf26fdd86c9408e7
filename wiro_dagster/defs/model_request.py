"""What is asked of a model: in an asset of the user's own, or on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from wiro_dagster.api.bounds import find_money
from wiro_dagster.defs.model_result import plain_inputs
from wiro_dagster.defs.model_run import FileKind
from wiro_dagster.errors import InputError
from wiro_dagster.orders import OrderPolicy


@dataclass(frozen=True)
class ModelRequest:
    """What is asked of a model; see `WiroModels.run` for the fields."""

    model: str
    prompt: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    take: int = 1
    max_usd: float | Decimal | str | None = None
    kind: FileKind | None = None
    attempts: int = 1
    fallback_models: tuple[str, ...] = ()

    @property
    def limit_usd(self) -> Decimal | None:
        """The most that it may cost, all tries together."""
        if self.max_usd is None:
            return None
        limit = find_money(str(self.max_usd))
        if limit is None:
            raise InputError(f"max_usd is {self.max_usd!r}. Write an amount in USD, such as 0.60.")
        return limit

    def policy(self, base: OrderPolicy) -> OrderPolicy:
        """Return rules and timings with the request's second tries."""
        return replace(base, attempts=self.attempts, fallback_models=self.fallback_models)

    def to_row(self, partition: str) -> dict[str, Any]:
        """Return it as a row of a table of prompts."""
        return {
            "id": partition,
            "prompt": self.prompt,
            "model": self.model,
            "take": self.take,
            "inputs": plain_inputs(self.inputs),
        }
