"""Grouped writes: what several threads have to write goes into one transaction.

SQLite has one writer at a time, and each commit waits for the disk. A thread that finds another one
writing queues up, and the next to run commits for all that are queued by then. A write is durable
when `run` returns, and one that fails leaves the others alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from wiro_dagster.errors import LedgerError

T = TypeVar("T")


@dataclass
class _Write:
    """One thread's write, and what came of it."""

    step: Callable[[Connection], Any]
    is_done: bool = False
    value: Any = None
    error: Exception | None = None


class GroupedWrites:
    """The writes of all threads of a process to one database.

    Args:
        open_transaction: opens a transaction that may write.
    """

    def __init__(self, open_transaction: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._open_transaction = open_transaction
        self._turn = threading.Lock()
        self._waiting: list[_Write] = []

    def run(self, step: Callable[[Connection], T]) -> T:
        """Take a step in a transaction that may hold those of other threads too.

        Args:
            step: writes, and may be rolled back alone.
        """
        mine = _Write(step)
        self._waiting.append(mine)
        with self._turn:
            if not mine.is_done:
                self._commit(self._take_waiting())
        if mine.error is not None:
            raise mine.error
        value: T = mine.value
        return value

    def _take_waiting(self) -> list[_Write]:
        count = len(self._waiting)  # only the thread whose turn it is removes any
        taken = self._waiting[:count]
        del self._waiting[:count]
        return taken

    def _commit(self, writes: list[_Write]) -> None:
        failure: Exception = LedgerError("The process was stopped while it wrote to the ledger.")
        has_lasted = False
        try:
            with self._open_transaction() as connection:
                for write in writes:
                    _take(connection, write, is_alone=len(writes) == 1)
            has_lasted = True
        except Exception as error:
            failure = error
        finally:
            for write in writes:
                write.is_done = True
                if not has_lasted:
                    write.error = failure


def _take(connection: Connection, write: _Write, *, is_alone: bool) -> None:
    if is_alone:
        write.value = write.step(connection)
        return
    savepoint = connection.begin_nested()
    try:
        write.value = write.step(connection)
    except Exception as error:
        savepoint.rollback()
        write.error = error
    else:
        savepoint.commit()
