"""An order: one requested video, and everything known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Row

from wiro_dagster.ledger.schema import orders
from wiro_dagster.ledger.transitions import OWNED, SETTLED, WITHOUT_VIDEO, OrderState

StopState = Literal["failed", "cancelled"]
"""How a stopped order ends: it failed, or it is no longer needed."""

TURN_SECONDS = 360.0
"""How much waiting time one point of priority is worth, so that nothing starves."""

MAXIMUM_POSTS = 2
"""How often one order is sent automatically. After that, only the user can send it again."""


@dataclass(frozen=True)
class OrderRequest:
    """What is asked for. `inputs` is plain JSON, as `wiro_dagster.prompts.inputs_to_json` makes it.

    Args:
        prompt_version: what the takes of one prompt have in common: the prompt's own fingerprint;
            empty for the fingerprint of the request.
        collection: the video asset's key as text, such as `video` or `ads/video`.
        account: the name of the Wiro account that pays.
        prompt_input: the input that carries the prompt's text; `None` if it takes none.
        priority: higher goes first; waiting ones age, see `turn_of`.
        quote_usd: the expected cost, `None` if it is not known.
        ceiling_usd: the highest cost that the budget must have room for.
        quoted_at: when the price was computed, in unix seconds.
        limit_usd: the most that this video may cost, all tries together; `None` leaves it to the
            budget.
        next_models: the models that may be tried if the order fails, in order: the user's word in
            advance.
    """

    collection: str
    partition: str
    account: str
    model_slug: str
    inputs: Mapping[str, Any]
    fingerprint: str
    take: int = 1
    priority: int = 0
    prompt_version: str = ""
    prompt_input: str | None = "prompt"
    quote_usd: Decimal | None = None
    ceiling_usd: Decimal | None = None
    quoted_at: float | None = None
    limit_usd: Decimal | None = None
    next_models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Order:
    """One row of the ledger. Times are unix seconds by our clock; money is in USD.

    `wiro_dagster.ledger.schema` says what each column is. `cost_usd` is what Wiro stated for the
    order's task, and `None` while it has not.
    """

    id: int
    collection: str
    partition: str
    account: str
    model_slug: str
    inputs: Mapping[str, Any]
    fingerprint: str
    take: int
    state: OrderState
    created_at: float
    moved_at: float = 0.0
    priority: int = 0
    turn_at: float = 0.0
    prompt_version: str = ""
    prompt_input: str | None = "prompt"
    live_key: str | None = None
    due_at: float | None = None
    lease: str | None = None
    attempts: int = 0
    deaths: int = 0
    hold: str | None = None
    held_since: float | None = None
    quote_usd: Decimal | None = None
    ceiling_usd: Decimal | None = None
    quoted_at: float | None = None
    limit_usd: Decimal | None = None
    next_models: tuple[str, ...] = ()
    try_number: int = 1
    retry_of: int | None = None
    earlier_usd: Decimal | None = None
    approved_by: str | None = None
    approved_at: float | None = None
    approved_usd: Decimal | None = None
    cost_usd: Decimal | None = None
    posts: int = 0
    marker: str | None = None
    claimed_at: float | None = None
    lost_since: float | None = None
    looks: int = 0
    submitted_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    task_id: str | None = None
    task_status: str | None = None
    progress_percent: float | None = None
    observed_at: float | None = None
    queue_seconds: float | None = None
    elapsed_seconds: float | None = None
    outputs: tuple[Mapping[str, Any], ...] = ()
    files: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None
    waiter_run_id: str | None = None
    waiter_until: float | None = None
    superseded_by: int | None = None
    chosen_at: float | None = None
    chosen_by: str | None = None
    stop_state: StopState | None = None
    stop_reason: str | None = None

    @property
    def request(self) -> OrderRequest:
        """What the ledger was asked for, as it stands now."""
        return OrderRequest(
            **{field.name: getattr(self, field.name) for field in fields(OrderRequest)}
        )

    @property
    def prompt(self) -> str:
        """The prompt's text, empty for a model that takes none."""
        return "" if self.prompt_input is None else str(self.inputs.get(self.prompt_input, ""))

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do except reporting."""
        return self.state in SETTLED

    @property
    def is_owned(self) -> bool:
        """Whether the files are in the video store."""
        return self.state in OWNED

    @property
    def is_failure(self) -> bool:
        """Whether it ended without a video, and no other try follows."""
        return self.state in WITHOUT_VIDEO and not self.awaits_next_try

    @property
    def is_billed_failure(self) -> bool:
        """Whether it ended without a video and was, or may have been, billed.

        Only the user may order it again, after being told what it cost.
        """
        return self.state in WITHOUT_VIDEO and self.live_key is not None

    @property
    def awaits_next_try(self) -> bool:
        """Whether it failed, and it is not decided yet whether the user's policy tries again."""
        is_open = self.due_at is not None and self.superseded_by is None
        return self.state == "failed" and bool(self.next_models) and is_open

    @property
    def name(self) -> str:
        """How messages refer to it: `order 12 (video, partition "cat")`."""
        return f'order {self.id} ({self.collection}, partition "{self.partition}")'


@dataclass(frozen=True, slots=True)
class Standing:
    """As much of an order as says whether its prompt has a video, or will have one."""

    state: OrderState
    fingerprint: str
    prompt_version: str
    superseded_by: int | None


PlacementOutcome = Literal["placed", "under_way", "owned", "taken_up", "billed_failure"]
"""What placing did: a new order; one that is under way; one whose video we own; an earlier one that
is resumed; or one that was billed and brought nothing, which only the user may order again."""


@dataclass(frozen=True)
class Placement:
    """The order that represents a request, and how it came to be."""

    order: Order
    outcome: PlacementOutcome


ORDER_COLUMNS = tuple(orders.c[name] for name in Order.__dataclass_fields__)
"""The columns that `order_from_row` reads."""

_LISTS = [i for i, column in enumerate(ORDER_COLUMNS) if column.name in ("outputs", "files")]

SELECT_ORDERS = sa.select(*ORDER_COLUMNS)
SELECT_ONE = SELECT_ORDERS.where(orders.c.id == sa.bindparam("one_id"))
"""Statements that are used often are made once: SQLAlchemy then need not look at their parts."""


def order_from_row(row: Row[Any]) -> Order:
    """Return an order from a row of `ORDER_COLUMNS`."""
    values = list(row)  # by position: names would cost more than all the rest
    for position in _LISTS:
        values[position] = tuple(values[position])
    return Order(*values)


def turn_of(came_at: float, priority: int) -> float:
    """Return when it is an order's turn: the time it came, earlier by its priority.

    It never changes while the order waits, so an index keeps the orders in their turns.
    """
    return came_at - priority * TURN_SECONDS


def live_key(collection: str, partition: str, fingerprint: str) -> str:
    """Return what may exist only once among live orders, as 64 hex digits."""
    text = f"{collection}\n{partition}\n{fingerprint}"
    return hashlib.sha256(text.encode()).hexdigest()
