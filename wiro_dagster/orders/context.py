"""What every step of a tick works with."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Protocol

from wiro_dagster.api.client import WiroClient
from wiro_dagster.errors import RateLimited
from wiro_dagster.ledger import Gate, Ledger, Order
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.orders.policy import OrderPolicy
from wiro_dagster.orders.uploads import LedgerUploads, Uploads
from wiro_dagster.store import VideoStore


class Priced(Protocol):
    """A quote: what a run is expected to cost, and the most it may cost, in USD."""

    @property
    def amount_usd(self) -> Decimal | None:
        """The expected cost; `None` where it cannot be known."""

    @property
    def ceiling_usd(self) -> Decimal | None:
        """The highest possible cost; `None` where it cannot be known."""


Quoter = Callable[[str, Mapping[str, Any]], Priced]
"""Prices a run of a model (by slug) with stored inputs. Raises `ApiError` where Wiro must be asked
and cannot be."""


@dataclass(frozen=True)
class OrderContext:
    """One collection's orders: their ledger, the account that pays, and where the videos go.

    Args:
        ledger: where orders live.
        client: talks to Wiro for the account.
        store: where the videos go.
        quoter: prices a run.
        account: short hash of the API key, which names the account in the ledger.
        collection: the video asset's key as text.
        limits: what may be spent.
        policy: timings.
        callback_url: makes the URL that Wiro calls when a task ends, from the order's marker.
        threads: how many requests to Wiro may be under way at once.
        random: source of jitter.
    """

    ledger: Ledger
    client: WiroClient
    store: VideoStore
    quoter: Quoter
    account: str
    collection: str
    limits: BudgetLimits = field(default_factory=BudgetLimits)
    policy: OrderPolicy = field(default_factory=OrderPolicy)
    callback_url: Callable[[str], str] | None = None
    threads: int = 8
    random: random.Random = field(default_factory=random.Random)

    @property
    def gate(self) -> Gate:
        """Admission of the account that pays."""
        return Gate(self.ledger, self.account)

    @cached_property
    def uploads(self) -> Uploads:
        """Files that the account keeps at Wiro, each content once."""
        return Uploads(
            self.client,
            LedgerUploads(self.ledger, self.account),
            reuse_seconds=self.policy.upload_reuse_seconds,
            clock=self.ledger.clock,
        )

    def now(self) -> float:
        """Unix seconds, by the ledger's clock."""
        return self.ledger.clock()

    def slow_down(self, error: RateLimited) -> float:
        """Has all that use the key hold back, in every process, and returns until when."""
        seconds = error.retry_after_seconds or self.policy.pause_seconds
        until = self.now() + seconds
        self.gate.slow_down(until=until, reason=str(error))
        return until

    def retry_at(self, order: Order) -> float:
        """When to try an order's present step again after it has failed once more."""
        pause = self.policy.retry_seconds(order.attempts + 1, self.random.random())
        return self.now() + pause
