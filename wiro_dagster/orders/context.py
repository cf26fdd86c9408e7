"""What every step of a tick works with."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from wiro_dagster.api.client import WiroClient
from wiro_dagster.errors import ApiError, AuthenticationRefused, RateLimited
from wiro_dagster.ledger import Gate, Ledger, Order, ProblemKind
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.ledger.uploads import LedgerUploads
from wiro_dagster.orders.end_hints import EndHints
from wiro_dagster.orders.pace import Pace
from wiro_dagster.orders.policy import OrderPolicy
from wiro_dagster.orders.recent import RecentlyRead
from wiro_dagster.orders.uploads import Uploads
from wiro_dagster.pricing import Quote
from wiro_dagster.store import VideoStore

Quoter = Callable[[str, Mapping[str, Any]], Quote]
"""Prices a run of a model (by slug) with stored inputs. Raises `ApiError` if Wiro must be asked
and cannot be."""


@dataclass(frozen=True)
class FittedInputs:
    """Inputs that were given to another model.

    Args:
        inputs: plain JSON.
        prompt_input: the input that carries the prompt's text; `None` if there is none.
    """

    inputs: Mapping[str, Any]
    prompt_input: str | None


InputFitter = Callable[[str, str, Mapping[str, Any]], FittedInputs]
"""Gives stored inputs of one model (by slug) to another one. Raises `InputError` if it does not
take them, and `ApiError` if Wiro must be asked and cannot be."""

_DAY_SECONDS = 86_400.0

_OVER_SECONDS = 1.0
"""How long a problem that is over is not looked for again."""

_NOWHERE = "https://wiro-dagster.invalid/"
"""Carries the marker if no receiver is set. Names under `.invalid` never resolve."""


@dataclass(frozen=True)
class OrderContext:
    """One collection's orders: their ledger, the account that pays, and the store for the videos.

    Args:
        ledger: where orders live.
        client: talks to Wiro for the account.
        store: keeps the videos.
        quoter: prices a run.
        account: what the ledger calls the account: a name, or a short hash of its key.
        collection: the video asset's key as text.
        limits: what may be spent.
        policy: rules and timings.
        identify_runs: whether runs carry a marker as their callback URL.
        callback_base_url: of a receiver for Wiro's callbacks; `None` = they go unanswered.
        answers_folder: keeps answers that the ledger could not take, for the next process.
        threads: how many requests to Wiro may be under way at once.
        fit_inputs: gives inputs to another model, for second tries; `None` = there is no other.
        needs_approval: whether orders wait until they are approved.
        priority: of orders whose prompt states none.
        hints: hear of ends between two ticks; `None` = the next tick looks.
        random: source of jitter.
        sleep: pauses for so many seconds.
    """

    ledger: Ledger
    client: WiroClient
    store: VideoStore
    quoter: Quoter
    account: str
    collection: str
    limits: BudgetLimits = field(default_factory=BudgetLimits)
    policy: OrderPolicy = field(default_factory=OrderPolicy)
    identify_runs: bool = True
    callback_base_url: str | None = None
    answers_folder: Path | None = None
    threads: int = 8
    fit_inputs: InputFitter | None = None
    needs_approval: bool = False
    priority: int = 0
    hints: EndHints | None = None
    random: random.Random = field(default_factory=random.Random)
    sleep: Callable[[float], None] = time.sleep

    @property
    def gate(self) -> Gate:
        """Admission of the account that pays."""
        return Gate(self.ledger, self.account)

    @cached_property
    def uploads(self) -> Uploads:
        """Files that the account keeps at Wiro, each content once."""
        return Uploads(
            self.client, LedgerUploads(self.ledger, self.account), clock=self.ledger.clock
        )

    @cached_property
    def _over(self) -> RecentlyRead[None]:
        return RecentlyRead(_OVER_SECONDS, self.ledger.clock)

    @cached_property
    def pace(self) -> Pace:
        """When tasks are worth a first look."""
        return Pace(self.ledger, self.policy.timing)

    def now(self) -> float:
        """Return unix seconds, by the ledger's clock."""
        return self.ledger.clock()

    def wiro_now(self) -> float:
        """Return unix seconds, by Wiro's clock as last measured."""
        return self.now() + (self.client.clock_offset_seconds or 0.0)

    def listing_seconds(self) -> float:
        """Return how long to wait for a task to be listed: as set, or twice what was measured."""
        measured = min(2 * self.ledger.measure_listing_delay(self.account), _DAY_SECONDS)
        return max(self.policy.resubmit_after_seconds, measured)

    def callback_url(self, order: Order) -> str | None:
        """Return the URL that carries an order's marker; `None` if runs go without one."""
        if not self.identify_runs or order.marker is None:
            return None
        if self.gate.find_unmarked_reason() is not None:
            return None
        return f"{self.callback_base_url or _NOWHERE}".rstrip("/") + f"/{order.marker}"

    def listen(self, task_id: str, token: str) -> None:
        """Listen for the end of a running task, if that is set."""
        if self.hints is not None:
            self.hints.listen(task_id, token)

    def stop_listening(self, task_ids: Collection[str]) -> None:
        """Listen to tasks no more, as their ends are known."""
        if self.hints is not None:
            self.hints.forget(task_ids)

    def first_look_at(self, order: Order) -> float:
        """Return when the order's task is worth a look, if nothing hints at its end before."""
        return self.pace.first_look_at(order.model_slug, order.submitted_at or self.now())

    def slow_down(self, error: RateLimited) -> float:
        """Make every process that uses the account hold back, and return until when."""
        seconds = error.retry_after_seconds or self.policy.timing.pause_seconds
        until = self.now() + seconds
        self.gate.slow_down(until=until, reason=str(error))
        return until

    def note_read_failure(self, error: ApiError) -> None:
        """Pause the account as a failed read asks for: reads feed `account_open` as runs do."""
        if isinstance(error, RateLimited):
            self.slow_down(error)
        elif isinstance(error, AuthenticationRefused):
            self.close_for_user(error, "reads")

    def close_for_user(
        self, error: AuthenticationRefused, kind: ProblemKind = "credentials"
    ) -> None:
        """Pause submissions until the user corrects the credentials; one tries now and then."""
        until = self.now() + self.policy.timing.refused_pause_seconds
        self.gate.close(until=until, reason=str(error), problem=kind)

    def end_problem(self, kind: ProblemKind) -> None:
        """Note that a problem of this kind is over; the ledger is asked at most once a second."""
        self._over.get(kind, lambda _: self.gate.end_problem(kind))

    def note_clock(self, objection: str | None) -> None:
        """Note why this machine must not buy by its clock; `None` if its clock is right."""
        if objection is None:
            self._over.get("clock", lambda _: self.gate.note_clock(None))
        else:
            self.gate.note_clock(objection)

    def postpone(self, order: Order, **reason: Any) -> None:
        """Try an order's present step again later, because it failed once more.

        Args:
            order: finished, or further.
            **reason: the record that says why: `hold` or `error`.
        """
        self.ledger.apply(
            order,
            "postpone",
            attempts=order.attempts + 1,
            due_at=self.retry_at(order),
            **reason,
        )

    def retry_at(self, order: Order) -> float:
        """Return when to try an order's present step again after it has failed once more."""
        jitter = self.random.random()
        return self.now() + self.policy.timing.retry_seconds(order.attempts + 1, jitter)
