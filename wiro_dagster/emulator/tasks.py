"""The tasks of the project, kept in the state."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

from wiro_dagster.emulator.state import State
from wiro_dagster.emulator.task import Task
from wiro_dagster.emulator.task_script import TaskScript, script_from_json
from wiro_dagster.emulator.timeline import Moment, Timeline, ends_at

_PICO = Decimal(10) ** 12
_KEPT_IN_MEMORY = 4096
"""So many tasks are read from the state once only, until they change."""


class Tasks:
    """Reads and writes tasks."""

    def __init__(self, state: State) -> None:
        self._connection = state.connection
        self._read: dict[int, Task] = {}

    def forget(self) -> None:
        """Begin as in an empty state."""
        self._read.clear()

    def next_number(self) -> int:
        """Return the id that the next task gets."""
        row = self._connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'tasks'"
        ).fetchone()
        return int(row["seq"]) + 1

    def add(self, task: Task) -> None:
        """Keep a new task."""
        values = {
            "number": task.number,
            "uuid": task.uuid,
            "token": task.token,
            "slug": task.slug,
            "parameters": json.dumps(task.parameters),
            "input_files": json.dumps(task.input_files),
            "callback_url": task.callback_url,
            "project_id": task.project_id,
            "created_at": task.created_at,
            "listed_at": task.listed_at,
            "visible_at": task.visible_at,
            "script": json.dumps(task.script.to_json()),
            "timeline": _timeline_json(task.timeline),
            "ends_at": task.ends_at,
            "edition": task.edition,
            "account": task.account,
            "origin": task.origin,
        }
        columns = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        self._connection.execute(f"INSERT INTO tasks ({columns}) VALUES ({marks})", values)

    def set_course(self, task: Task, timeline: Timeline, *, is_killed: bool = False) -> Task:
        """Replace the rest of a task's course."""
        self._change(
            task,
            "UPDATE tasks SET timeline = ?, ends_at = ?, is_killed = ? WHERE number = ?",
            (_timeline_json(timeline), ends_at(timeline), is_killed, task.number),
        )
        return self._get(task.number)

    def set_script(
        self, task: Task, script: TaskScript, *, listed_at: float, visible_at: float
    ) -> Task:
        """Replace a task's script."""
        self._change(
            task,
            "UPDATE tasks SET script = ?, listed_at = ?, visible_at = ? WHERE number = ?",
            (json.dumps(script.to_json()), listed_at, visible_at, task.number),
        )
        return self._get(task.number)

    def set_settled(self, task: Task, cost_usd: Decimal) -> None:
        """Note that the end of a task has been billed."""
        self._change(
            task,
            "UPDATE tasks SET is_settled = 1, cost_pico_usd = ? WHERE number = ?",
            (int(cost_usd * _PICO), task.number),
        )

    def set_deleted(self, task: Task, now: float) -> None:
        """Note that a task's files have been deleted."""
        self._change(
            task,
            "UPDATE tasks SET deleted_at = COALESCE(deleted_at, ?) WHERE number = ?",
            (now, task.number),
        )

    def everything(self) -> list[Task]:
        """Return all tasks of all accounts, oldest first."""
        return self._all("SELECT number FROM tasks ORDER BY number", ())

    def find(self, task_id: str) -> Task | None:
        """Return the task with this id."""
        if not task_id.isdecimal():
            return None
        return self._find(int(task_id))

    def find_by_token(self, token: str) -> Task | None:
        """Return the task with this ``socketaccesstoken``."""
        return self._one("token = ?", token)

    def find_by_uuid(self, task_uuid: str) -> Task | None:
        """Return the task whose outputs carry this uuid in their URLs."""
        return self._one("uuid = ?", task_uuid)

    def to_settle(self, now: float) -> list[Task]:
        """Return the tasks that have ended and are not billed yet, in the order of their ends."""
        ended = "is_settled = 0 AND ends_at <= ?"
        return self._all(f"SELECT number FROM tasks WHERE {ended} ORDER BY ends_at, number", (now,))

    def next_end(self) -> float | None:
        """Return when the next task ends."""
        row = self._connection.execute(
            "SELECT MIN(ends_at) AS at FROM tasks WHERE is_settled = 0"
        ).fetchone()
        return None if row["at"] is None else float(row["at"])

    def count_live(self, account: str) -> int:
        """Return how many tasks use up the concurrency limit, once ended ones are settled."""
        row = self._connection.execute(
            "SELECT COUNT(*) AS live FROM tasks WHERE is_settled = 0 AND account = ?", (account,)
        ).fetchone()
        return int(row["live"])

    def count(self) -> int:
        """Return how many tasks callers made, twins included; foreign ones are not theirs."""
        row = self._connection.execute("SELECT COUNT(*) FROM tasks WHERE origin <> 'foreign'")
        return int(row.fetchone()[0])

    def has_value(self, text: str) -> bool:
        """Return whether a task was made with an input of exactly this text."""
        row = self._connection.execute(
            "SELECT 1 FROM tasks WHERE instr(parameters, ?) LIMIT 1", (json.dumps(text),)
        ).fetchone()
        return row is not None

    def spent_usd(self) -> Decimal:
        """Return the sum of the bills of the tasks that callers made, twins included."""
        row = self._connection.execute(
            "SELECT COALESCE(SUM(cost_pico_usd), 0) AS spent FROM tasks WHERE origin <> 'foreign'"
        ).fetchone()
        return Decimal(row["spent"]) / _PICO

    def page(
        self,
        *,
        now: float,
        account: str | None = None,
        slugs: Sequence[str] | None = None,
        order: Literal["ASC", "DESC"] = "DESC",
        start: int = 0,
        limit: int = 20,
    ) -> tuple[int, list[Task]]:
        """Return the number of listed tasks, and one page of them.

        Args:
            now: tasks that are listed later than this are left out.
            account: whose tasks; None for all.
            slugs: the models to list; None for all.
            order: by id.
            start: how many to pass over.
            limit: how many at most.
        """
        where = "listed_at <= ?"
        values: list[Any] = [now]
        if account is not None:
            where += " AND account = ?"
            values.append(account)
        if slugs is not None:
            where += f" AND slug IN ({', '.join('?' for _ in slugs)})"
            values.extend(slugs)
        total = self._connection.execute(
            f"SELECT COUNT(*) FROM tasks WHERE {where}", values
        ).fetchone()[0]
        query = f"SELECT number FROM tasks WHERE {where} ORDER BY number {order} LIMIT ? OFFSET ?"
        return int(total), self._all(query, [*values, limit, start])

    def _change(self, task: Task, statement: str, values: Sequence[Any]) -> None:
        self._connection.execute(statement, values)
        self._read.pop(task.number, None)

    def _all(self, query: str, values: Sequence[Any]) -> list[Task]:
        rows = self._connection.execute(query, values).fetchall()
        return [self._get(row["number"]) for row in rows]

    def _one(self, where: str, value: object) -> Task | None:
        row = self._connection.execute(f"SELECT * FROM tasks WHERE {where}", (value,)).fetchone()
        return None if row is None else _task_from(row)

    def _get(self, number: int) -> Task:
        task = self._find(number)
        if task is None:
            raise LookupError(f"task {number} is not in the state file")
        return task

    def _find(self, number: int) -> Task | None:
        task = self._read.get(number) or self._one("number = ?", number)
        # What a transaction has changed may still be rolled back.
        if task is not None and not self._connection.in_transaction:
            if len(self._read) >= _KEPT_IN_MEMORY:
                self._read.clear()
            self._read[number] = task
        return task


def _timeline_json(timeline: Timeline) -> str:
    return json.dumps([[moment.status, moment.at] for moment in timeline])


def _task_from(row: sqlite3.Row) -> Task:
    return Task(
        number=row["number"],
        uuid=row["uuid"],
        token=row["token"],
        slug=row["slug"],
        parameters=json.loads(row["parameters"]),
        input_files=json.loads(row["input_files"]),
        callback_url=row["callback_url"],
        project_id=row["project_id"],
        created_at=row["created_at"],
        listed_at=row["listed_at"],
        visible_at=row["visible_at"],
        script=script_from_json(json.loads(row["script"])),
        timeline=tuple(Moment(status, at) for status, at in json.loads(row["timeline"])),
        is_killed=bool(row["is_killed"]),
        is_settled=bool(row["is_settled"]),
        cost_usd=Decimal(row["cost_pico_usd"]) / _PICO,
        deleted_at=row["deleted_at"],
        edition=row["edition"],
        account=row["account"],
        origin=row["origin"],
    )
