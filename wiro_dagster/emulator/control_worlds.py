"""The control API about worlds: rates, periods, keys, models, other users' tasks, the books."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.settings import MAIN_ACCOUNT
from wiro_dagster.emulator.task import Task, make_token, make_uuid
from wiro_dagster.emulator.task_script import TaskScript
from wiro_dagster.emulator.worlds.companions import add_foreign, course_of
from wiro_dagster.emulator.worlds.tasks import expand_worlds

Fields = dict[str, Any]


class WorldControl:
    """Answers the control API's calls about worlds.

    Args:
        service: the emulated service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def reads(self) -> dict[str, Callable[[Request], Any]]:
        """Return the calls that change nothing, by path."""
        return {
            "worlds": self._worlds,
            "billed": self._billed,
            "tasks-by-callback": self._tasks_by_callback,
        }

    def writes(self) -> dict[str, Callable[[Request, Fields], Any]]:
        """Return the calls that change something, by path."""
        return {
            "worlds/rates": self._set_rates,
            "worlds/begin": self._begin,
            "worlds/end": self._end,
            "worlds/clear": self._clear,
            "keys/add": self._add_key,
            "keys/revoke": self._revoke_key,
            "keys/restore": self._restore_key,
            "models/change": self._change_model,
            "foreign-tasks/add": self._add_foreign,
        }

    def _worlds(self, _request: Request) -> list[Fields]:
        return self._service.worlds.describe(self._service.clock.now())

    def _set_rates(self, _request: Request, fields: Fields) -> Fields:
        self._service.set_world_rates(fields["rates"])
        return {"rates": self._service.worlds.rates}

    def _begin(self, _request: Request, fields: Fields) -> Fields:
        now = self._service.settled_now()
        self._service.worlds.begin(fields["name"], now, fields.get("seconds"))
        return {"since": now}

    def _end(self, _request: Request, fields: Fields) -> Fields:
        self._service.worlds.end(fields["name"], self._service.settled_now())
        return {}

    def _clear(self, _request: Request, _fields: Fields) -> Fields:
        self._service.worlds.clear(self._service.settled_now())
        return {}

    def _add_key(self, _request: Request, fields: Fields) -> Fields:
        text, secret = str(fields["key"]), fields.get("secret")
        self._service.keys.add(text, secret, str(fields.get("account") or MAIN_ACCOUNT))
        self._service.journal.hide(text, secret or "")
        return {}

    def _revoke_key(self, _request: Request, fields: Fields) -> Fields:
        seconds, now = fields.get("seconds"), self._service.clock.now()
        self._service.keys.revoke(fields["key"], None if seconds is None else now + seconds)
        return {}

    def _restore_key(self, _request: Request, fields: Fields) -> Fields:
        self._service.keys.restore(fields["key"])
        return {}

    def _change_model(self, _request: Request, fields: Fields) -> Fields:
        changes = {name: value for name, value in fields.items() if name != "slug"}
        self._service.models.change(fields["slug"], self._service.settled_now(), changes)
        return {}

    def _add_foreign(self, _request: Request, fields: Fields) -> Fields:
        service, now = self._service, self._service.settled_now()
        created_at = now - float(fields.get("age_seconds") or 0)
        like = self._like(fields, created_at)
        script = expand_worlds(fields.get("script") or {})
        with service.state.transaction():
            task = add_foreign(service, like, script, callback_url=fields.get("callback_url"))
        service.settle(now)
        service.clock.wake_all()
        return {"id": str(task.number)}

    def _like(self, fields: Fields, created_at: float) -> Task:
        """Return a task, kept nowhere, with what the foreign one is to have."""
        service, account = self._service, str(fields.get("account") or MAIN_ACCOUNT)
        known = service.tasks.find(str(fields["like"])) if fields.get("like") else None
        if fields.get("like") and known is None:
            raise ValueError(f"task {fields['like']} does not exist")
        slug = fields.get("model") or (known.slug if known else None)
        edition = service.models.edition(service.clock.now())
        if slug is None or service.models.under(edition).find(slug) is None:
            raise ValueError("name a task to be like, or an existing model")
        return Task(
            number=0,
            uuid=make_uuid(),
            token=make_token(),
            slug=slug,
            parameters=fields.get("inputs") or (known.parameters if known else {}),
            input_files=known.input_files if known else {},
            callback_url=None,
            project_id=None,
            created_at=created_at,
            script=TaskScript(),
            edition=edition,
            account=account,
            **course_of(service, TaskScript(), created_at),
        )

    def _billed(self, _request: Request) -> list[Fields]:
        now = self._service.settled_now()
        return [
            {
                "id": str(task.number),
                "cost_usd": str(task.cost_usd),
                "model": task.slug,
                "callbackurl": task.callback_url,
                "created_at": task.created_at,
                "ended_at": task.ends_at,
                "status": task.status(now),
                "origin": task.origin,
                "account": task.account,
                "worlds": list(task.script.worlds),
            }
            for task in self._service.tasks.everything()
            if task.cost_usd
        ]

    def _tasks_by_callback(self, _request: Request) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for task in self._service.tasks.everything():
            found[task.callback_url or ""].append(str(task.number))
        return found
