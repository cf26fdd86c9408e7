"""An emulator in this process, without sockets: benches work on it as on one of its own process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import requests

from tests.simulation.shop import STARTED_AT, AtOnce
from tests.simulation.wire import API_HOST, CONTROL_HOST, FILES_HOST, SECOND_FILES_HOST, Wire
from tests.system.campaigns.bench import Bench
from wiro_dagster.emulator import Emulator, EmulatorControl
from wiro_dagster.emulator.catalogue import Catalogue
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.settings import Settings
from wiro_dagster.emulator.state import State
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.orders import OrderPolicy


class SimulatedEmulator(EmulatorControl):
    """Answers at once, in a time that only benches move.

    Args:
        folder: in memory, if there is such a place.
        seed: of everything random.
        **settings: of the emulator.
    """

    base_url = f"http://{API_HOST}/v1"
    cdn_host = FILES_HOST

    def __init__(self, folder: Path, *, seed: int = 1, **settings: Any) -> None:
        super().__init__(f"http://{CONTROL_HOST}/")
        given = {
            "seed": seed,
            "tiny_videos": True,
            "balance_usd": Decimal(10_000_000),
            "prompt_markers": False,
            "files_url": f"http://{FILES_HOST}",
            "second_files_url": f"http://{SECOND_FILES_HOST}",
        }
        self._state = State(folder / "emulator.db")
        service = Service(Settings(**{**given, **settings}), self._state, Catalogue.load())
        service.clock.offset_seconds, service.clock.frozen_at = 0.0, STARTED_AT
        self._wire = Wire(service, lambda _where: None)

    def open_bench(
        self, ledger_url: str, folder: Path, *, policy: OrderPolicy, limits: BudgetLimits
    ) -> Bench:
        """Open a process that works on this emulator; its steps are taken one after the other."""
        return Bench(
            cast("Emulator", self),  # a bench needs the control API and the two hosts
            ledger_url,
            folder,
            policy=policy,
            limits=limits,
            more_client_options={
                "open_session": self._wire.open_session,
                "cdn_hosts": [FILES_HOST, SECOND_FILES_HOST],
            },
            desk_options={"open_pool": AtOnce, "monotonic": lambda: 0.0},
        )

    def close(self) -> None:
        """Close everything."""
        self._wire.close()
        self._state.close()

    def _get(self, path: str) -> Any:
        return self._ask(requests.Request("GET", f"{self._control_url}/{path}"))

    def _post(self, path: str, fields: Mapping[str, Any]) -> Any:
        return self._ask(requests.Request("POST", f"{self._control_url}/{path}", json=dict(fields)))

    def _ask(self, request: requests.Request) -> Any:
        status, _, body = self._wire.carry(request.prepare())
        if status != HTTPStatus.OK:
            raise ValueError(body.decode())
        return json.loads(body)
