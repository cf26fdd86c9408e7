"""The requests that a product sent, as the emulator's journal has them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
        left_at: unix seconds when it left its process; `None` if nobody noted that.
    """

    at: float
    kind: Literal["run", "stop"]
    callback_digest: str | None = None
    task_id: str | None = None
    left_at: float | None = None


def digest(callback_url: str) -> str:
    """Return what the journal shows of a callback URL."""
    return hashlib.sha256(callback_url.encode()).hexdigest()[:16]


def read_requests(
    emulator: EmulatorControl, departures: Mapping[str, float] | None = None
) -> list[Request]:
    """Return all Runs, Kills and Cancels, the oldest first.

    Args:
        emulator: whose journal.
        departures: when Runs left, by the digest of their callback URL.
    """
    runs = emulator.journal(kind="call", endpoint="Run")
    stops = [line for name in _STOPS for line in emulator.journal(kind="call", endpoint=name)]
    found = [_read_run(line, departures or {}) for line in runs]
    found += [Request(_came_in(line), "stop", task_id=line["task_id"]) for line in stops]
    return sorted(found, key=lambda request: request.at)


def _read_run(line: dict[str, Any], departures: Mapping[str, float]) -> Request:
    mark = line["request"].get("callbackUrlDigest")
    left_at = departures.get(str(mark))
    return Request(_came_in(line), "run", mark, line["task_id"], left_at)


def _came_in(line: dict[str, Any]) -> float:
    return line["at"] - line["duration_ms"] / 1000
