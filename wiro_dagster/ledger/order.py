"""An order: one video that somebody asked for, and everything known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

OrderState = Literal[
    "ordered",
    "submitting",
    "unknown",
    "running",
    "finished",
    "stored",
    "delivered",
    "failed",
    "cancelled",
    "uncollected",
]
"""Where an order is.

ordered      asked for; nothing sent to Wiro, nothing bought
submitting   the intent to buy is on record; the POST may be under way
unknown      the POST's answer was lost: a task may exist, to be looked up before anything else
running      Wiro has the task
finished     Wiro's task succeeded and is billed; its files are still only on the CDN
stored       the files are in the video store, verified
delivered    the materialization is in Dagster's event log
failed       Wiro refused the order or the task failed
cancelled    nothing more will come: cancelled at Wiro, or dropped before it was submitted
uncollected  paid for, but its files could not be fetched; `wiro-dagster orders recover` tries again
"""

UNDER_WAY: tuple[OrderState, ...] = ("submitting", "unknown", "running")
"""States in which a task exists, or may exist, and its price is committed but not yet known."""

FREE_TO_REPEAT: tuple[OrderState, ...] = ("failed", "cancelled")
"""States that let the same video be ordered again. All others are *live*."""

SETTLED: tuple[OrderState, ...] = ("stored", "delivered", "failed", "cancelled", "uncollected")
"""States in which Wiro and the store have nothing more to do unless a person asks."""


StopState = Literal["failed", "cancelled"]
"""How an order ends that was asked to stop: it failed us, or nobody wants it any more."""


@dataclass(frozen=True)
class OrderRequest:
    """What is asked for. `inputs` is plain JSON, as `wiro_dagster.prompts.inputs_to_json` makes it.

    Args:
        collection: the video asset's key as text, such as `video` or `ads/video`.
        account: which Wiro account pays, as an unreadable short hash of its key.
        prompt_input: the input that carries the prompt's text; `None` where there is none.
        quote_usd: the expected cost, `None` where it is not known.
        ceiling_usd: the highest cost that the budget must have room for.
    """

    collection: str
    partition: str
    account: str
    model_slug: str
    inputs: Mapping[str, Any]
    fingerprint: str
    take: int = 1
    prompt_input: str | None = "prompt"
    quote_usd: Decimal | None = None
    ceiling_usd: Decimal | None = None


@dataclass(frozen=True)
class Order:
    """One row of the ledger. Times are unix seconds; money is in USD."""

    id: int
    collection: str
    partition: str
    account: str
    model_slug: str
    inputs: Mapping[str, Any]
    fingerprint: str
    take: int
    state: OrderState
    marker: str
    created_at: float
    prompt_input: str | None = "prompt"
    due_at: float | None = None
    lease: str | None = None
    attempts: int = 0
    hold: str | None = None
    held_since: float | None = None
    quote_usd: Decimal | None = None
    ceiling_usd: Decimal | None = None
    cost_usd: Decimal | None = None
    claimed_at: float | None = None
    lost_since: float | None = None
    submitted_at: float | None = None
    ended_at: float | None = None
    task_id: str | None = None
    task_status: str | None = None
    progress_percent: float | None = None
    observed_at: float | None = None
    queue_seconds: float | None = None
    elapsed_seconds: float | None = None
    polls: int = 0
    outputs: tuple[Mapping[str, Any], ...] = ()
    files: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None
    waiter_run_id: str | None = None
    waiter_until: float | None = None
    superseded_by: int | None = None
    stop_state: StopState | None = None
    stop_reason: str | None = None

    @property
    def prompt(self) -> str:
        """The prompt's text, empty for a model that takes none."""
        return "" if self.prompt_input is None else str(self.inputs.get(self.prompt_input, ""))

    @property
    def is_settled(self) -> bool:
        """Whether nothing more happens by itself, except for reporting."""
        return self.state in SETTLED

    @property
    def is_owned(self) -> bool:
        """Whether the files are in the video store, verified."""
        return self.state in ("stored", "delivered")

    @property
    def name(self) -> str:
        """How messages speak of it: `order 12 (video, partition "cat")`."""
        return f'order {self.id} ({self.collection}, partition "{self.partition}")'


PlacementOutcome = Literal["placed", "under_way", "owned", "taken_up"]
"""What placing did: a new order; one that is on its way; one whose video we have; or an earlier one
that was set aside (superseded, or given up while downloading) and is taken up again."""


@dataclass(frozen=True)
class Placement:
    """The order that stands for a request, and how it came to be."""

    order: Order
    outcome: PlacementOutcome
