"""What the ledger did, replayed: every change of a state must be a step of the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

import sqlalchemy as sa

from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.transitions import TRANSITIONS

# An order begins when it is asked for. One that is put on the books for a task that exists, such
# as Wiro's second one, begins where that task is.
FIRST = ("ordered", "running", "delivered")

_TRACE = (
    "CREATE TABLE IF NOT EXISTS traced (number INTEGER PRIMARY KEY, order_id, state)",
    "CREATE TRIGGER IF NOT EXISTS trace_first AFTER INSERT ON wiro_orders BEGIN "
    "INSERT INTO traced (order_id, state) VALUES (NEW.id, NEW.state); END",
    "CREATE TRIGGER IF NOT EXISTS trace_next AFTER UPDATE OF state ON wiro_orders "
    "WHEN OLD.state <> NEW.state BEGIN "
    "INSERT INTO traced (order_id, state) VALUES (NEW.id, NEW.state); END",
)


def record(ledger: Ledger) -> None:
    """Let an SQLite ledger write down every state that an order comes to, in its transactions."""
    with ledger.writing() as connection:
        for statement in _TRACE:
            connection.exec_driver_sql(statement)


def read(ledger: Ledger) -> dict[int, list[str]]:
    """Return the states of each order, in their order."""
    traces: dict[int, list[str]] = {}
    with ledger.reading() as connection:
        query = sa.text("SELECT order_id, state FROM traced ORDER BY number")
        for order_id, state in connection.execute(query):
            traces.setdefault(order_id, []).append(state)
    return traces


def replay(traces: Mapping[int, Iterable[str]]) -> list[str]:
    """Return what no step of the table explains."""
    arrows = {
        (source, step.target)
        for step in TRANSITIONS.values()
        for source in step.sources
        if step.target is not None
    }
    unexplained = []
    for order_id, states in traces.items():
        listed = list(states)
        if listed[0] not in FIRST:
            unexplained.append(f"order {order_id} begins as {listed[0]}")
        unexplained += [
            f"order {order_id} went from {was} to {now}, which no step does"
            for was, now in pairwise(listed)
            if (was, now) not in arrows
        ]
    return unexplained
