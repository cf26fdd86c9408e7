"""What a tick asks when nothing is due is answered by indexes, with any number of orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.ledger_orders import ACCOUNT, claim_to_submit, request
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.schema import orders, submissions

COUNT = 2_000
NOW = 1_000_000.0

QUESTIONS: dict[str, Callable[[Ledger], object]] = {
    "standing": lambda ledger: ledger.list_standing(
        ["video"], {"running": NOW - 3600, "stored": NOW - 60}, limit=10
    ),
    "progress": lambda ledger: ledger.claim_progress("video", limit=10, pause_seconds=60),
    "superseded": lambda ledger: ledger.set_aside_superseded("video"),
    "watch": lambda ledger: ledger.is_watch_due(ACCOUNT),
    "followed": lambda ledger: ledger.list_followed(ACCOUNT, limit=1000),
    "held": lambda ledger: ledger.count_held("video"),
    "unstated": lambda ledger: ledger.list_unstated(ACCOUNT),
    "differences": lambda ledger: ledger.list_differences(ACCOUNT),
    "next tries": lambda ledger: ledger.list_awaiting_next_try("video"),
    "failed": lambda ledger: ledger.list_failed("video"),
    "unsent": lambda ledger: ledger.has_unsent("video"),
    "unquoted": lambda ledger: ledger.list_unquoted("video", limit=10),
    "proposed": lambda ledger: ledger.add_up_proposed("video").count,
    "owned elsewhere": lambda ledger: ledger.find_owned("video", "another"),
    "uncollected": lambda ledger: ledger.count_unwaited(["video"], ["finished"], limit=40),
    "collecting": lambda ledger: ledger.list_waiting_runs(["video"], ["finished", "stored"]),
    "delivered since": lambda ledger: ledger.list_delivered_since("video", NOW - 60),
    "waiters": lambda ledger: ledger.release_waiter("another"),
    "listed": lambda ledger: ledger.find_submissions(ACCOUNT, task_ids=["another", "third"]),
    "marked": lambda ledger: ledger.find_marked(ACCOUNT, "another"),
    "usual pace": lambda ledger: ledger.find_quickest_seconds("minimax/hailuo-2-3"),
    "new model's pace": lambda ledger: ledger.find_quickest_seconds("a/model-that-is-new"),
    "claims": lambda ledger: ledger.claim("video", ["stored"], limit=10, lease_seconds=60),
}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Many tasks in flight, none of them due, and none with news."""
    path: Path = tmp_path_factory.mktemp("many") / "ledger.db"
    opened = Ledger(f"sqlite:///{path}", clock=lambda: NOW)
    opened.place(request())
    claim_to_submit(opened)
    with opened.writing() as connection:
        row = dict(connection.execute(sa.select(orders)).mappings().one())
        row |= {"state": "running", "due_at": NOW + 100, "observed_at": NOW - 600}
        row |= {"submitted_at": NOW - 900, "ended_at": NOW - 700}  # seen to end, but was not over
        row |= {"task_status": "task_start", "observed_status": "task_start", "queue_seconds": 0.0}
        del row["id"]
        names = ("live_key", "task_id", "partition")
        copies = [row | {name: f"{name}-{n}" for name in names} for n in range(COUNT)]
        connection.execute(sa.delete(orders))
        connection.execute(sa.insert(orders), copies)
        row = dict(connection.execute(sa.select(submissions)).mappings().one())
        del row["id"]
        row |= {"outcome": "task", "cost_usd": 1, "has_ended": True}
        posts = [row | {"task_id": f"task_id-{n}", "marker": f"marker-{n}"} for n in range(COUNT)]
        connection.execute(sa.delete(submissions))
        connection.execute(sa.insert(submissions), posts)
    yield opened
    opened.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_nothing_due_is_found_without_reading_all_orders(ledger: Ledger, question: str) -> None:
    """SQLite takes a few steps for each of them, and not some for every order."""
    steps = 0

    def count_step() -> int:
        nonlocal steps
        steps += 1
        return 0

    def watch(connection: Any, *_: object) -> None:
        connection.set_progress_handler(count_step, 10)

    sa.event.listen(ledger.engine, "checkout", watch)
    try:
        assert not QUESTIONS[question](ledger)
    finally:
        sa.event.remove(ledger.engine, "checkout", watch)
    assert steps * 10 < COUNT
