"""The calls that the service owes to callback URLs: when, how often, and when not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wiro_dagster.emulator.state import State
from wiro_dagster.emulator.task import Task

CallbackKind = Literal["end", "early", "forged", "forged_url", "malformed", "huge", "get"]

# Sent again on any answer but 200: a few tries, seconds apart.
MAXIMUM_ATTEMPTS = 4
_SECONDS_BETWEEN_ATTEMPTS = 2.0
_SECONDS_BEFORE_SECOND = 1.0


@dataclass(frozen=True)
class DueCallback:
    """One call to make.

    Args:
        number: its place in the state.
        task_number: the task that ends.
        kind: the call at the end, one that comes before it, a forged one, or one at the end whose
            body or method is wrong.
        attempt: 1 for the first try.
    """

    number: int
    task_number: int
    kind: CallbackKind
    attempt: int


class Callbacks:
    """The calls still to be made, kept in the state."""

    def __init__(self, state: State) -> None:
        self._connection = state.connection

    def plan_at_run(self, task: Task) -> None:
        """Plan the calls that come before the task's end."""
        started = next((m.at for m in task.timeline if m.status == "task_start"), None)
        at = task.created_at if started is None else started
        if task.callback_url and task.script.callback == "early":
            self._add(task, "early", at)
        if task.callback_url and task.script.callback == "forged":
            self._add(task, "forged", at)
            self._add(task, "forged_url", at)

    def plan_at_end(self, task: Task, ended_at: float) -> None:
        """Plan the calls that report the task's end."""
        plan = task.script.callback
        if not task.callback_url or plan == "never":
            return
        late = task.script.callback_late_seconds if plan == "late" else 0.0
        odd: dict[str, CallbackKind] = {"malformed": "malformed", "huge": "huge", "get": "get"}
        self._add(task, odd.get(plan, "end"), ended_at + late)
        if plan == "twice":
            self._add(task, "end", ended_at + _SECONDS_BEFORE_SECOND)

    def plan_again(self, failed: DueCallback, now: float) -> None:
        """Plan the next try of a call that was not answered with 200."""
        if failed.attempt < MAXIMUM_ATTEMPTS:
            self._connection.execute(
                "INSERT INTO callbacks (task_number, kind, due_at, attempt) VALUES (?, ?, ?, ?)",
                (
                    failed.task_number,
                    failed.kind,
                    now + _SECONDS_BETWEEN_ATTEMPTS,
                    failed.attempt + 1,
                ),
            )

    def take_due(self, now: float) -> list[DueCallback]:
        """Return the calls to make now; each is given out once."""
        rows = self._connection.execute(
            "SELECT * FROM callbacks WHERE is_done = 0 AND due_at <= ? ORDER BY due_at LIMIT 50",
            (now,),
        ).fetchall()
        for row in rows:
            self._connection.execute(
                "UPDATE callbacks SET is_done = 1 WHERE number = ?", (row["number"],)
            )
        return [
            DueCallback(row["number"], row["task_number"], row["kind"], row["attempt"])
            for row in rows
        ]

    def next_due(self) -> float | None:
        """Return when the next call is to be made."""
        row = self._connection.execute(
            "SELECT MIN(due_at) AS at FROM callbacks WHERE is_done = 0"
        ).fetchone()
        return None if row["at"] is None else float(row["at"])

    def _add(self, task: Task, kind: CallbackKind, due_at: float) -> None:
        self._connection.execute(
            "INSERT INTO callbacks (task_number, kind, due_at) VALUES (?, ?, ?)",
            (task.number, kind, due_at),
        )
