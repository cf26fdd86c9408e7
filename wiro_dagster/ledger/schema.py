"""The ledger's tables and their version."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

SCHEMA_VERSION = 2

_PICO = Decimal(10) ** 12


class Usd(sa.types.TypeDecorator[Decimal]):
    """US dollars as a whole number of 10^-12 dollars: exact, and the database can add it up.

    Wiro states costs with up to twelve decimals; floats and SQLite's NUMERIC would round them.
    """

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Decimal dollars to the stored integer."""
        return None if value is None else int((value * _PICO).to_integral_value())

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        """The stored integer (a Decimal where PostgreSQL summed it) to Decimal dollars."""
        return None if value is None else (Decimal(value) / _PICO).normalize()


class PlainText(sa.types.TypeDecorator[str]):
    """Text from elsewhere, made fit for every database; cut to a length where it has one.

    PostgreSQL refuses NUL characters, halves of characters and text that is too long. One odd word
    of Wiro's must not keep an order from being noted.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Text to text that any database takes."""
        if value is None:
            return None
        text = value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
        return text[: self.length]


metadata = sa.MetaData()
_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

versions = sa.Table(
    "wiro_ledger_version",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
)

orders = sa.Table(
    "wiro_orders",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("collection", sa.String(255), nullable=False),
    sa.Column("partition", sa.Text, nullable=False),
    sa.Column("account", sa.String(32), nullable=False),
    sa.Column("model_slug", sa.String(255), nullable=False),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("take", sa.Integer, nullable=False),
    # The input that carries the prompt; NULL where the model takes none.
    sa.Column("prompt_input", sa.String(255)),
    # Filled while the order is live, NULL once it may be repeated: a plain unique index then means
    # "one live order for a collection, partition and fingerprint" in every database.
    sa.Column("live_key", sa.String(64), unique=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("marker", sa.String(32), nullable=False, unique=True),
    sa.Column("created_at", sa.Float(53), nullable=False),
    # When the next step is due; NULL means at rest. A claim moves it to the end of its lease.
    sa.Column("due_at", sa.Float(53)),
    sa.Column("lease", sa.String(32), index=True),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("hold", PlainText),
    # Since when the budget holds the order back.
    sa.Column("held_since", sa.Float(53)),
    sa.Column("quote_usd", Usd),
    sa.Column("ceiling_usd", Usd),
    sa.Column("cost_usd", Usd),
    sa.Column("claimed_at", sa.Float(53)),
    # Since when Wiro does not show the order's task, though it may exist.
    sa.Column("lost_since", sa.Float(53)),
    sa.Column("submitted_at", sa.Float(53)),
    sa.Column("ended_at", sa.Float(53)),
    sa.Column("task_id", sa.String(255)),
    sa.Column("task_status", PlainText(64)),
    sa.Column("progress_percent", sa.Float(53)),
    # What Dagster was last told of a running task, and when.
    sa.Column("observed_at", sa.Float(53)),
    sa.Column("observed_status", PlainText(64)),
    sa.Column("observed_percent", sa.Float(53)),
    sa.Column("queue_seconds", sa.Float(53)),
    sa.Column("elapsed_seconds", sa.Float(53)),
    sa.Column("polls", sa.Integer, nullable=False, default=0),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("files", sa.JSON, nullable=False),
    sa.Column("error", PlainText),
    sa.Column("waiter_run_id", sa.String(64)),
    sa.Column("waiter_until", sa.Float(53)),
    sa.Column("superseded_by", _Id),
    sa.Column("stop_state", sa.String(16)),
    sa.Column("stop_reason", PlainText),
    # Two orders can never claim one task.
    sa.UniqueConstraint("account", "task_id", name="wiro_orders_task"),
    sa.Index("wiro_orders_due", "collection", "state", "due_at"),
    sa.Index("wiro_orders_partition", "collection", "partition"),
    sa.Index("wiro_orders_under_way", "account", "state"),
    sa.Index("wiro_orders_claimed", "account", "claimed_at"),
)

gates = sa.Table(
    "wiro_gates",
    metadata,
    # One row an account. Every submitter locks it before it claims, so that budget and slots are
    # checked by one at a time, wherever they run.
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("closed_until", sa.Float(53)),
    sa.Column("reason", PlainText),
    sa.Column("slots", sa.Integer),
    sa.Column("slots_until", sa.Float(53)),
    sa.Column("reads_paused_until", sa.Float(53)),
    # The last refusal of the key or the balance; a submission accepted after it ends the trouble.
    sa.Column("trouble", sa.String(16)),
    sa.Column("trouble_reason", PlainText),
    sa.Column("trouble_at", sa.Float(53)),
    sa.Column("turn", sa.BigInteger, nullable=False, default=0),
)

models = sa.Table(
    "wiro_models",
    metadata,
    # What /Tool/Detail last said of a model: schema and prices.
    sa.Column("slug", sa.String(255), primary_key=True),
    sa.Column("fetched_at", sa.Float(53), nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
)

uploads = sa.Table(
    "wiro_uploads",
    metadata,
    # What an account keeps at Wiro, by content.
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("uploaded_at", sa.Float(53), nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
)
