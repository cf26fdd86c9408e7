"""What Wiro answers, translated once: every value here is frozen and typed.

Money is `Decimal` USD, times are unix seconds, durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from wiro_dagster.api.percentage import find_percentage

TaskState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

TERMINAL_STATUSES = frozenset({"task_postprocess_end", "task_cancel"})
"""The statuses after which a task no longer runs. Its outputs and cost may still be missing."""

_REASON_LIMIT = 500


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine as a model's input; it is streamed as multipart."""

    path: Path
    content_type: str | None = None
    """Guessed from the name where it is not given."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The answer to an accepted run: a billable task exists."""

    task_id: str
    task_token: str = field(repr=False)
    """Opens the task's WebSocket and deletes its files. A secret."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One result of a task: a file on Wiro's CDN, or text of a language model."""

    id: str | None
    name: str
    url: str | None
    """Public to anyone who has it, for a limited time."""
    content_type: str | None
    size_bytes: int | None
    """As Wiro announces it; not measured."""
    content: str | None = None
    """Text, for language models; there is no file then."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task as Task/Detail or Task/List shows it."""

    id: str
    status: str
    """Wiro's own word, also one that is not documented."""
    state: TaskState
    """How the task stands: by its status first, then by its exit code.

    A task that has ended without an exit code is still "running" here: how it ended is not known.
    """
    exit_code: str | None
    """None if Wiro does not state it, or leaves it empty."""
    inputs: Mapping[str, Any]
    """The inputs as they were sent."""
    outputs: tuple[OutputFile, ...]
    cost_usd: Decimal | None
    """What was charged. None if Wiro states no amount from 0 to 1,000,000 USD."""
    created_at: float | None
    started_at: float | None
    ended_at: float | None
    elapsed_seconds: float | None
    queue_seconds: float | None
    """From creation to start; free of charge."""
    debug_error: str
    debug_output: str
    callback_url: str | None = field(repr=False)
    """May carry a secret of the caller's."""
    model_slug: str | None
    """`owner/project`."""
    token: str = field(repr=False)
    """The same token as `Submission.task_token`. A secret."""
    stated_cost: str | None = None
    """The cost as Wiro wrote it, cut, for messages: it may be no amount at all."""
    other_fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What Wiro sent beside the fields above, untranslated."""

    @property
    def has_error_status(self) -> bool:
        """Whether Wiro shows `task_error`, which may still recover."""
        return self.status == "task_error"

    @property
    def is_ended(self) -> bool:
        """Whether Wiro shows a terminal status.

        The end may not be settled: see `state`, `exit_code`, `outputs` and `cost_usd`.
        """
        return self.status in TERMINAL_STATUSES

    @property
    def progress_percent(self) -> float | None:
        """How far it is, 0 to 100; None where its output does not tell."""
        return find_percentage(self.debug_output)

    @property
    def failure_reason(self) -> str:
        """What Wiro says went wrong, at most 500 characters; empty where it says nothing."""
        reason = self.debug_error.strip() or self.debug_output.strip()
        # The last lines of a stack trace say more than the first.
        return reason if len(reason) <= _REASON_LIMIT else "…" + reason[1 - _REASON_LIMIT :]


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One page of Task/List, newest first."""

    total: int
    """How many tasks there are in all."""
    tasks: tuple[Task, ...]
    unreadable: int = 0
    """Entries without a usable id. A page with any of them proves no absence."""


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """One line of a model's price list."""

    inputs: Mapping[str, str]
    """Applies where all of these equal the run's inputs; empty = applies always."""
    price: Decimal
    method: str
    """Wiro's `priceMethod`, for example `cpr` (per run)."""
    price_extra: Decimal | None = None
    price_input: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ParameterOption:
    """One choice of a `select`."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input that a model declares."""

    id: str
    type: str
    """Wiro's word, for example `text`, `select`, `range`, `fileinput`."""
    label: str
    required: bool
    default: str | None
    options: tuple[ParameterOption, ...]
    minimum: Decimal | None
    maximum: Decimal | None
    step: Decimal | None
    note: str
    placeholder: str


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """A titled group of a model's inputs."""

    title: str
    items: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class ModelDetail:
    """One model as Tool/Detail shows it."""

    slug: str
    """`owner/project`."""
    title: str | None
    parameters: tuple[ParameterGroup, ...] | None
    """None where Wiro declares none: inputs cannot be validated."""
    prices: tuple[PriceEntry, ...] | None
    """None where there is no price list, or it cannot be read."""
    price_problem: str | None
    """Why the price list cannot be read; None where it can, or there is none."""
    cost_per_second_usd: Decimal | None
    approximate_cost_usd: Decimal | None
    """Wiro's own guess for one run."""
    computing_seconds: float | None
    """Wiro's own guess for one run."""
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model as Tool/List shows it."""

    slug: str
    title: str | None
    description: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that the account keeps at Wiro."""

    id: str
    name: str
    url: str | None
    content_type: str | None
    size_bytes: int | None
