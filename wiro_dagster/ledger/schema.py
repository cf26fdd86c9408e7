"""The ledger's tables and their version: an order is the wish, a submission is one POST for it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from wiro_dagster.ledger.transitions import STATES

SCHEMA_VERSION = 9

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
    """Text from outside, made storable in every database and cut to a length if one is given.

    PostgreSQL refuses NUL characters, lone surrogates and text that is too long. One odd word from
    Wiro must not prevent an order from being noted.
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


class Slugs(sa.types.TypeDecorator[tuple[str, ...]]):
    """Model slugs as one text with blanks between them; NULL if there are none."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(
        self,
        value: tuple[str, ...] | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> str | None:
        """Slugs to text."""
        return " ".join(value) if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...]:  # noqa: ARG002
        """Text to slugs."""
        return tuple(value.split()) if value else ()


metadata = sa.MetaData()
_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_Time = sa.Float(53)

_KNOWN_STATE = sa.text("state IN ({})".format(", ".join(f"'{state}'" for state in STATES)))

# In these words only do SQLite and PostgreSQL see that a query can use the index on it.
HAS_PACE = sa.text("state IN ('finished', 'stored', 'delivered') AND ended_at > submitted_at")

identity = sa.Table(
    "wiro_ledger",
    metadata,
    # One row. The id and the sequence are also written outside the ledger, so that a ledger that
    # was replaced or restored from a backup is recognized before it buys anything.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("ledger_id", sa.String(16), nullable=False),
    # Signs the markers that our runs carry. Never leaves the database.
    sa.Column("secret", sa.String(64), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("created_at", _Time, nullable=False),
    # Why the ledger must not buy until it is rebuilt; NULL if its witnesses agree with it.
    sa.Column("behind", PlainText),
    # Which witness said so: only that one can take it back.
    sa.Column("behind_by", sa.String(16)),
    # Other ledgers, by id, whose orders were taken over from the evidence.
    sa.Column("absorbed", sa.JSON, nullable=False),
)

orders = sa.Table(
    "wiro_orders",
    metadata,
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("collection", sa.String(255), nullable=False),
    sa.Column("partition", sa.Text, nullable=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("model_slug", sa.String(255), nullable=False),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("take", sa.Integer, nullable=False),
    # The prompt's own fingerprint: its takes have it in common.
    sa.Column("prompt_version", sa.String(64), nullable=False),
    # The input that carries the prompt; NULL if the model takes none.
    sa.Column("prompt_input", sa.String(255)),
    # Filled while the order is live, NULL once it may be repeated: a plain unique index then means
    # "one live order for a collection, partition and fingerprint" in every database.
    sa.Column("live_key", sa.String(64), unique=True),
    sa.Column("state", sa.String(16), sa.CheckConstraint(_KNOWN_STATE), nullable=False),
    sa.Column("created_at", _Time, nullable=False),
    # When the order came into its present state: what stands still is news.
    sa.Column("moved_at", _Time, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False, default=0),
    # When it is the order's turn to be submitted: when it came, earlier the higher its priority.
    sa.Column("turn_at", _Time, nullable=False),
    # When the next step is due; NULL means never. A claim moves it to the lease's end.
    sa.Column("due_at", _Time),
    sa.Column("lease", sa.String(32), index=True),
    # Failed tries at the present step.
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    # How often a process took the present step and fell silent: counted when it is claimed.
    sa.Column("deaths", sa.Integer, nullable=False, default=0),
    sa.Column("hold", PlainText),
    # Since when the budget holds the order back.
    sa.Column("held_since", _Time),
    sa.Column("quote_usd", Usd),
    sa.Column("ceiling_usd", Usd),
    sa.Column("quoted_at", _Time),
    # The most that this video may cost, all tries together; NULL leaves it to the budget.
    sa.Column("limit_usd", Usd),
    # The models that the user's policy allows to try next if this order fails, in order.
    sa.Column("next_models", Slugs),
    # Which try at its video this is, the failed order before it, and what the earlier tries cost
    # or may have cost.
    sa.Column("try_number", sa.Integer, nullable=False, default=1),
    sa.Column("retry_of", _Id),
    sa.Column("earlier_usd", Usd),
    # Who approved the order, when, and the most that it may cost by that approval.
    sa.Column("approved_by", PlainText),
    sa.Column("approved_at", _Time),
    sa.Column("approved_usd", Usd),
    # As Wiro stated it for the order's task; NULL while it has not.
    sa.Column("cost_usd", Usd),
    # The number of POSTs so far, and the marker and claim time of the latest.
    sa.Column("posts", sa.Integer, nullable=False, default=0),
    sa.Column("marker", sa.String(96), index=True),
    sa.Column("claimed_at", _Time),
    # Since when Wiro does not show the order's task, though it may exist.
    sa.Column("lost_since", _Time),
    # How many complete looks at Wiro's list, in a row, showed no task of the order.
    sa.Column("looks", sa.Integer, nullable=False, default=0),
    sa.Column("submitted_at", _Time),
    sa.Column("started_at", _Time),
    # By our clock, when the task was first seen to have ended.
    sa.Column("ended_at", _Time),
    sa.Column("task_id", sa.String(255)),
    sa.Column("task_status", PlainText(64)),
    sa.Column("progress_percent", _Time),
    # What was last reported of a running task, and when.
    sa.Column("observed_at", _Time),
    sa.Column("observed_status", PlainText(64)),
    sa.Column("observed_percent", _Time),
    sa.Column("queue_seconds", _Time),
    sa.Column("elapsed_seconds", _Time),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("files", sa.JSON, nullable=False),
    sa.Column("error", PlainText),
    sa.Column("waiter_run_id", sa.String(64)),
    sa.Column("waiter_until", _Time),
    # Another order represents the partition: a later prompt's, the next try, or another take.
    sa.Column("superseded_by", _Id),
    # Since when this take represents its partition though there are others, and who chose it; NULL
    # if it was simply the first to arrive.
    sa.Column("chosen_at", _Time),
    sa.Column("chosen_by", PlainText),
    sa.Column("stop_state", sa.String(16)),
    sa.Column("stop_reason", PlainText),
    # Two orders can never claim one task.
    sa.UniqueConstraint("account", "task_id", name="wiro_orders_task"),
    sa.Index("wiro_orders_due", "collection", "state", "due_at"),
    sa.Index("wiro_orders_partition", "collection", "partition"),
    sa.Index(
        "wiro_orders_waiter",
        "waiter_run_id",
        sqlite_where=sa.text("waiter_run_id IS NOT NULL"),
        postgresql_where=sa.text("waiter_run_id IS NOT NULL"),
    ),
    # Before anything is bought: whether the same video is owned under another partition.
    sa.Index("wiro_orders_wish", "collection", "fingerprint"),
    sa.Index("wiro_orders_account", "account", "state", "due_at"),
    sa.Index("wiro_orders_turn", "account", "state", "turn_at", "due_at"),
    # How long a model's tasks took lately: also of a model that hardly any of very many orders has.
    sa.Index(
        "wiro_orders_pace",
        "model_slug",
        "id",
        sqlite_where=HAS_PACE,
        postgresql_where=HAS_PACE,
    ),
    # What a tick asks when nothing is due must cost the same with very many orders.
    sa.Index("wiro_orders_moved", "collection", "state", "moved_at"),
    sa.Index(
        "wiro_orders_superseded",
        "collection",
        "superseded_by",
        # Never used to find the many orders that are not superseded.
        sqlite_where=sa.text("superseded_by IS NOT NULL"),
        postgresql_where=sa.text("superseded_by IS NOT NULL"),
    ),
    sa.Index(
        "wiro_orders_progress",
        "collection",
        "state",
        sa.text("coalesce(observed_at, 0)"),
        sqlite_where=sa.text(
            "observed_status IS NOT task_status OR observed_percent IS NOT progress_percent"
        ),
        postgresql_where=sa.text(
            "observed_status IS DISTINCT FROM task_status"
            " OR observed_percent IS DISTINCT FROM progress_percent"
        ),
    ),
)

submissions = sa.Table(
    "wiro_submissions",
    metadata,
    # One row for each POST to /Run. It stays on the books for ever, whatever becomes of the order.
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("order_id", _Id, nullable=False, index=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("collection", sa.String(255), nullable=False),
    sa.Column("model_slug", sa.String(255), nullable=False),
    sa.Column("marker", sa.String(96), nullable=False, unique=True),
    sa.Column("claimed_at", _Time, nullable=False),
    # open: may have bought something; nothing: Wiro refused it; task: it has one.
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("task_id", sa.String(255)),
    # When Wiro's list first showed the task, by our clock.
    sa.Column("listed_at", _Time),
    # When the list first ought to have shown it and did not yet.
    sa.Column("missed_at", _Time),
    sa.Column("ceiling_usd", Usd),
    # As Wiro stated it; NULL while it has not, and then the ceiling counts.
    sa.Column("cost_usd", Usd),
    sa.Column("cost_stated_at", _Time),
    # When to read a cost again that Wiro did not state, and how often that was done.
    sa.Column("recheck_at", _Time),
    sa.Column("rechecks", sa.Integer, nullable=False, default=0),
    # Whether the task has ended: its cost is spent, no longer committed.
    sa.Column("has_ended", sa.Boolean, nullable=False, default=False),
    # A lost POST that a user took off the budget: when, who, and on what evidence.
    sa.Column("written_off_at", _Time),
    sa.Column("written_off_by", PlainText(255)),
    sa.Column("written_off_why", PlainText),
    sa.UniqueConstraint("account", "task_id", name="wiro_submissions_task"),
    sa.Index("wiro_submissions_claimed", "account", "claimed_at"),
    sa.Index("wiro_submissions_recheck", "account", "recheck_at"),
    sa.Index("wiro_submissions_rechecks", "account", "rechecks"),
)

strays = sa.Table(
    "wiro_strays",
    metadata,
    # Tasks of an account that no submission explains.
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("task_id", sa.String(255), primary_key=True),
    sa.Column("model_slug", PlainText(255)),
    sa.Column("cost_usd", Usd),
    sa.Column("created_at", _Time),
    sa.Column("seen_at", _Time, nullable=False),
    # Why the user accepts it; NULL while it is unexplained.
    sa.Column("accepted", PlainText),
)

differences = sa.Table(
    "wiro_differences",
    metadata,
    # Costs that changed after Wiro had stated them, from what the user knows to what it is. Equal:
    # the user has accepted it. A cost that Wiro does not state is accepted at its ceiling.
    sa.Column("submission_id", _Id, primary_key=True, autoincrement=False),
    sa.Column("was_usd", Usd, nullable=False),
    sa.Column("is_usd", Usd, nullable=False),
    sa.Column("seen_at", _Time, nullable=False),
)

accounts = sa.Table(
    "wiro_accounts",
    metadata,
    # One row an account. Every submitter locks it before it claims, so that budget and slots are
    # checked by one at a time, wherever they run.
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("closed_until", _Time),
    sa.Column("reason", PlainText),
    sa.Column("slots", sa.Integer),
    sa.Column("slots_until", _Time),
    sa.Column("reads_paused_until", _Time),
    # The last refusal of the key or the balance; an accepted call that began later ends it.
    sa.Column("problem", sa.String(16)),
    sa.Column("problem_reason", PlainText),
    sa.Column("problem_at", _Time),
    sa.Column("turn", sa.BigInteger, nullable=False, default=0),
    # Why runs go without a marker; NULL if they carry one.
    sa.Column("unmarked", PlainText),
    # The one process that reads Wiro's list for the account.
    sa.Column("watcher", sa.String(64)),
    sa.Column("watcher_until", _Time),
)

collections = sa.Table(
    "wiro_collections",
    metadata,
    # Which project worked for a collection last, and when.
    sa.Column("collection", sa.String(255), primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("ticked_at", _Time, nullable=False),
)

account_keys = sa.Table(
    "wiro_account_keys",
    metadata,
    # What an account is called survives a change of its key.
    sa.Column("key_hash", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(64), nullable=False),
)

models = sa.Table(
    "wiro_models",
    metadata,
    # What /Tool/Detail last said of a model: schema and prices.
    sa.Column("slug", sa.String(255), primary_key=True),
    sa.Column("fetched_at", _Time, nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
)

uploads = sa.Table(
    "wiro_uploads",
    metadata,
    # What an account keeps at Wiro, by content.
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("uploaded_at", _Time, nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
)
