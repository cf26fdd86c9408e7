"""What the suite is held against: the emulator, or the real service within a spending limit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import requests

from tests.contract.caller import WireCaller
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import DEFAULT_CDN_HOSTS, WiroClient
from wiro_dagster.catalogue import schema_from_model_detail
from wiro_dagster.emulator import Emulator
from wiro_dagster.orders.models import LONGEST_RUN_SECONDS
from wiro_dagster.pricing import RunFacts, quote

CHEAP_MODEL = "minimax/text-to-video-hailuo-02"
_LIVE_RUN_SECONDS = 1800.0
_LIVE_PAUSE_SECONDS = 5.0


class Skip(Exception):
    """Ends a case that cannot be judged here; its text says why."""


@dataclass
class Spending:
    """What the suite may buy. Money in USD.

    Args:
        limit_usd: the most that all runs together may cost.
        committed_usd: the highest possible cost of what was bought by now.
    """

    limit_usd: Decimal
    committed_usd: Decimal = Decimal(0)

    def admit(self, model: str, ceiling_usd: Decimal | None) -> Decimal:
        """Makes room for a run before it is sent, and returns how much that takes.

        Raises:
            Skip: its price is not bounded, or the limit has no room for it.
        """
        if ceiling_usd is None:
            raise Skip(f"nothing bounds the price of {model}")
        if self.committed_usd + ceiling_usd > self.limit_usd:
            raise Skip(f"the spending limit of {self.limit_usd} USD has no room for {ceiling_usd}")
        self.committed_usd += ceiling_usd
        return ceiling_usd


@dataclass
class Target:
    """A service to call, in two ways: bare, and through the client.

    Args:
        wire: bare calls.
        client: the client under test.
        websocket_url: of the WebSocket.
        emulator: where the service is the emulator.
        spending: where it is not.
        model: a model that makes one file, for runs that are paid for.
    """

    wire: WireCaller
    client: WiroClient
    websocket_url: str
    emulator: Emulator | None = None
    spending: Spending | None = None
    model: str = CHEAP_MODEL
    _shared: dict[str, Any] | None = None

    @classmethod
    @contextmanager
    def on_emulator(cls, emulator: Emulator) -> Iterator[Target]:
        """The emulator, empty, on a clock that stands."""
        emulator.reset()
        emulator.freeze()
        with WiroClient(
            Credentials(emulator.api_key, emulator.api_secret),
            base_url=emulator.base_url,
            cdn_hosts=[emulator.cdn_host],
            read_timeout_seconds=5.0,
            sleep=lambda _: None,
        ) as client:
            wire = WireCaller(emulator.base_url, emulator.api_key, emulator.api_secret)
            yield cls(wire, client, emulator.websocket_url, emulator)

    @classmethod
    @contextmanager
    def on_service(
        cls,
        *,
        key: str,
        secret: str | None,
        base_url: str,
        websocket_url: str,
        model: str,
        limit_usd: Decimal,
    ) -> Iterator[Target]:
        """The real service; nothing is bought beyond the limit."""
        with WiroClient(
            Credentials(key, secret), base_url=base_url, cdn_hosts=DEFAULT_CDN_HOSTS
        ) as client:
            wire = WireCaller(base_url, key, secret)
            yield cls(wire, client, websocket_url, None, Spending(limit_usd), model)

    @property
    def control(self) -> Emulator:
        """The emulator, for cases that need its faults and its clock."""
        if self.emulator is None:
            raise Skip("only the emulator can be made to do this")
        return self.emulator

    def admit(self, model: str, inputs: Mapping[str, Any]) -> Decimal:
        """Makes room for a run in the spending limit, by its quote; free on the emulator.

        Returns:
            How much was set aside.
        """
        if self.spending is None:
            return Decimal(0)
        detail = self.client.get_model(model)
        wire, _ = schema_from_model_detail(detail).validate(inputs)
        facts = RunFacts(longest_run_seconds=Decimal(repr(LONGEST_RUN_SECONDS)))
        return self.spending.admit(model, quote(detail, {**inputs, **wire}, facts).ceiling_usd)

    def run(self, model: str | None = None, /, **inputs: Any) -> dict[str, Any]:
        """The answer to a run that must be accepted."""
        model = model or self.model
        inputs = {"prompt": "a fox in the snow", **inputs}
        self.admit(model, inputs)
        answer = self.wire.call(f"Run/{model}", **inputs)
        assert answer["result"], answer
        return answer

    def shared_run(self) -> dict[str, Any]:
        """The same; on the real service one for all cases, since it is paid for."""
        if self.emulator is not None or self._shared is None:
            self._shared = self.run()
        return self._shared

    def refused_run(self, model: str, /, **inputs: Any) -> tuple[int, str]:
        """Code and text of a run that must be refused and create nothing."""
        set_aside = self.admit(model, inputs)
        before = self.control.billable_tasks() if self.emulator else 0
        refusal = self.wire.refusal(f"Run/{model}", **inputs)
        assert self.emulator is None or self.emulator.billable_tasks() == before
        if self.spending is not None:
            self.spending.committed_usd -= set_aside
        return refusal

    def settle(self, task_id: str) -> dict[str, Any]:
        """A task once it has ended."""
        if self.emulator is not None:
            self.emulator.advance(3600)
            return self.wire.task(task_id)
        deadline = time.monotonic() + _LIVE_RUN_SECONDS
        while True:
            task = self.wire.task(task_id)
            if self.client.get_task(task_id).is_ended:
                return task
            assert time.monotonic() < deadline, f"still {task['status']}"
            time.sleep(_LIVE_PAUSE_SECONDS)

    def ended_task(self) -> dict[str, Any]:
        """The task of the shared run, once it has succeeded."""
        return self.settle(self.shared_run()["taskid"])

    def advance_to(self, task_id: str, status: str) -> dict[str, Any]:
        """Moves the emulator's clock until a task has a status."""
        for _ in range(400):
            task = self.wire.task(task_id)
            if task["status"] == status:
                return task
            self.control.advance(0.02)
        raise AssertionError(f"{task_id} never was in {status}; it is {task['status']}")

    def fetch(self, url: str) -> requests.Response:
        """A file from the CDN, without the API's headers."""
        return requests.get(url, timeout=60)
