"""The requests that a product sent, as the emulator's journal has them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from wiro_dagster.emulator import EmulatorControl

_STOPS = ("Task/Kill", "Task/Cancel")


@dataclass(frozen=True)
class Request:
    """One request that buys or stops a task.

    Args:
        at: unix seconds when it came in.
        kind: a Run, or a Kill or Cancel.
        callback_digest: tells the callback URL of a Run, which carries the marker.
        task_id: of the task that it made or is about; `None` if it made none.
    """

    at: float
    kind: Literal["run", "stop"]
    callback_digest: str | None = None
    task_id: str | None = None


def digest(callback_url: str) -> str:
    """Return what the journal shows of a callback URL."""
    return hashlib.sha256(callback_url.encode()).hexdigest()[:16]


def read_requests(emulator: EmulatorControl) -> list[Request]:
    """Return all Runs, Kills and Cancels, the oldest first."""
    runs = emulator.journal(kind="call", endpoint="Run")
    stops = [line for name in _STOPS for line in emulator.journal(kind="call", endpoint=name)]
    found = [
        Request(_came_in(line), "run", line["request"].get("callbackUrlDigest"), line["task_id"])
        for line in runs
    ]
    found += [Request(_came_in(line), "stop", task_id=line["task_id"]) for line in stops]
    return sorted(found, key=lambda request: request.at)


def _came_in(line: dict[str, float]) -> float:
    return line["at"] - line["duration_ms"] / 1000
