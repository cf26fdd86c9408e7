"""Steers what a running emulator shows: worlds that no document excludes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wiro_dagster.emulator.control_connection import ControlConnection


class WorldControl(ControlConnection):
    """The control API's part about what the API shows instead of the truth."""

    def override_task(
        self,
        task_id: str,
        fields: Mapping[str, Any] | None = None,
        *,
        without: Sequence[str] = (),
        rewrites: Sequence[str] = (),
        hides: str = "no",
        behind_seconds: float = 0.0,
        calls: str = "both",
        since: str = "now",
        from_seconds: float = 0.0,
        until_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Show a task otherwise than it is, and return it as it is.

        Args:
            task_id: the task.
            fields: any JSON values by field; a dot leads inside, ``*`` is every entry:
                ``{"totalcost": None, "outputs.*.size": "0"}``.
            without: fields to leave out.
            rewrites: named changes such as "inputs_upper_case"; the README lists them.
            hides: "not_found" (Task/Detail answers code 1) or "empty" (an empty list);
                Task/List leaves the task out with either.
            behind_seconds: show the task as it was so long ago.
            calls: "detail", "list" or "both". The answer to the Run itself is changed with
                ``script_task(overrides=[{"calls": "run", "fields": {"taskid": None}}])``.
            since: what the seconds count from: "now", "run" or "end".
            from_seconds: when it begins.
            until_seconds: when it stops; None for never.

        Raises:
            ValueError: the task is unknown, or a value is not of its kind.
        """
        override = {
            "fields": dict(fields or {}),
            "without": list(without),
            "rewrites": list(rewrites),
            "hides": hides,
            "behind_seconds": behind_seconds,
            "calls": calls,
            "since": since,
            "from_seconds": from_seconds,
            "until_seconds": until_seconds,
        }
        task: dict[str, Any] = self._post(f"tasks/{task_id}/override", override)
        return task

    def clear_overrides(self, task_id: str) -> None:
        """Show the truth about a task again."""
        self._post(f"tasks/{task_id}/clear-overrides", {})

    def worlds(self) -> list[dict[str, Any]]:
        """Return all worlds: ``name``, ``of`` (task or service), ``what``, ``source``, ``rate``."""
        worlds: list[dict[str, Any]] = self._get("worlds")
        return worlds

    def set_world_rates(self, rates: Mapping[str, float]) -> None:
        """Replace the rates of worlds that come by chance.

        Args:
            rates: from 0 to 1 by name, e.g. ``{"late_cost": 0.05, "gateway_accepts": 0.1}``. A
                world of tasks is drawn for each task, one of the service for each of its periods.

        Raises:
            ValueError: a name is unknown, or a rate is not from 0 to 1.
        """
        self._post("worlds/rates", {"rates": dict(rates)})

    def set_every_world_rate(self, rate: float) -> None:
        """Let every world come at this rate."""
        self.set_world_rates(dict.fromkeys((world["name"] for world in self.worlds()), rate))

    def begin_world(self, name: str, *, seconds: float | None = None) -> None:
        """Begin a world of the service, such as "gateway_accepts".

        Args:
            name: the world.
            seconds: how long it lasts; None until end_world() or clear_worlds().

        Raises:
            ValueError: the service has no world of this name.
        """
        self._post("worlds/begin", {"name": name, "seconds": seconds})

    def end_world(self, name: str) -> None:
        """End a world that begin_world() began."""
        self._post("worlds/end", {"name": name})

    def clear_worlds(self) -> None:
        """End all worlds of the service, and let none come by chance any longer."""
        self._post("worlds/clear", {})

    def add_foreign_task(
        self,
        *,
        like: str | None = None,
        model: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        age_seconds: float = 0.0,
        account: str = "main",
        **script: Any,
    ) -> str:
        """Add a task of a different user of the account, and return its id.

        Args:
            like: a task to take model and inputs from.
            model: its model.
            inputs: its inputs.
            callback_url: its callback; ``{number}`` becomes the task's id. It is never called.
            age_seconds: how long ago it was run.
            account: whose it is.
            script: what happens to it, as in script_task().

        Raises:
            ValueError: the task, the model or a field is unknown.
        """
        fields = {
            "like": like,
            "model": model,
            "inputs": None if inputs is None else dict(inputs),
            "callback_url": callback_url,
            "age_seconds": age_seconds,
            "account": account,
            "script": script,
        }
        return str(self._post("foreign-tasks/add", fields)["id"])

    def add_key(
        self, api_key: str, api_secret: str | None = None, *, account: str = "main"
    ) -> None:
        """Add an API key, of the same account or of a different one.

        Args:
            api_key: the key.
            api_secret: its secret; None for a key that goes alone.
            account: has the tasks that it sees. Each account has its own tasks and balance.

        Raises:
            ValueError: the key exists already.
        """
        self._post("keys/add", {"key": api_key, "secret": api_secret, "account": account})

    def revoke_key(self, api_key: str, *, seconds: float | None = None) -> None:
        """Answer 401 to a key, for some seconds or until restore_key().

        Raises:
            ValueError: the key is unknown.
        """
        self._post("keys/revoke", {"key": api_key, "seconds": seconds})

    def restore_key(self, api_key: str) -> None:
        """Accept a revoked key again."""
        self._post("keys/restore", {"key": api_key})

    def change_model(
        self,
        slug: str,
        *,
        price_times: float = 1.0,
        defaults: Mapping[str, Any] | None = None,
        added_inputs: Sequence[Mapping[str, Any]] = (),
        renamed_to: str | None = None,
        shown: Mapping[str, Any] | None = None,
    ) -> None:
        """Change a model from now on; runs that were sent before keep price and name.

        Args:
            slug: the model.
            price_times: what its prices are multiplied by.
            defaults: new defaults of inputs.
            added_inputs: further inputs, as items of Tool/Detail's ``parameters``.
            renamed_to: its new slug; the old one is not found any longer.
            shown: any JSON values by field that Tool/Detail and Tool/List show, with the notation
                of override_task(); runs are checked and billed by the truth.

        Raises:
            ValueError: the model is unknown.
        """
        changes = {
            "price_times": price_times,
            "defaults": dict(defaults or {}),
            "added_inputs": [dict(item) for item in added_inputs],
            "renamed_to": renamed_to,
            "shown": dict(shown or {}),
        }
        self._post("models/change", {"slug": slug, **changes})

    def billed(self) -> list[dict[str, Any]]:
        """Return every task with a cost, of all accounts, oldest first.

        Each has ``id``, ``cost_usd``, ``model``, ``callbackurl``, ``created_at``, ``ended_at``,
        ``status``, ``origin`` ("run", "twin" or "foreign"), ``account`` and ``worlds``.
        """
        billed: list[dict[str, Any]] = self._get("billed")
        return billed

    def tasks_by_callback(self) -> dict[str, list[str]]:
        """Return the ids of all tasks by callback URL; those without one under ""."""
        tasks: dict[str, list[str]] = self._get("tasks-by-callback")
        return tasks
