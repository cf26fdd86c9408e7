"""Scripts that wait for their Runs."""

from __future__ import annotations

import json
from typing import Any

from wiro_dagster.emulator.state import State
from wiro_dagster.emulator.task_script import TaskScript


class ScriptQueue:
    """The waiting scripts, kept in the state."""

    def __init__(self, state: State) -> None:
        self._connection = state.connection

    def add(self, script: TaskScript, *, times: int | None, matching: str | None) -> int:
        """Add a script for the next Runs and return its number.

        Args:
            script: what shall happen to the tasks.
            times: for how many Runs; None for all.
            matching: only for Runs whose model or inputs hold this text.
        """
        inserted = self._connection.execute(
            "INSERT INTO task_scripts (matching, remaining, script) VALUES (?, ?, ?)",
            (matching, times, json.dumps(script.to_json())),
        )
        return int(inserted.lastrowid or 0)

    def take(self, text: str) -> dict[str, Any]:
        """Return the fields of the first script that fits a Run; empty if none does."""
        rows = self._connection.execute(
            "SELECT * FROM task_scripts WHERE remaining IS NULL OR remaining > 0 ORDER BY number"
        ).fetchall()
        for row in rows:
            if row["matching"] and row["matching"] not in text:
                continue
            self._connection.execute(
                "UPDATE task_scripts SET remaining = remaining - 1, hits = hits + 1 "
                "WHERE number = ?",
                (row["number"],),
            )
            fields: dict[str, Any] = json.loads(row["script"])
            return fields
        return {}

    def list(self) -> list[dict[str, Any]]:
        """Return all scripts, spent ones too."""
        rows = self._connection.execute("SELECT * FROM task_scripts ORDER BY number")
        return [{**dict(row), "script": json.loads(row["script"])} for row in rows]

    def clear(self) -> None:
        """Remove all scripts."""
        self._connection.execute("DELETE FROM task_scripts")
