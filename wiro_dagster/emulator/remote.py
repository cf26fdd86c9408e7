"""Steers a running emulator through its control API; needs nothing but the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from wiro_dagster.emulator.remote_worlds import WorldControl


class EmulatorControl(WorldControl):
    """The control API of an emulator that is running already.

    Args:
        start_page_url: ``http://127.0.0.1:PORT/``, as the emulator prints it.
    """

    def now(self) -> float:
        """Return the emulated time, in unix seconds."""
        return float(self.summary()["now"])

    def advance(self, seconds: float) -> float:
        """Move the clock forward; what was due by then happens, and return the new time."""
        return self._set_clock({"action": "advance", "seconds": seconds})

    def freeze(self) -> float:
        """Stop the clock until advance() or resume(), and return the time it stands at."""
        return self._set_clock({"action": "freeze"})

    def resume(self) -> float:
        """Let a frozen clock run on, and return the time."""
        return self._set_clock({"action": "resume"})

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks, oldest first.

        Each has ``id``, ``model``, ``status``, ``exit_code``, ``has_ended``, ``error``,
        ``cost_usd`` (billed), ``parameters``, ``callbackurl``, ``project_id``, ``created_at``,
        ``ends_at``, ``deleted_at``, ``script`` and ``outputs`` (``name``, ``size_bytes``, ``url``).
        """
        tasks: list[dict[str, Any]] = self._get("tasks")
        return tasks

    def billable_tasks(self) -> int:
        """Return how many Runs were accepted: each may be billed."""
        return int(self.summary()["billable_tasks"])

    def spent_usd(self) -> Decimal:
        """Return the sum of all bills."""
        return Decimal(self.summary()["spent_usd"])

    def balance_usd(self) -> Decimal:
        """Return what is left in the account."""
        return Decimal(self.summary()["balance_usd"])

    def set_balance(self, balance_usd: str | Decimal, *, account: str = "main") -> None:
        """Set what is left in an account."""
        self._post("balance", {"balance_usd": str(balance_usd), "account": account})

    def summary(self) -> dict[str, Any]:
        """Return clock, balance, counts, settings, fault rates, models and URLs."""
        summary: dict[str, Any] = self._get("summary")
        return summary

    def journal(
        self,
        *,
        kind: str | None = None,
        endpoint: str | None = None,
        task_id: str | None = None,
        after: int = 0,
    ) -> list[dict[str, Any]]:
        """Return the journal's lines, oldest first, with secrets redacted.

        Args:
            kind: only "call", "download", "callback" or "socket".
            endpoint: only this one and those below it; "Run" covers all models.
            task_id: only about this task.
            after: only lines with a greater ``number``.
        """
        query = {"kind": kind, "endpoint": endpoint, "task_id": task_id, "after": after}
        given = {name: value for name, value in query.items() if value is not None}
        lines: list[dict[str, Any]] = self._get(f"journal?{urlencode(given)}")
        return lines

    def script_fault(
        self,
        kind: str,
        *,
        endpoint: str = "*",
        moment: str = "before",
        matching: str | None = None,
        times: int | None = 1,
        skip: int = 0,
        seconds: float = 5.0,
        retry_after: str | None = None,
        lasts_seconds: float | None = None,
    ) -> int:
        """Spoil the next calls or downloads and return the fault's number.

        Args:
            kind: "drop", "reset", "http_502", "html", "broken_json", "rate_limited", "delay",
                "file_cut" ...; the emulator's README lists them all.
            endpoint: "Run", "Run/minimax/hailuo-2-3", "Task/Detail" ..., "*" for all; downloads
                are taken from the kind.
            moment: "before" the call has any effect, or "after" it had its whole effect.
            matching: only requests whose body holds this text; of downloads, only those whose path,
                task id or inputs do.
            times: how many; None for all from now on.
            skip: how many matching ones pass first.
            seconds: how long a delay or a stall lasts.
            retry_after: the header of a 429.
            lasts_seconds: for how long; None without an end of its own.

        Raises:
            ValueError: the emulator does not know the fault, or it makes no sense.
        """
        fields = {
            "kind": kind,
            "endpoint": endpoint,
            "moment": moment,
            "matching": matching,
            "times": times,
            "skip": skip,
            "seconds": seconds,
            "retry_after": retry_after,
            "lasts_seconds": lasts_seconds,
        }
        return int(self._post("faults/add", fields)["number"])

    def script_task(
        self, *, times: int | None = 1, matching: str | None = None, **fields: Any
    ) -> int:
        """Script what happens to the tasks of the next Runs, and return the script's number.

        Args:
            times: for how many Runs; None for all from now on.
            matching: only for Runs whose model or inputs hold this text.
            fields: of a TaskScript, such as ``outcome="fail", reason="..."``; or
                ``worlds=["late_cost"]``, ``worlds={"late_cost": 60.0}`` with its seconds.

        Raises:
            ValueError: a field is unknown, or a value is not of its kind.
        """
        body = {"script": fields, "times": times, "matching": matching}
        return int(self._post("scripts/add", body)["number"])

    def set_task(self, task_id: str, **overrides: Any) -> dict[str, Any]:
        """Change what happens to a task that is there already, and return it.

        Args:
            task_id: the task.
            overrides: fields of a TaskScript, or ``worlds`` as in script_task(), counted from the
                task's Run; or ``status`` to put it into any status at once and keep it there.

        Raises:
            ValueError: the task is unknown or has ended, or a field is unknown.
        """
        task: dict[str, Any] = self._post(f"tasks/{task_id}", overrides)
        return task

    def faults(self) -> dict[str, Any]:
        """Return scripted faults with their hits, task scripts, rates and the rates' names."""
        faults: dict[str, Any] = self._get("faults")
        return faults

    def set_fault_rates(self, rates: Mapping[str, float]) -> None:
        """Replace the rates of random faults.

        Args:
            rates: from 0 to 1 by name, e.g. ``{"drop_after": 0.05, "Run:http_502_before": 0.1}``;
                ``faults()["rate_names"]`` lists the names.

        Raises:
            ValueError: a name is unknown, or a rate is not from 0 to 1.
        """
        self._post("faults/rates", {"rates": dict(rates)})

    def set_every_fault_rate(self, rate: float) -> None:
        """Let every fault that the emulator knows happen at this rate."""
        self.set_fault_rates(dict.fromkeys(self.faults()["rate_names"], rate))

    def clear_faults(self) -> None:
        """Remove all faults and worlds, scripted and random, and all scripts waiting for a Run."""
        self._post("faults/clear", {})

    def change_settings(self, **changes: Any) -> dict[str, Any]:
        """Change settings while it runs, and return them all.

        Args:
            changes: such as ``task_seconds=1.0, dialect="alternate", socket_frames="new"``.

        Raises:
            ValueError: a setting cannot be changed, or a value is not of its kind.
        """
        settings: dict[str, Any] = self._post("settings", changes)
        return settings

    def reset(self) -> None:
        """Forget tasks, journal, faults, changed settings and bills; the clock runs again."""
        self._post("reset", {})

    def _set_clock(self, fields: Mapping[str, Any]) -> float:
        return float(self._post("clock", fields)["now"])
