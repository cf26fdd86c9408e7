"""When each run left its process, as the client saw it: the fence is judged by that.

A run that has left may come in at any later time: the network, or a server that stands still, can
hold it up for longer than its claim lasts. So the time at which it came in tells nothing about the
fence. What tells is whether the order was claimed when the first byte left.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.model.requests import digest
from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.types import Submission


class Departures:
    """Notes of all processes of a campaign, a file for each.

    Args:
        folder: takes the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, callback_url: str) -> None:
        """Note that the run with this callback URL leaves now."""
        self._folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps([digest(callback_url), time.time()])
        with (self._folder / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(f"{line}\n")

    def read(self) -> dict[str, float]:
        """Return unix seconds by the digest of the callback URL."""
        found: dict[str, float] = {}
        for path in self._folder.glob("*.jsonl"):
            found |= dict(map(json.loads, path.read_text().splitlines()))
        return found


class NotingClient(WiroClient):
    """A client that notes each run after the last question, right before its first byte."""

    def __init__(self, departures: Departures, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._departures = departures

    def submit(
        self,
        model_slug: str,
        inputs: Mapping[str, Any],
        *,
        callback_url: str | None = None,
        confirm: Callable[[], bool] | None = None,
        **options: Any,
    ) -> Submission:
        """Submit, and note when the run left."""

        def leave() -> bool:
            may_leave = confirm is None or confirm()
            if may_leave and callback_url is not None:
                self._departures.note(callback_url)
            return may_leave

        return super().submit(
            model_slug, inputs, callback_url=callback_url, confirm=leave, **options
        )
