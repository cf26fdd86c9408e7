"""The control API under ``/_emulator/``, which tests steer the emulator with.

Every change is a POST of JSON; other content types are refused, so that no web page in
a browser can change anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from wiro_dagster.emulator.account import concurrency_limit
from wiro_dagster.emulator.control_tasks import TaskControl
from wiro_dagster.emulator.control_worlds import WorldControl
from wiro_dagster.emulator.faults import rate_names
from wiro_dagster.emulator.json_answer import JsonAnswer
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.settings import MAIN_ACCOUNT
from wiro_dagster.emulator.task_script import script_from_json
from wiro_dagster.emulator.worlds.tasks import expand_worlds

_EVERYTHING = 1_000_000
Fields = dict[str, Any]


class Control:
    """Answers the control API.

    Args:
        service: the emulated service.
        urls: where this emulator can be reached, for the start page.
    """

    def __init__(self, service: Service, urls: Mapping[str, str]) -> None:
        self._service = service
        self._urls = dict(urls)
        self._tasks = TaskControl(service)
        self._worlds = WorldControl(service)

    def routes(self) -> list[BaseRoute]:
        """Return all routes, with their full paths."""
        reads: Mapping[str, Callable[[Request], Any]] = {
            "ping": lambda _request: {"ok": True},
            "summary": self._summary,
            "tasks": self._tasks.list,
            "journal": self._journal,
            "faults": self._faults,
            **self._worlds.reads(),
        }
        writes: Mapping[str, Callable[[Request, Fields], Any]] = {
            "clock": self._set_clock,
            "balance": self._set_balance,
            "faults/add": self._add_fault,
            "faults/clear": self._clear_faults,
            "faults/rates": self._set_rates,
            "scripts/add": self._add_script,
            "settings": self._set_settings,
            "reset": self._reset,
            **self._worlds.writes(),
            "tasks/{task_id}": self._tasks.change,
            "tasks/{task_id}/override": self._tasks.override,
            "tasks/{task_id}/clear-overrides": self._tasks.clear_overrides,
        }
        return [
            *(Route(f"/_emulator/{path}", _reading(read)) for path, read in reads.items()),
            *(
                Route(f"/_emulator/{path}", _writing(write), methods=["POST"])
                for path, write in writes.items()
            ),
        ]

    def _summary(self, _request: Request) -> Fields:
        service, now = self._service, self._service.settled_now()
        balance = service.account.balance_usd
        return {
            "now": now,
            "is_frozen": service.clock.frozen_at is not None,
            "offset_seconds": service.clock.offset_seconds,
            "balance_usd": str(balance),
            "concurrency_limit": concurrency_limit(balance),
            "live_tasks": service.tasks.count_live(MAIN_ACCOUNT),
            "billable_tasks": service.tasks.count(),
            "spent_usd": str(service.tasks.spent_usd()),
            "is_key_only": service.settings.is_key_only,
            "seed": service.settings.seed,
            "settings": service.settings.changeable(),
            "fault_rates": service.faults.rates,
            "world_rates": service.worlds.rates,
            "models": [model.slug for model in service.models.at(now)],
            "urls": self._urls,
        }

    def _journal(self, request: Request) -> list[Fields]:
        query = request.query_params
        return self._service.journal.list(
            kind=query.get("kind"),
            endpoint=query.get("endpoint"),
            task_id=query.get("task_id"),
            after=int(query.get("after", 0)),
            limit=int(query.get("limit", _EVERYTHING)),
            newest_first=query.get("order") == "DESC",
        )

    def _faults(self, _request: Request) -> Fields:
        return {
            "scripted": self._service.faults.list(),
            "task_scripts": self._service.scripts.list(),
            "rates": self._service.faults.rates,
            "rate_names": list(rate_names()),
        }

    def _set_clock(self, _request: Request, fields: Fields) -> Fields:
        clock = self._service.clock
        action = fields.get("action")
        if action == "advance":
            clock.advance(float(fields["seconds"]))
        elif action == "freeze":
            clock.freeze()
        elif action == "resume":
            clock.resume()
        else:
            raise ValueError("action must be advance, freeze or resume")
        return {"now": self._service.settled_now()}

    def _set_balance(self, _request: Request, fields: Fields) -> Fields:
        try:
            balance = Decimal(str(fields["balance_usd"]))
        except InvalidOperation:
            balance = Decimal("NaN")
        if not balance.is_finite():
            raise ValueError("balance_usd must be an amount such as '25.00'")
        self._service.settled_now()
        account = str(fields.get("account") or MAIN_ACCOUNT)
        self._service.account_of(account).set_balance(balance)
        return {"balance_usd": str(balance)}

    def _add_fault(self, _request: Request, fields: Fields) -> Fields:
        seconds, now = fields.pop("lasts_seconds", None), self._service.clock.now()
        ends_at = None if seconds is None else now + float(seconds)
        return {"number": self._service.faults.add(**fields, ends_at=ends_at)}

    def _clear_faults(self, _request: Request, _fields: Fields) -> Fields:
        self._service.faults.clear()
        self._service.scripts.clear()
        self._service.worlds.clear(self._service.settled_now())
        return {}

    def _set_rates(self, _request: Request, fields: Fields) -> Fields:
        self._service.faults.set_rates(fields["rates"])
        return {"rates": self._service.faults.rates}

    def _add_script(self, _request: Request, fields: Fields) -> Fields:
        script = script_from_json(expand_worlds(fields["script"]))
        number = self._service.scripts.add(
            script, times=fields.get("times", 1), matching=fields.get("matching")
        )
        return {"number": number}

    def _set_settings(self, _request: Request, fields: Fields) -> Fields:
        self._service.change_settings(fields)
        return self._service.settings.changeable()

    def _reset(self, _request: Request, _fields: Fields) -> Fields:
        self._service.reset()
        return {}


def _reading(read: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return JsonAnswer(read(request))
        except ValueError as error:
            return _refusal(error)

    return endpoint


def _writing(
    write: Callable[[Request, Fields], Any],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not request.headers.get("content-type", "").startswith("application/json"):
            return JsonAnswer({"error": "send application/json"}, 415)
        try:
            fields = await request.json()
            return JsonAnswer(write(request, fields))
        except (ValueError, TypeError, KeyError) as error:
            return _refusal(error)

    return endpoint


def _refusal(error: Exception) -> Response:
    text = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return JsonAnswer({"error": text}, 400)
