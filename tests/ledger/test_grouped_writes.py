"""Writes of several threads share a transaction; each lasts, or fails, on its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tests.support.ledger_orders import request
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.grouped_writes import GroupedWrites
from wiro_dagster.ledger.schema import orders

THREADS = 6


class CountingLedger(Ledger):
    """Counts its transactions, and holds the first one back until the others have lined up."""

    transactions = 0
    may_begin = threading.Event()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self.transactions += 1
        with super().writing() as connection:
            self.may_begin.wait(10)
            yield connection


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[CountingLedger]:
    opened = CountingLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    opened.may_begin.set()
    for number in range(THREADS):
        opened.place(request(partition=str(number)))
    opened.may_begin.clear()
    opened.transactions = 0
    yield opened
    opened.close()


def rename(number: int, *, is_wrong: bool = False) -> object:
    def step(connection: Connection) -> int:
        mine = orders.c.partition == str(number)
        connection.execute(sa.update(orders).where(mine).values(hold="written"))
        if is_wrong:
            raise LedgerError("This one is wrong.")
        return number

    return step


def line_up(ledger: CountingLedger, steps: list[object]) -> list[object]:
    """Let all threads ask to write while the first transaction is open; return what they got."""

    def write(step: object) -> object:
        try:
            return ledger.write(step)  # type: ignore[arg-type]
        except LedgerError as error:
            return str(error)

    with ThreadPoolExecutor(len(steps)) as pool:
        started = [pool.submit(write, step) for step in steps]
        waiting: GroupedWrites = ledger._grouped
        while len(waiting._waiting) < len(steps) - 1:
            threading.Event().wait(0.001)
        ledger.may_begin.set()
        return [future.result() for future in started]


def written(ledger: Ledger) -> set[str]:
    return {order.partition for order in ledger.list_orders() if order.hold == "written"}


def test_writes_that_come_at_once_share_a_transaction(ledger: CountingLedger) -> None:
    """Six threads write; the first alone, and all that lined up meanwhile together."""
    found = line_up(ledger, [rename(number) for number in range(THREADS)])
    assert found == list(range(THREADS))
    assert written(ledger) == {str(number) for number in range(THREADS)}
    assert ledger.transactions == 2


def test_a_write_that_fails_leaves_the_others_alone(ledger: CountingLedger) -> None:
    """It is rolled back alone, and only its own thread hears of it."""
    steps = [rename(number, is_wrong=number == THREADS - 1) for number in range(THREADS)]
    found = line_up(ledger, steps)
    assert found == [*range(THREADS - 1), "This one is wrong."]
    assert written(ledger) == {str(number) for number in range(THREADS - 1)}
