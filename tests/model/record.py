"""The record of what a ledger did: each state of an order, and how each of its POSTs came out.

Triggers write it in the same transaction that changes an order. So it is as good as the ledger
itself: if a process dies or is refused, the record has what was committed, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from wiro_dagster.ledger import Ledger

_SQLITE_NOW = "(julianday('now') - 2440587.5) * 86400.0"
_SQLITE = (
    "CREATE TABLE IF NOT EXISTS traced (number INTEGER PRIMARY KEY, "
    f"at REAL DEFAULT ({_SQLITE_NOW}), order_id, state, marker, outcome, task_id)",
    "CREATE TRIGGER IF NOT EXISTS trace_first AFTER INSERT ON wiro_orders BEGIN "
    "INSERT INTO traced (order_id, state) VALUES (NEW.id, NEW.state); END",
    "CREATE TRIGGER IF NOT EXISTS trace_next AFTER UPDATE OF state ON wiro_orders "
    "WHEN OLD.state <> NEW.state BEGIN "
    "INSERT INTO traced (order_id, state) VALUES (NEW.id, NEW.state); END",
    "CREATE TRIGGER IF NOT EXISTS trace_post AFTER INSERT ON wiro_submissions BEGIN "
    "INSERT INTO traced (order_id, marker, outcome, task_id) "
    "VALUES (NEW.order_id, NEW.marker, NEW.outcome, NEW.task_id); END",
    "CREATE TRIGGER IF NOT EXISTS trace_outcome AFTER UPDATE ON wiro_submissions "
    "WHEN OLD.outcome <> NEW.outcome OR OLD.order_id <> NEW.order_id BEGIN "
    "INSERT INTO traced (order_id, marker, outcome, task_id) "
    "VALUES (NEW.order_id, NEW.marker, NEW.outcome, NEW.task_id); END",
)
_POSTGRESQL = (
    "CREATE TABLE traced (number BIGSERIAL PRIMARY KEY, "
    "at FLOAT DEFAULT extract(epoch from clock_timestamp()), "
    "order_id BIGINT, state TEXT, marker TEXT, outcome TEXT, task_id TEXT)",
    "CREATE FUNCTION trace_state() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF TG_OP = 'INSERT' OR OLD.state <> NEW.state THEN "
    "INSERT INTO traced (order_id, state) VALUES (NEW.id, NEW.state); END IF; "
    "RETURN NULL; END $$",
    "CREATE FUNCTION trace_post() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF TG_OP = 'INSERT' OR OLD.outcome <> NEW.outcome OR OLD.order_id <> NEW.order_id THEN "
    "INSERT INTO traced (order_id, marker, outcome, task_id) "
    "VALUES (NEW.order_id, NEW.marker, NEW.outcome, NEW.task_id); END IF; "
    "RETURN NULL; END $$",
    "CREATE TRIGGER trace_state AFTER INSERT OR UPDATE ON wiro_orders "
    "FOR EACH ROW EXECUTE FUNCTION trace_state()",
    "CREATE TRIGGER trace_post AFTER INSERT OR UPDATE ON wiro_submissions "
    "FOR EACH ROW EXECUTE FUNCTION trace_post()",
)


@dataclass(frozen=True)
class Event:
    """One change of an order: its state, or how one of its POSTs came out.

    Args:
        at: unix seconds of the database's machine.
        order_id: whose.
        state: the order's new state; `None` if a POST changed.
        marker: of the POST that changed; `None` if the state did.
        outcome: of that POST.
        task_id: of the task that it made, if that is known.
    """

    at: float
    order_id: int
    state: str | None = None
    marker: str | None = None
    outcome: str | None = None
    task_id: str | None = None


def record(ledger: Ledger) -> None:
    """Let a ledger write down every change of an order from now on, in its transactions."""
    is_sqlite = ledger.engine.url.get_backend_name() == "sqlite"
    with ledger.writing() as connection:
        for statement in _SQLITE if is_sqlite else _POSTGRESQL:
            connection.exec_driver_sql(statement)


def read_events(ledger: Ledger) -> list[Event]:
    """Return what a ledger has written down, in its order."""
    columns = "at, order_id, state, marker, outcome, task_id"
    query = sa.text(f"SELECT {columns} FROM traced ORDER BY number")
    with ledger.reading() as connection:
        return [Event(*row) for row in connection.execute(query)]
