"""Two processes that hear of the same thing at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.support.ledger_orders import submitting
from wiro_dagster.ledger import Ledger, TaskNote


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_a_task_that_two_bring_at_once_gets_one_order(ledger: Ledger) -> None:
    """The answer to a POST, and another process' watch: one notes it, the other knows it then."""
    order = submitting(ledger)
    assert ledger.note_task(order, "first", due_at=ledger.clock()) == "noted"
    together = Barrier(4)

    def note(number: int, task_id: str) -> TaskNote:
        together.wait()
        return ledger.note_task(order, task_id, due_at=ledger.clock())

    with ThreadPoolExecutor(4) as pool:
        for turn in range(10):
            notes = list(pool.map(note, range(4), [f"twin-{turn}"] * 4))
            assert sorted(notes) == ["extra", "taken", "taken", "taken"]
    assert len(ledger.list_orders()) == 1 + 10
