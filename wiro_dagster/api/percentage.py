"""How far a task is, read from what its model has printed.

Wiro states a percentage on its WebSocket only. Task/Detail shows the output of the model, which may
hold the same messages as JSON, a progress bar, or a count of steps.
"""

from __future__ import annotations

import re

from wiro_dagster.api.wire import find_decimal, find_object

_READ_CHARACTERS = 4000
_BAR = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?)\s*%\s*\|")
_STEPS = re.compile(r"\bsteps?\s*:?\s*(\d{1,9})\s*(?:/|of)\s*(\d{1,9})\b", re.IGNORECASE)


def find_percentage(output: str) -> float | None:
    """What the newest line says that tells of progress, 0 to 100; None where none does.

    A bare `83 %` says nothing: it may be the load of a machine.
    """
    # A progress bar writes over itself: carriage returns end lines, too.
    for line in reversed(re.split(r"[\r\n]+", output[-_READ_CHARACTERS:])):
        percentage = _read_line(line)
        if percentage is not None:
            return percentage
    return None


def _read_line(line: str) -> float | None:
    message = find_object(line) if "percentage" in line else None
    if message is not None:
        percentage = find_decimal(message.get("percentage"))
        return None if percentage is None else _bound(float(percentage))
    if bars := _BAR.findall(line):
        return _bound(float(bars[-1]))
    if steps := _STEPS.findall(line):
        done, total = map(int, steps[-1])
        return None if total == 0 else _bound(100 * done / total)
    return None


def _bound(percentage: float) -> float:
    """A percentage within 0 and 100."""
    return min(max(percentage, 0.0), 100.0)
