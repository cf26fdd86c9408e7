"""JSON answers that may hold what JSON should not: NaN, half a surrogate pair."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from starlette.responses import Response


def _write(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


class WrittenOnce(dict[str, Any]):
    """An object that does not change, and is part of many answers."""

    @cached_property
    def text(self) -> str:
        """As JSON."""
        return _write(self)


class JsonAnswer(Response):
    """A JSON answer, odd values of overrides included."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes; escaped, since UTF-8 has no half surrogate pairs."""
        tasks = content.get("tasklist") if isinstance(content, dict) else None
        if not tasks:
            return _write(content).encode()
        # A quotation mark within a text is escaped, so this stands once only.
        around, empty = _write({**content, "tasklist": []}), '"tasklist":[]'
        texts = ",".join(
            task.text if isinstance(task, WrittenOnce) else _write(task) for task in tasks
        )
        return around.replace(empty, f'"tasklist":[{texts}]', 1).encode()
