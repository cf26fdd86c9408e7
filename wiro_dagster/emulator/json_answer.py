"""JSON answers that may hold what JSON should not: NaN, half a surrogate pair."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


class JsonAnswer(Response):
    """A JSON answer, odd values of overrides included."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes; escaped, since UTF-8 has no half surrogate pairs."""
        return json.dumps(content, separators=(",", ":")).encode()
